/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel - bytes between two streams, see relay.h. A side is read only while the other takes what it is given, so that each direction
 * holds one read at most; an end of one side is passed on as a half-close after what came before it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/http/http_internal.h"
#include "common/http/relay.h"
#include "common/http/sendq.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"

struct tunnel_side {
    struct tunnel *tunnel;
    struct stream *stream; /* owned */
    struct sendq out;      /* for this side */
    uint64_t received;
    bool ended;            /* read to its end */
    bool shut;             /* that end was passed on to the other side */
};

struct tunnel {
    struct loop *loop;
    struct tunnel_side side[2];
    struct timer *idle; /* NULL without a limit */
    struct defer turn;
    uint32_t idle_ms;
    tunnel_done_fn *done;
    void *arg;
    bool over;
};

static void tunnel_after(void *arg);

static void tunnel_free(void *p)
{
    struct tunnel *t = p;

    for (int i = 0; i < 2; i++)
        sendq_deinit(&t->side[i].out);
    free(t);
}

static void tunnel_end(struct tunnel *t, bool reset, bool tell)
{
    if (t->over)
        return;
    t->over = true;
    for (int i = 0; i < 2; i++) {
        if (reset)
            stream_abort(take_ptr(&t->side[i].stream));
        else
            stream_close(take_ptr(&t->side[i].stream));
    }
    timer_free(take_ptr(&t->idle));
    defer_cancel(&t->turn);
    loop_reap(t->loop, t, tunnel_free);
    if (tell && t->done)
        t->done(t->arg, t->side[0].received, t->side[1].received);
}

static struct tunnel_side *other(struct tunnel_side *s)
{
    return &s->tunnel->side[s == &s->tunnel->side[0]];
}

/* Reads once, gives it to the other side. */
static int side_read(struct tunnel_side *s)
{
    struct tunnel_side *to = other(s);
    uint8_t *p = http_scratch_take();
    ssize_t n = stream_read(s->stream, p, HTTP_SCRATCH_BYTES);
    size_t sent = 0;
    int r = 0;

    if (n > 0) {
        const struct iovec iov = {.iov_base = p, .iov_len = (size_t) n};

        s->received += (uint64_t) n;
        r = sendq_putv(&to->out, to->stream, &iov, 1, &sent);
    } else if (n == 0) {
        s->ended = true;
    } else if (n != -EAGAIN) {
        r = (int) n;
    }
    http_scratch_give();
    return r;
}

static int side_flush(struct tunnel_side *s)
{
    struct tunnel_side *from = other(s);
    size_t sent = 0;
    int r = sendq_flush(&s->out, s->stream, &sent);

    if (r == 0 && from->ended && !from->shut && !sendq_len(&s->out)) {
        from->shut = true;
        (void) stream_shutdown_write(s->stream); /* a side that is gone shows it when it is read */
    }
    return r;
}

static void side_update(struct tunnel_side *s)
{
    unsigned want = 0;

    if (!s->ended && !sendq_len(&other(s)->out))
        want |= STREAM_READ;
    if (sendq_len(&s->out))
        want |= STREAM_WRITE;
    stream_want(s->stream, want);
}

static void tunnel_after(void *arg)
{
    struct tunnel *t = arg;
    int r = side_flush(&t->side[0]);

    if (r == 0)
        r = side_flush(&t->side[1]);
    if (r < 0) {
        tunnel_end(t, true, true);
        return;
    }
    if (t->side[0].shut && t->side[1].shut) {
        tunnel_end(t, false, true);
        return;
    }
    side_update(&t->side[0]);
    side_update(&t->side[1]);
}

static void tunnel_on_stream(void *arg, unsigned events)
{
    struct tunnel_side *s = arg;
    struct tunnel *t = s->tunnel;
    int r = 0;

    if (events & STREAM_FAILED)
        r = -ECONNABORTED;
    if (t->idle)
        timer_set(t->idle, t->idle_ms);
    if (r == 0 && (events & STREAM_READ) && !s->ended && !sendq_len(&other(s)->out))
        r = side_read(s);
    if (r < 0)
        tunnel_end(t, true, true);
    else
        tunnel_after(t);
}

static void tunnel_on_idle(void *arg)
{
    tunnel_end(arg, true, true);
}

struct tunnel *tunnel_new(struct loop *l, struct stream *a, const struct buf *a_first, struct stream *b, const struct buf *b_first,
                          uint32_t idle_ms, tunnel_done_fn *done, void *arg)
{
    struct tunnel *t = xnew(struct tunnel);
    const struct buf *first[2] = {a_first, b_first};

    t->loop = l;
    t->side[0] = (struct tunnel_side){.tunnel = t, .stream = a};
    t->side[1] = (struct tunnel_side){.tunnel = t, .stream = b};
    t->done = done;
    t->arg = arg;
    t->idle_ms = idle_ms;
    for (int i = 0; i < 2; i++) {
        stream_set_fn(t->side[i].stream, tunnel_on_stream, &t->side[i]);
        stream_want(t->side[i].stream, 0);
        http_keepalive(stream_fd(t->side[i].stream), 60);
        if (!first[i] || !first[i]->len)
            continue;
        t->side[i].received = first[i]->len;
        if (sendq_append(&t->side[!i].out, buf_data(first[i]), first[i]->len) < 0)
            t->side[i].ended = true; /* more than memory holds: nothing that could be whole */
    }
    if (idle_ms) {
        t->idle = timer_new(l, tunnel_on_idle, t);
        timer_set(t->idle, idle_ms);
    }
    loop_defer(l, &t->turn, tunnel_after, t);
    return t;
}

void tunnel_cut(struct tunnel *t)
{
    if (t)
        tunnel_end(t, true, false);
}
