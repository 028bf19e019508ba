/* SPDX-License-Identifier: Apache-2.0 */
/* errors - see errors.h. */
#include "control/api/errors.h"
#include <stdarg.h>
#include <stdio.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "control/db/pool.h"
#include "control/db/tx.h"

const struct api_error_row api_errors[API_ERRORS_COUNT] = {
    [API_BAD_REQUEST] = {"bad_request", "the request is malformed", 400, 0},
    [API_UNAUTHORIZED] = {"unauthorized", "a valid API key is required", 401, 0},
    [API_FORBIDDEN] = {"forbidden", "the API key does not have the scope that this needs", 403, 0},
    [API_SANDBOX_NOT_FOUND] = {"sandbox_not_found", "no such sandbox", 404, 0},
    [API_TEMPLATE_NOT_FOUND] = {"template_not_found", "no such template", 404, 0},
    [API_VERSION_NOT_FOUND] = {"template_version_not_found", "no such version of this template",
                               404, 0},
    [API_TEAM_NOT_FOUND] = {"team_not_found", "no such team", 404, 0},
    [API_STATE_CONFLICT] = {"state_conflict", "the sandbox's state does not allow that", 409, 0},
    [API_IDEMPOTENCY_RUNNING] = {"idempotency_in_progress",
                                 "a request with this Idempotency-Key is still running", 409, 1},
    [API_INVALID] = {"invalid_request", "a value is not allowed", 422, 0},
    [API_NOT_SUPPORTED] = {"not_supported", "this is not supported", 422, 0},
    [API_TEMPLATE_UNKNOWN] = {"template_not_found", "no such template", 422, 0},
    [API_TEMPLATE_ERROR] = {"template_error", "the template has no version that can run", 422, 0},
    [API_QUOTA_EXCEEDED] = {"sandbox_quota_exceeded", "the team has reached its sandbox quota", 422,
                            0},
    [API_IDEMPOTENCY_MISMATCH] = {"idempotency_mismatch",
                                  "this Idempotency-Key was used with another request", 422, 0},
    [API_INTERNAL] = {"internal", "something went wrong here", 500, 0},
    [API_NO_CAPACITY] = {"no_capacity", "no host has room for the sandbox now", 503, 5},
    [API_OVERLOADED] = {"overloaded", "the service cannot answer now", 503, 1},
    [API_HOST_UNREACHABLE] = {"host_unreachable", "the sandbox's host does not answer now", 503, 2},
    [API_START_FAILED] = {"start_failed", "the sandbox could not be started", 503, 2},
    [API_TIMEOUT] = {"timeout", "the work was not done in time", 504, 0},
};

static void api_fail_row(struct http_req *r, const struct api_error_row *row, const char *message,
                         const char *details)
{
    char seconds[16];

    if (row->retry_after) {
        snprintf(seconds, sizeof(seconds), "%u", row->retry_after);
        http_reply_header(r, "Retry-After", seconds);
    }
    if (details)
        http_reply_error_details(r, row->status, row->code, message ? message : row->message,
                                 details);
    else
        http_reply_error(r, row->status, row->code, message ? message : row->message);
}

void api_fail(struct http_req *r, enum api_error e, const char *message)
{
    api_fail_row(r, &api_errors[e], message, NULL);
}

void api_fail_field(struct http_req *r, enum api_error e, const char *field, const char *fmt, ...)
{
    cleanup(buf_deinit) struct buf details = BUF_INIT(4 * KIB);
    struct json_writer w;
    char text[400], message[520];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(message, sizeof(message), "%.100s: %s", field, text);
    json_writer_init(&w, &details);
    jw_object(&w);
    jw_kstr(&w, "field", field);
    jw_object_end(&w);
    api_fail_row(r, &api_errors[e], message, json_writer_end(&w) == 0 ? buf_cstr(&details) : NULL);
}

void api_fail_db(struct http_req *r, int outcome, const struct db_tx *tx)
{
    struct log_ctx ctx = {.request = http_req_id(r)};

    if (outcome == DB_E_REFUSED) {
        log_error(&ctx, "the database refused a statement", "sqlstate", tx_sqlstate(tx), "message",
                  tx_message(tx));
        api_fail(r, API_INTERNAL, NULL);
        return;
    }
    api_fail(r, API_OVERLOADED,
             outcome == DB_E_AWAY ? "the database cannot be reached now"
                                  : "the database did not answer in time");
}
