/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* errors - the codes that control answers with, each with its status. docs/errors.md is checked
 * against this table. */
#include <stddef.h>
#include "common/base/attr.h"

struct http_req;

enum api_error {
    API_BAD_REQUEST,
    API_UNAUTHORIZED,
    API_FORBIDDEN,
    API_SANDBOX_NOT_FOUND,
    API_TEMPLATE_NOT_FOUND,
    API_VERSION_NOT_FOUND,
    API_TEAM_NOT_FOUND,
    API_STATE_CONFLICT,
    API_IDEMPOTENCY_RUNNING,
    API_INVALID,
    API_NOT_SUPPORTED,
    API_TEMPLATE_UNKNOWN, /* in a create: same code as TEMPLATE_NOT_FOUND, but 422 */
    API_TEMPLATE_ERROR,
    API_QUOTA_EXCEEDED,
    API_IDEMPOTENCY_MISMATCH,
    API_INTERNAL,
    API_NO_CAPACITY,
    API_OVERLOADED,
    API_HOST_UNREACHABLE,
    API_START_FAILED,
    API_TIMEOUT,
    API_ERRORS_COUNT,
};

struct api_error_row {
    const char *code;
    const char *message; /* when the caller has none */
    int status;
    unsigned retry_after; /* seconds, 0 = no such header */
};
extern const struct api_error_row api_errors[API_ERRORS_COUNT];

/* message NULL: the table's. */
void api_fail(struct http_req *r, enum api_error e, const char *message);
/* With details {"field": field}; the message begins with the field's name. */
void api_fail_field(struct http_req *r, enum api_error e, const char *field, const char *fmt, ...)
    printf_like(4, 5);
/* A transaction's outcome (DB_E_*) as an answer; a refused statement is logged and becomes
 * `internal`. */
struct db_tx;
void api_fail_db(struct http_req *r, int outcome, const struct db_tx *tx);
