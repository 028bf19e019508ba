/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/link/alink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/http/client.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/stream.h"
#include "dataplane/gateway/link/link_rx.h"

enum {
    ALINK_BACKOFF_MIN_MS = 100,
    ALINK_BACKOFF_MAX_MS = 5000,
    ALINK_STEADY_MS = 5000, /* a link that held so long is made again without delay */
    ALINK_READ_BYTES = 128 * 1024,
    ALINK_READS_PER_TURN = 4,
    ALINK_IN_MAX = LINK_MESSAGE_MAX + 4 + ALINK_READ_BYTES,
    ALINK_OUT_MAX = 8 * 1024 * 1024,
};

struct alink_call {
    struct op op;
    struct alink *link;
    uint32_t req;
    struct timer *deadline; /* NULL = none */
    alink_done_fn *done;    /* NULL: cancelled; the result is still to come */
    void *arg;
};

struct alink {
    struct loop *loop;
    struct alink_conf conf;
    struct alink_ops ops;
    void *arg;
    enum alink_state state;
    bool wanted, paused, closed;
    int stop;                    /* leaves link_rx_feed() */
    struct timer *timer;         /* WAITING: next try; up: ping */
    uint32_t backoff_ms;
    struct http_exchange *upgrade; /* CONNECTING */
    struct stream *stream;       /* up */
    struct buf in, out;
    struct defer flush, feed;
    struct map *calls;           /* by req */
    uint32_t next_req;
    uint64_t heard_ms, up_ms;
    bool flush_pending;
    struct log_limit limit;
};

static void alink_connect(struct alink *a);
static void alink_on_timer(void *arg);

/* ---- calls ---- */

static void alink_call_free(struct alink_call *c)
{
    map_del_n(c->link->calls, &c->req, sizeof(c->req));
    timer_free(c->deadline);
    free(c);
}

static void alink_call_finish(struct alink_call *c, int r, const struct link_result *res)
{
    alink_done_fn *done = c->done;
    void *arg = c->arg;

    op_finish(&c->op);
    alink_call_free(c);
    if (done)
        done(arg, r, res);
}

static void alink_call_cancel(struct op *op)
{
    struct alink_call *c = CONTAINER_OF(op, struct alink_call, op);

    c->done = NULL;
    timer_cancel(c->deadline);
}

static void alink_call_timeout(void *arg)
{
    struct alink_call *c = arg;
    alink_done_fn *done = c->done;
    void *done_arg = c->arg;

    /* The entry stays until the result or the end of the link: its number must not be used again. */
    op_finish(&c->op);
    c->done = NULL;
    if (done)
        done(done_arg, -ETIMEDOUT, NULL);
}

static void alink_fail_calls(struct alink *a, int r)
{
    for (;;) {
        struct map_iter it = MAP_ITER_INIT;
        struct alink_call *c = map_next(a->calls, &it, NULL);

        if (!c)
            return;
        alink_call_finish(c, r, NULL);
    }
}

static void alink_on_result(void *arg, uint32_t req, const void *json, size_t len)
{
    struct alink *a = arg;
    struct alink_call *c = map_get_n(a->calls, &req, sizeof(req));
    cleanup(arena_freep) struct arena *mem = NULL;
    struct link_result res;

    if (!c)
        return; /* not ours: hostile or late, no matter */
    mem = arena_new(4 * LINK_DATA_MAX);
    if (json_decode(&link_result_table, json, len, mem, &res, NULL) < 0)
        alink_call_finish(c, -EPROTO, NULL);
    else
        alink_call_finish(c, 0, &res);
}

/* ---- the end of a connection ---- */

static void alink_wait(struct alink *a)
{
    a->state = ALINK_WAITING;
    timer_set(a->timer, a->backoff_ms);
    a->backoff_ms = a->backoff_ms * 2 > ALINK_BACKOFF_MAX_MS ? ALINK_BACKOFF_MAX_MS : a->backoff_ms * 2;
}

