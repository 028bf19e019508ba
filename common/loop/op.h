/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * op - a pending asynchronous call. The caller keeps a slot (`struct op *x = NULL`) and passes its address; the callee stores the
 * handle there and clears the slot just before it calls back. op_cancel(&x) ends it: the callback will not run; an empty slot is fine.
 * A callee that completes at once calls back from the loop, never from inside the call.
 */
#include "common/base/attr.h"

struct op {
    struct op **slot;              /* where the caller keeps it; NULL when done */
    void (*on_cancel)(struct op *); /* callee: release; runs once */
};

/* Callee side. */
static inline void op_begin(struct op *o, struct op **slot, void (*on_cancel)(struct op *))
{
    o->slot = slot;
    o->on_cancel = on_cancel;
    if (slot)
        *slot = o;
}
static inline void op_finish(struct op *o) /* before the callback */
{
    if (o->slot)
        *o->slot = (struct op *) 0;
    o->slot = (struct op **) 0;
}
/* Caller side. */
static inline void op_cancel(struct op **slot)
{
    struct op *o = *slot;

    if (!o)
        return;
    op_finish(o);
    o->on_cancel(o);
}
