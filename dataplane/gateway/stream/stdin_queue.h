/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * stdin_queue - input of one process on its way to the agent: messages of all its clients in the order they came, cut into pieces, a
 * window of them under way. A message outlives the socket it came on: what was read before a close is acted on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"

struct alink;

struct stdin_owner {
    /* One message is taken, in order. */
    void (*on_taken)(struct stdin_owner *o, bool was_close, size_t bytes);
    /* It cannot be delivered; the rest of this owner's messages is dropped without further calls. code/message: for the client. */
    void (*on_refused)(struct stdin_owner *o, const char *code, const char *message);
};

struct stdin_queue {
    struct list items, dead;
    size_t bytes;        /* queued, not taken */
    size_t window;       /* sent, not answered */
    struct alink *link;  /* borrowed */
    const char *pid;     /* borrowed */
};

enum { STDIN_QUEUE_MAX = 32 * 1024 * 1024 };

void stdin_queue_init(struct stdin_queue *q, struct alink *link, const char *pid);
void stdin_queue_deinit(struct stdin_queue *q);
/* Copies. owner may be forgotten later. close: no bytes, closes stdin behind what is queued. -ENOBUFS: too much is waiting. */
int stdin_queue_add(struct stdin_queue *q, struct stdin_owner *owner, const void *p, size_t len, bool close) must_check;
void stdin_queue_forget(struct stdin_queue *q, struct stdin_owner *owner);
void stdin_queue_pump(struct stdin_queue *q); /* the link came up */
