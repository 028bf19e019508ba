/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* batch - the frames at the head of a process' queue as one append: what goes in, and what accounting and expiry follow from it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "dataplane/gateway/redis/redis.h"
#include "dataplane/gateway/stream/meta.h"

struct pstream;

struct batch {
    unsigned frames;   /* of the queue, a gap included */
    unsigned appended; /* without the gap */
    size_t bytes;
    uint64_t first;    /* cursor of the first that is appended */
    bool gap, started, exited, marks;
    struct meta exit;
};

/*
 * Takes frames from the head: up to the limits; a gap alone, and nothing behind a gap that is not its own batch. An empty queue makes a
 * batch too, which pushes expiry back and trims. The accounting as it will be is put into p->next_kept.
 */
void batch_plan(struct pstream *p, struct batch *b);
/* One command; done gets the pstream. */
int batch_send(struct pstream *p, const struct batch *b, redis_done_fn *done) must_check;
