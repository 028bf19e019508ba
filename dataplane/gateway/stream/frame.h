/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* frame - one frame of a process between the agent and the store; and the gap that stands for frames that are lost. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/wire/agent_link.h"

enum { FRAME_OVERHEAD = 64 };

struct frame {
    struct list node;
    uint64_t cursor;
    uint64_t from;       /* as cursor; of a gap: the first lost cursor */
    enum link_kind kind; /* 0: a gap, frames from..cursor are lost */
    size_t len;
    uint8_t data[];
};

static inline struct frame *frame_new(uint64_t cursor, enum link_kind kind, const void *p, size_t len)
{
    struct frame *f = (struct frame *) xmalloc(sizeof(*f) + len);

    f->cursor = f->from = cursor;
    f->kind = kind;
    f->len = len;
    if (len)
        memcpy(f->data, p, len);
    return f;
}

static inline size_t frame_cost(const struct frame *f)
{
    return f->len + FRAME_OVERHEAD;
}
