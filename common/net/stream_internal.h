/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * stream_internal - the inner border between streams and the kinds of them; never included outside this folder.
 * The public functions of stream.h check what holds for all kinds and go through the table of the stream's kind. A TLS context
 * brings its own constructors, so that who links plain streams only needs no TLS library.
 */
#include "common/loop/loop.h"
#include "common/net/stream.h"

struct stream_kind {
    ssize_t (*read)(struct stream *s, void *p, size_t len);
    ssize_t (*writev)(struct stream *s, const struct iovec *iov, int n);
    int (*shutdown_write)(struct stream *s);
    void (*update)(struct stream *s);               /* `want` has changed */
    void (*release)(struct stream *s, bool aborted); /* before the descriptor is closed */
    const char *(*peer_cn)(const struct stream *s);
    const char *(*failure)(const struct stream *s);
};

struct stream {
    const struct stream_kind *kind;
    struct loop *loop;
    int fd;        /* owned; -1 = closed */
    struct io *io; /* owned */
    stream_fn *fn;
    void *arg;
    unsigned want;
    bool open;     /* STREAM_OPEN has been told */
    struct defer opening;
};

struct tls_ctx {
    struct stream *(*new_server)(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg);
    struct stream *(*new_client)(struct loop *l, int fd, struct tls_ctx *ctx, const char *server_name, stream_fn *fn, void *arg);
};

void stream_init(struct stream *s, const struct stream_kind *kind, struct loop *l, int fd, io_fn *on_io, stream_fn *fn, void *arg);
static inline bool stream_closed(const struct stream *s)
{
    return s->fd < 0;
}
/* sendmsg() without SIGPIPE, recv(), both restarted after a signal: bytes or -errno. */
ssize_t socket_writev(int fd, const struct iovec *iov, int n) must_check;
ssize_t socket_read(int fd, void *p, size_t len) must_check;