static void alink_down(struct alink *a, int r)
{
    bool was_up = alink_up(a->state);

    if (was_up && loop_now_ms(a->loop) - a->up_ms >= ALINK_STEADY_MS)
        a->backoff_ms = ALINK_BACKOFF_MIN_MS;
    http_exchange_free(a->upgrade);
    a->upgrade = NULL;
    stream_close(a->stream);
    a->stream = NULL;
    defer_cancel(&a->flush);
    defer_cancel(&a->feed);
    a->flush_pending = false;
    a->stop = 1;
    buf_deinit(&a->out);
    buf_init(&a->out, ALINK_OUT_MAX);
    /* a->in may be under link_rx_feed(): it is emptied when the next connection begins. */
    timer_cancel(a->timer);
    if (log_allow(&a->limit))
        log_info(&(struct log_ctx){.sandbox = a->conf.sandbox}, was_up ? "agent link lost" : "agent link failed", "reason", strerror(-r));
    if (a->wanted && !a->closed)
        alink_wait(a);
    else
        a->state = ALINK_IDLE;
    alink_fail_calls(a, -ECONNRESET);
    a->ops.on_down(a->arg, r);
}

/* ---- bytes ---- */

static void alink_on_synced(void *arg)
{
    struct alink *a = arg;

    if (a->state != ALINK_SYNCING)
        return;
    a->state = ALINK_SYNCED;
    a->ops.on_synced(a->arg);
}

static void alink_on_pong(void *arg, uint32_t v)
{
    (void) arg;
    (void) v; /* any byte counts as a sign of life */
}

static int alink_on_frame(void *arg, const char *pid, enum link_kind k, uint64_t cursor, const uint8_t *p, size_t len)
{
    struct alink *a = arg;

    return a->ops.on_frame(a->arg, pid, k, cursor, p, len);
}

static int alink_on_lost(void *arg, const char *pid, uint64_t from, uint64_t to)
{
    struct alink *a = arg;

    return a->ops.on_lost(a->arg, pid, from, to);
}

static const struct link_rx_ops alink_rx_ops = {
    .on_result = alink_on_result,
    .on_frame = alink_on_frame,
    .on_lost = alink_on_lost,
    .on_synced = alink_on_synced,
    .on_pong = alink_on_pong,
};

/* False when the link has ended. */
static bool alink_feed(struct alink *a)
{
    int r;

    if (a->paused)
        return true;
    a->stop = 0;
    r = link_rx_feed(&a->in, &alink_rx_ops, a, &a->stop);
    if (!a->stream)
        return false;
    if (r < 0) {
        alink_down(a, r);
        return false;
    }
    return true;
}

static void alink_feed_later(void *arg)
{
    struct alink *a = arg;

    if (a->stream)
        (void) alink_feed(a);
}

static void alink_read(struct alink *a)
{
    /* What a pause left over goes first, so that one message and one read always fit. */
    if (a->in.len > 0 && !alink_feed(a))
        return;
    for (int i = 0; i < ALINK_READS_PER_TURN && !a->paused; i++) {
        uint8_t *p = buf_reserve(&a->in, ALINK_READ_BYTES);
        ssize_t n;

        if (!p) {
            alink_down(a, -EPROTO); /* cannot be: a message is smaller */
            return;
        }
        n = stream_read(a->stream, p, ALINK_READ_BYTES);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            alink_down(a, n == 0 ? -ECONNRESET : (int) n);
            return;
        }
        buf_commit(&a->in, (size_t) n);
        a->heard_ms = loop_now_ms(a->loop);
        if (!alink_feed(a) || (size_t) n < ALINK_READ_BYTES)
            return;
    }
}

static void alink_wants(struct alink *a)
{
    stream_want(a->stream, (a->paused ? 0 : STREAM_READ) | (a->out.len ? STREAM_WRITE : 0));
}

static void alink_write(struct alink *a)
{
    while (a->out.len > 0) {
        struct iovec iov = {.iov_base = buf_data(&a->out), .iov_len = a->out.len};
        ssize_t n = stream_writev(a->stream, &iov, 1);

        if (n == -EAGAIN)
            break;
        if (n < 0) {
            alink_down(a, (int) n);
            return;
        }
        buf_consume(&a->out, (size_t) n);
    }
    buf_shrink(&a->out);
    alink_wants(a);
}

