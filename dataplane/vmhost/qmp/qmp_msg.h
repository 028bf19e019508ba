/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* qmp_msg - what QEMU says on its monitor: lines of JSON, taken apart. No I/O. QEMU is not trusted: its guest may own it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/buf.h"

struct err;
struct json;
struct json_doc;

enum { QMP_LINE_MAX = 1024 * 1024 };
enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

struct qmp_msg {
    struct json_doc *doc;      /* owned: qmp_msg_deinit() */
    enum qmp_kind kind;
    bool has_id;
    uint64_t id;               /* RETURN, ERROR */
    const char *name;          /* EVENT: its name; ERROR: its class; borrowed from doc */
    const char *text;          /* ERROR: for people */
    const struct json *data;   /* RETURN, EVENT; may be NULL */
};
void qmp_msg_deinit(struct qmp_msg *m);

struct qmp_reader {
    struct buf in;
    size_t scanned; /* bytes that hold no newline */
};
void qmp_reader_init(struct qmp_reader *r);
void qmp_reader_deinit(struct qmp_reader *r);

enum { QMP_READ_OK, QMP_READ_MORE };
/* Takes the next message out of r->in. -EINVAL, -EMSGSIZE: what QEMU says makes no sense, give it up. */
int qmp_reader_next(struct qmp_reader *r, struct qmp_msg *out, struct err *e) must_check;
