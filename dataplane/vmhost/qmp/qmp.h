/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * qmp - one monitor connection to one QEMU. Loop thread only. Calls may be made at once: they wait until QEMU has greeted.
 * After qmp_close() no callback of this object runs.
 */
#include <stdint.h>
#include "common/base/attr.h"

struct json;
struct loop;
struct op;
struct qmp;

enum { QMP_E_OK, QMP_E_REFUSED };

struct qmp_ops {
    void (*on_ready)(void *arg); /* greeted; may be NULL */
    void (*on_event)(void *arg, const char *name, const struct json *data /* may be NULL */);
    void (*on_closed)(void *arg, int r); /* once: QEMU has gone or talks nonsense; all calls were completed before. Close it then. */
};
int qmp_open(struct qmp **out, struct loop *l, int fd /* taken, connected */, const struct qmp_ops *ops, void *arg) must_check;
void qmp_close(struct qmp *q); /* NULL is fine; calls that wait are dropped without a callback */

/* r: 0 with the return value, QMP_E_REFUSED with QEMU's words in text, or -errno (-ETIMEDOUT, -ECONNRESET). data and text are borrowed. */
typedef void qmp_done_fn(void *arg, int r, const struct json *data, const char *text);
/* args: JSON text of an object, or NULL. fd: borrowed, or -1. deadline_ms counts from now. */
int qmp_call(struct qmp *q, const char *command, const char *args, int fd, uint32_t deadline_ms, struct op **slot, qmp_done_fn *done,
             void *arg) must_check;
