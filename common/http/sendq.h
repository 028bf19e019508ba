/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sendq - what one stream has yet to send. Small pieces are gathered so that a turn's output leaves in one system call; big ones go
 * to the socket at once and only the rest is copied. Holds no memory when empty.
 */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/buf.h"

struct iovec;
struct stream;

struct sendq {
    struct buf b;
    bool blocked; /* the socket took less than it was given: wait for STREAM_WRITE */
};

/* Pieces below this are copied and wait for the flush at the end of the turn. */
enum { SENDQ_SMALL_BYTES = 8 * 1024, SENDQ_GATHER_BYTES = 64 * 1024, SENDQ_IOV_MAX = 8 };

void sendq_deinit(struct sendq *q);
static inline size_t sendq_len(const struct sendq *q)
{
    return q->b.len;
}
/* Queues, perhaps writes. -errno of the socket, or -ENOBUFS. *sent is raised by what the socket took. n <= SENDQ_IOV_MAX - 1. */
int sendq_putv(struct sendq *q, struct stream *s, const struct iovec *iov, int n, size_t *sent) must_check;
/* Copies only. */
int sendq_append(struct sendq *q, const void *p, size_t len) must_check;
/* Writes what the socket takes. */
int sendq_flush(struct sendq *q, struct stream *s, size_t *sent) must_check;