static void alink_flush(void *arg)
{
    struct alink *a = arg;

    a->flush_pending = false;
    if (a->stream)
        alink_write(a);
}

/* Messages of one turn leave in one write. */
static int alink_send(struct alink *a, const struct link_msg *m)
{
    int r = link_encode(&a->out, m);

    if (r < 0)
        return r;
    if (!a->flush_pending) {
        a->flush_pending = true;
        loop_defer(a->loop, &a->flush, alink_flush, a);
    }
    return 0;
}

static void alink_on_stream(void *arg, unsigned events)
{
    struct alink *a = arg;

    if (events & STREAM_FAILED) {
        alink_down(a, -EPROTO);
        return;
    }
    if (events & STREAM_WRITE)
        alink_write(a);
    if ((events & STREAM_READ) && a->stream)
        alink_read(a);
    if (a->stream && a->in.len == 0)
        buf_shrink(&a->in);
}

/* ---- connecting ---- */

static void alink_on_head(void *arg, const struct http_head *h)
{
    struct alink *a = arg;

    if (h->status != 101) {
        alink_down(a, h->status == 401 ? -EACCES : -ECONNREFUSED);
        return;
    }
    buf_clear(&a->in);
    a->stream = http_exchange_takeover(a->upgrade, &a->in);
    http_exchange_free(a->upgrade);
    a->upgrade = NULL;
    stream_set_fn(a->stream, alink_on_stream, a);
    a->state = ALINK_SYNCING;
    a->heard_ms = a->up_ms = loop_now_ms(a->loop);
    timer_set(a->timer, a->conf.silence_ms / 3);
    alink_wants(a);
    a->ops.on_up(a->arg);
    if (a->stream && a->in.len > 0)
        loop_defer(a->loop, &a->feed, alink_feed_later, a);
}

static void alink_on_end(void *arg)
{
    alink_down(arg, -ECONNREFUSED);
}

static void alink_on_fail(void *arg, int r)
{
    alink_down(arg, r);
}

static void alink_ignore(void *arg)
{
    (void) arg;
}

static void alink_ignore_data(void *arg, const void *p, size_t len)
{
    (void) arg;
    (void) p;
    (void) len;
}

static void alink_connect(struct alink *a)
{
    static const struct http_exchange_ops ops = {
        .on_ready = alink_ignore,
        .on_head = alink_on_head,
        .on_data = alink_ignore_data,
        .on_end = alink_on_end,
        .on_fail = alink_on_fail,
        .on_drain = alink_ignore,
    };
    char *bearer = xasprintf("Bearer %s", (const char *) a->conf.token->bytes);
    struct http_header items[] = {
        {"Connection", "Upgrade"}, {"Upgrade", LINK_UPGRADE}, {"Authorization", bearer}};
    struct http_headers headers = {items, ARRAY_LEN(items)};
    int r;

    a->state = ALINK_CONNECTING;
    r = http_exchange_begin(&a->upgrade, a->conf.pool, "GET", "/agent/v1/link", &headers, HTTP_BODY_NONE, a->conf.head_ms, &ops, a);
    mem_wipe(bearer, strlen(bearer));
    free(bearer);
    if (r < 0)
        alink_down(a, r);
}

static void alink_ping(struct alink *a)
{
    struct link_msg m = {.type = LINK_PING, .req = ++a->next_req};

    /* Silence while we do not read says nothing. */
    if (a->paused)
        a->heard_ms = loop_now_ms(a->loop);
    if (loop_now_ms(a->loop) - a->heard_ms > a->conf.silence_ms || alink_send(a, &m) < 0) {
        alink_down(a, -ETIMEDOUT);
        return;
    }
    timer_set(a->timer, a->conf.silence_ms / 3);
}

static void alink_on_timer(void *arg)
{
    struct alink *a = arg;

    if (a->state == ALINK_WAITING)
        alink_connect(a);
    else if (alink_up(a->state))
        alink_ping(a);
}

/* ---- public ---- */

struct alink *alink_new(struct loop *l, const struct alink_conf *conf, const struct alink_ops *ops, void *arg)
{
    struct alink *a = xnew(struct alink);

