/* SPDX-License-Identifier: Apache-2.0 */
/* stream - what all streams share, and the plain kind. */
#include "common/net/stream.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/net/stream_internal.h"

enum { IOV_COUNT_MAX = 1024 }; /* IOV_MAX: more is EMSGSIZE */

/* ---- sockets ---- */

ssize_t socket_writev(int fd, const struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *) iov, .msg_iovlen = (size_t) (n > IOV_COUNT_MAX ? IOV_COUNT_MAX : n)};
    ssize_t r;

    do {
        r = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

ssize_t socket_read(int fd, void *p, size_t len)
{
    ssize_t r;

    do {
        r = recv(fd, p, len, MSG_DONTWAIT);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

/* ---- plain ---- */

static void plain_on_io(void *arg, unsigned events)
{
    struct stream *s = arg;

    /* IO_READ and IO_WRITE bear the numbers of STREAM_READ and STREAM_WRITE. */
    if (events & s->want)
        s->fn(s->arg, events & s->want);
}

static void plain_on_opening(void *arg)
{
    struct stream *s = arg;

    s->open = true;
    io_want(s->io, s->want);
    s->fn(s->arg, STREAM_OPEN);
}

static ssize_t plain_read(struct stream *s, void *p, size_t len)
{
    return socket_read(s->fd, p, len);
}

static ssize_t plain_writev(struct stream *s, const struct iovec *iov, int n)
{
    return socket_writev(s->fd, iov, n);
}

static int plain_shutdown_write(struct stream *s)
{
    return shutdown(s->fd, SHUT_WR) < 0 ? -errno : 0;
}

static void plain_update(struct stream *s)
{
    if (s->open)
        io_want(s->io, s->want);
}

static const struct stream_kind plain_kind = {
    .read = plain_read,
    .writev = plain_writev,
    .shutdown_write = plain_shutdown_write,
    .update = plain_update,
};

struct stream *stream_new(struct loop *l, int fd, stream_fn *fn, void *arg)
{
    struct stream *s = xnew(struct stream);

    stream_init(s, &plain_kind, l, fd, plain_on_io, fn, arg);
    loop_defer(l, &s->opening, plain_on_opening, s);
    return s;
}

/* ---- all kinds ---- */

void stream_init(struct stream *s, const struct stream_kind *kind, struct loop *l, int fd, io_fn *on_io, stream_fn *fn, void *arg)
{
    int r;

    _Static_assert((int) STREAM_READ == (int) IO_READ && (int) STREAM_WRITE == (int) IO_WRITE, "plain streams pass events through");
    assert(fd >= 0 && fn);
    s->kind = kind;
    s->loop = l;
    s->fd = fd;
    s->fn = fn;
    s->arg = arg;
    r = io_open(&s->io, l, fd, on_io, s);
    assert(r == 0);
}

struct stream *stream_new_tls_server(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg)
{
    return ctx->new_server(l, fd, ctx, fn, arg);
}

struct stream *stream_new_tls_client(struct loop *l, int fd, struct tls_ctx *ctx, const char *server_name, stream_fn *fn, void *arg)
{
    return ctx->new_client(l, fd, ctx, server_name, fn, arg);
}

void stream_set_fn(struct stream *s, stream_fn *fn, void *arg)
{
    assert(fn);
    s->fn = fn;
    s->arg = arg;
}

void stream_want(struct stream *s, unsigned events)
{
    events &= STREAM_READ | STREAM_WRITE;
    if (stream_closed(s) || s->want == events)
        return;
    s->want = events;
    s->kind->update(s);
}

ssize_t stream_read(struct stream *s, void *p, size_t len)
{
    if (stream_closed(s))
        return -EBADF;
    if (len == 0)
        return -EINVAL; /* 0 would look like the end */
    return s->kind->read(s, p, len);
}

ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n)
{
    if (stream_closed(s))
        return -EBADF;
    return s->kind->writev(s, iov, n);
}

int stream_shutdown_write(struct stream *s)
{
    if (stream_closed(s))
        return -EBADF;
    return s->kind->shutdown_write(s);
}

bool stream_is_tls(const struct stream *s)
{
    return s->kind != &plain_kind;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}

const char *stream_peer_cn(const struct stream *s)
{
    return s->kind->peer_cn ? s->kind->peer_cn(s) : NULL;
}

const char *stream_failure(const struct stream *s)
{
    return s->kind->failure ? s->kind->failure(s) : "";
}

static void stream_end(struct stream *s, bool aborted)
{
    if (!s || stream_closed(s))
        return;
    if (s->kind->release)
        s->kind->release(s, aborted);
    defer_cancel(&s->opening);
    io_close(s->io);
    if (aborted) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void) setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* not for unix sockets: they are just closed */
    }
    close(s->fd);
    s->fd = -1;
    s->want = 0;
    loop_reap(s->loop, s, free);
}

void stream_close(struct stream *s)
{
    stream_end(s, false);
}

void stream_abort(struct stream *s)
{
    stream_end(s, true);
}