    a->loop = l;
    a->conf = *conf;
    a->ops = *ops;
    a->arg = arg;
    a->backoff_ms = ALINK_BACKOFF_MIN_MS;
    a->timer = timer_new(l, alink_on_timer, a);
    a->calls = map_new();
    a->limit = (struct log_limit) LOG_LIMIT_INIT(10);
    buf_init(&a->in, ALINK_IN_MAX);
    buf_init(&a->out, ALINK_OUT_MAX);
    return a;
}

static void alink_reap(void *arg)
{
    struct alink *a = arg;

    buf_deinit(&a->in);
    buf_deinit(&a->out);
    map_free(a->calls);
    timer_free(a->timer);
    free(a);
}

static void alink_no_event(void *arg, int r)
{
    (void) arg;
    (void) r;
}

void alink_free(struct alink *a)
{
    if (!a || a->closed)
        return;
    a->closed = true;
    a->wanted = false;
    a->ops.on_down = alink_no_event;
    alink_fail_calls(a, -ECANCELED);
    if (a->state != ALINK_IDLE) {
        a->limit.burst = 0; /* an end that was asked for is no news */
        alink_down(a, -ECANCELED);
    }
    loop_reap(a->loop, a, alink_reap);
}

void alink_want(struct alink *a, bool wanted)
{
    a->wanted = wanted;
    if (wanted && a->state == ALINK_IDLE) {
        a->state = ALINK_WAITING;
        timer_set(a->timer, 0);
    } else if (!wanted && a->state == ALINK_WAITING) {
        timer_cancel(a->timer);
        a->state = ALINK_IDLE;
    } else if (!wanted && a->state != ALINK_IDLE) {
        alink_down(a, -ECANCELED);
    }
}

void alink_reset(struct alink *a, struct http_pool *pool)
{
    a->conf.pool = pool;
    a->backoff_ms = ALINK_BACKOFF_MIN_MS;
    if (a->state == ALINK_CONNECTING || alink_up(a->state))
        alink_down(a, -ECONNRESET);
    a->backoff_ms = ALINK_BACKOFF_MIN_MS;
    if (a->state == ALINK_WAITING)
        timer_set(a->timer, 0);
}

enum alink_state alink_state(const struct alink *a)
{
    return a->state;
}

void alink_pause(struct alink *a, bool paused)
{
    if (a->paused == paused)
        return;
    a->paused = paused;
    a->stop = paused;
    if (!a->stream)
        return;
    alink_wants(a);
    if (!paused && a->in.len > 0)
        loop_defer(a->loop, &a->feed, alink_feed_later, a);
}

int alink_request(struct alink *a, struct link_msg *m, uint32_t deadline_ms, struct op **slot, alink_done_fn *done, void *arg)
{
    struct alink_call *c;
    int r;

    if (!alink_up(a->state) || a->closed)
        return -ENOTCONN;
    do {
        m->req = ++a->next_req;
    } while (map_get_n(a->calls, &m->req, sizeof(m->req)));
    r = alink_send(a, m);
    if (r < 0)
        return r == -EINVAL ? -EMSGSIZE : r;
    c = xnew(struct alink_call);
    c->link = a;
    c->req = m->req;
    c->done = done;
    c->arg = arg;
    if (deadline_ms) {
        c->deadline = timer_new(a->loop, alink_call_timeout, c);
        timer_set(c->deadline, deadline_ms);
    }
    map_put_n(a->calls, &c->req, sizeof(c->req), c);
    op_begin(&c->op, slot, alink_call_cancel);
    return 0;
}

static void alink_tell(struct alink *a, enum link_type type, const char *pid, uint64_t cursor)
{
    struct link_msg m = {.type = type, .cursor = cursor, .pid = pid, .pid_len = (uint8_t) strlen(pid)};
    int r;

    if (!alink_up(a->state))
        return;
    r = alink_send(a, &m);
    if (r < 0)
        alink_down(a, r); /* the agent takes nothing */
}

void alink_ack(struct alink *a, const char *pid, uint64_t cursor)
{
    alink_tell(a, LINK_ACK, pid, cursor);
}

void alink_resend(struct alink *a, const char *pid, uint64_t since)
{
    alink_tell(a, LINK_RESEND, pid, since);
}
