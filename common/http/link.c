/* SPDX-License-Identifier: Apache-2.0 */
/* link - one client connection: connects, sends, reads, watches deadlines. What the bytes mean is exchange.c's. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/http/client_internal.h"
#include "common/net/stream.h"

enum { CONNECT_MS = 10 * 1000 };

static void link_on_stream(void *arg, unsigned events);
static void link_on_timer(void *arg);
static void link_after(void *arg);
static void link_update(struct http_link *k);

struct http_link *link_new(struct http_pool *p)
{
    struct http_link *k = xnew(struct http_link);

    k->magic = HTTP_LINK_MAGIC;
    k->pool = p;
    k->loop = p->loop;
    k->timer = timer_new(p->loop, link_on_timer, k);
    return k;
}

static void link_free(void *p)
{
    struct http_link *k = p;

    assert(k->magic == HTTP_LINK_MAGIC);
    k->magic = 0;
    sendq_deinit(&k->out);
    buf_deinit(&k->in);
    free(k);
}

/* All but the stream; the memory stays until the turn has ended. */
static void link_end(struct http_link *k)
{
    k->state = LINK_STATE_CLOSED;
    op_cancel(&k->connecting);
    defer_cancel(&k->turn);
    timer_free(take_ptr(&k->timer));
    if (k->x)
        k->x->link = NULL;
    k->x = NULL;
    pool_link_closed(k->pool, k);
    loop_reap(k->loop, k, link_free);
}

void link_close(struct http_link *k, bool reset)
{
    if (k->state == LINK_STATE_CLOSED)
        return;
    if (reset)
        stream_abort(take_ptr(&k->stream));
    else
        stream_close(take_ptr(&k->stream));
    link_end(k);
}

struct stream *link_take_stream(struct http_link *k, struct buf *leftover)
{
    struct stream *s = take_ptr(&k->stream);
    size_t len = k->handing ? k->rest_len : k->in.len;
    const uint8_t *rest = k->handing || !len ? k->rest : buf_data(&k->in);

    /* What the new owner cannot be given is lost with the connection: it reads an end. */
    if ((len && buf_append(leftover, rest, len) < 0) || sendq_len(&k->out))
        (void) shutdown(stream_fd(s), SHUT_RDWR);
    stream_want(s, 0);
    link_end(k);
    return s;
}

void link_kick(struct http_link *k)
{
    if (!k->busy && k->state != LINK_STATE_CLOSED)
        loop_defer(k->loop, &k->turn, link_after, k);
}

/* ---- connecting ---- */

static void link_on_connected(void *arg, int r, int fd)
{
    struct http_link *k = arg;
    struct http_pool *p = k->pool;

    assert(k->magic == HTTP_LINK_MAGIC && k->state == LINK_STATE_CONNECTING);
    k->since_ms = loop_now_ms(k->loop);
    if (r < 0) {
        k->failed = r;
    } else {
        k->state = LINK_STATE_OPENING;
        /* Descriptors may come from anywhere; fails on unix sockets, which do not wait. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (p->tls)
            k->stream = stream_new_tls_client(k->loop, fd, p->tls, p->tls_name, link_on_stream, k);
        else
            k->stream = stream_new(k->loop, fd, link_on_stream, k);
    }
    link_kick(k);
}

void link_begin(struct http_link *k)
{
    struct http_pool *p = k->pool;
    int r;

    k->state = LINK_STATE_CONNECTING;
    k->since_ms = loop_now_ms(k->loop);
    if (p->connect)
        r = p->connect(p->connect_ctx, &k->connecting, link_on_connected, k);
    else
        r = net_connect(k->loop, &p->addr, CONNECT_MS, &k->connecting, link_on_connected, k);
    if (r < 0)
        k->failed = r; /* told from the loop, not from inside the caller's call */
    link_kick(k);
}

void link_attach(struct http_link *k, struct http_exchange *x)
{
    k->x = x;
    k->answered = k->write_dead = false;
    k->scanned = 0;
    k->since_ms = loop_now_ms(k->loop);
    if (k->state == LINK_STATE_IDLE)
        k->state = LINK_STATE_BUSY;
    x->link = k;
    x->state = X_SENDING;
    x->ready_due = true;
    link_kick(k);
}

void link_park(struct http_link *k)
{
    k->state = LINK_STATE_IDLE;
    k->since_ms = loop_now_ms(k->loop);
    link_kick(k);
}

bool link_is_stale(const struct http_link *k)
{
    char byte;

    return recv(stream_fd(k->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* ---- output ---- */

void link_putv(struct http_link *k, const struct iovec *iov, int n)
{
    size_t sent = 0;
    int r;

    if (k->write_dead)
        return;
    if (!sendq_len(&k->out))
        k->sent_ms = loop_now_ms(k->loop);
    r = sendq_putv(&k->out, k->stream, iov, n, &sent);
    if (sent)
        k->since_ms = k->sent_ms = loop_now_ms(k->loop);
    if (r == -ENOBUFS)
        k->failed = r;
    else if (r < 0)
        k->write_dead = true;
    link_kick(k);
}

/* Connected: the request's head goes out, together with what the owner adds at once. */
static void link_start_exchange(struct http_link *k)
{
    struct http_exchange *x = k->x;

    if (!x || !x->ready_due || k->state != LINK_STATE_BUSY)
        return;
    x->ready_due = false;
    const struct iovec iov = {.iov_base = buf_data(&x->request), .iov_len = x->request.len};

    link_putv(k, &iov, 1);
    if (!x->retry)
        buf_deinit(&x->request);
    if (x->ops->on_ready && !x->ready_told) {
        x->ready_told = true;
        x->ops->on_ready(x->arg);
    }
}

static void link_flush(struct http_link *k)
{
    size_t sent = 0;
    int r;

    if (k->write_dead) {
        buf_deinit(&k->out.b);
        return;
    }
    r = sendq_flush(&k->out, k->stream, &sent);
    if (sent)
        k->since_ms = k->sent_ms = loop_now_ms(k->loop);
    if (r < 0) { /* an answer that was sent before may still be read */
        k->write_dead = true;
        buf_deinit(&k->out.b);
    }
}

static void link_tell_drain(struct http_link *k)
{
    struct http_exchange *x = k->x;

    if (!x || !x->drain_due || sendq_len(&k->out) > k->pool->limits.queue_bytes / 4)
        return;
    x->drain_due = false;
    if (x->ops->on_drain)
        x->ops->on_drain(x->arg);
    if (k->state != LINK_STATE_CLOSED && sendq_len(&k->out) && !k->out.blocked)
        link_kick(k);
}

/* ---- input ---- */

static size_t link_consume(struct http_link *k, const uint8_t *p, size_t len)
{
    size_t used = 0, n;

    k->handing = true;
    do {
        k->rest = p + used;
        k->rest_len = len - used;
        n = k->x && k->state == LINK_STATE_BUSY ? exchange_take(k, p + used, len - used) : 0;
        used += n;
    } while (n && used < len);
    k->handing = false;
    return used;
}

static void link_consume_kept(struct http_link *k)
{
    size_t used = link_consume(k, k->in.len ? buf_data(&k->in) : (const uint8_t *) "", k->in.len);

    buf_consume(&k->in, used);
    buf_shrink(&k->in);
}

static bool link_reads(const struct http_link *k)
{
    switch (k->state) {
    case LINK_STATE_IDLE: /* only an end is expected */
        return true;
    case LINK_STATE_BUSY:
        return k->x && !k->x->paused && k->x->state != X_SWITCHED;
    default:
        return false;
    }
}

static void link_read(struct http_link *k)
{
    uint8_t *p = http_scratch_take();
    ssize_t n = stream_read(k->stream, p, HTTP_SCRATCH_BYTES);
    size_t len = n > 0 ? (size_t) n : 0, used = 0;
    bool idle = k->state == LINK_STATE_IDLE;
    int r = 0;

    if (len && k->state == LINK_STATE_BUSY) {
        k->answered = true;
        if (k->x && k->x->state == X_BODY) /* a head that dribbles wins no time */
            k->since_ms = loop_now_ms(k->loop);
        if (k->in.len) {
            r = buf_append(&k->in, p, len);
            if (r == 0)
                link_consume_kept(k);
        } else {
            used = link_consume(k, p, len);
            /* Whoever is served next must not find another's bytes. */
            if (used < len && k->state != LINK_STATE_CLOSED)
                r = k->state == LINK_STATE_BUSY && k->x ? buf_append(&k->in, p + used, len - used) : -EPROTO;
        }
    }
    http_scratch_give();
    if (k->state == LINK_STATE_CLOSED)
        return;
    if (idle && n != -EAGAIN) /* closed by the peer, or bytes that nobody asked for */
        link_close(k, false);
    else if (n == 0)
        exchange_eof(k);
    else if (n < 0 && n != -EAGAIN)
        k->failed = (int) n;
    else if (r < 0)
        k->failed = r;
}

/* ---- deadlines ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t link_due_ms(const struct http_link *k)
{
    const struct http_exchange *x = k->x;
    uint64_t due = sendq_len(&k->out) ? k->sent_ms + k->pool->limits.write_idle_ms : UINT64_MAX;

    switch (k->state) {
    case LINK_STATE_CONNECTING:
    case LINK_STATE_OPENING:
        return k->since_ms + (x && x->head_ms && x->head_ms < CONNECT_MS ? x->head_ms : CONNECT_MS);
    case LINK_STATE_IDLE:
        return k->since_ms + k->pool->idle_ms;
    case LINK_STATE_BUSY:
        if (x && x->state == X_SENDING && x->request_ended && x->head_ms)
            return earlier(due, k->since_ms + x->head_ms);
        if (x && x->state == X_BODY && !x->paused && k->pool->body_idle_ms)
            return earlier(due, k->since_ms + k->pool->body_idle_ms);
        return due;
    default:
        return UINT64_MAX;
    }
}

static void link_set_timer(struct http_link *k)
{
    uint64_t now = loop_now_ms(k->loop), due = link_due_ms(k);

    if (due == UINT64_MAX || (k->armed_ms && k->armed_ms <= due))
        return; /* an early wake looks again */
    k->armed_ms = due > now ? due : now + 1;
    timer_set(k->timer, k->armed_ms - now);
}

static void link_on_timer(void *arg)
{
    struct http_link *k = arg;

    k->armed_ms = 0;
    if (link_due_ms(k) <= loop_now_ms(k->loop)) {
        if (k->x)
            k->failed = -ETIMEDOUT;
        else
            link_close(k, false);
    }
    link_after(k);
}

/* ---- the end of each event ---- */

static void link_update(struct http_link *k)
{
    unsigned want = link_reads(k) ? STREAM_READ : 0;

    if (k->stream) {
        if (k->out.blocked && sendq_len(&k->out))
            want |= STREAM_WRITE;
        stream_want(k->stream, want);
    }
    link_set_timer(k);
}

/* The connection is lost; the exchange, if there is one, learns it. */
static void link_give_up(struct http_link *k)
{
    struct http_exchange *x = k->x;
    int r = k->failed;

    if (x)
        exchange_lost(x, r);
    else
        link_close(k, true);
}

static void link_after(void *arg)
{
    struct http_link *k = arg;

    assert(k->magic == HTTP_LINK_MAGIC);
    if (k->state == LINK_STATE_CLOSED)
        return;
    link_start_exchange(k);
    if (k->state == LINK_STATE_BUSY && k->x && !k->x->paused && !k->failed)
        link_consume_kept(k);
    if (k->state == LINK_STATE_BUSY && !k->failed)
        link_flush(k);
    if (k->state == LINK_STATE_BUSY && !k->failed)
        link_tell_drain(k);
    if (k->state != LINK_STATE_CLOSED && k->failed)
        link_give_up(k);
    if (k->state != LINK_STATE_CLOSED)
        link_update(k);
}

static void link_on_stream(void *arg, unsigned events)
{
    struct http_link *k = arg;

    assert(k->magic == HTTP_LINK_MAGIC);
    k->busy = true;
    if (events & STREAM_FAILED)
        k->failed = -ECONNABORTED;
    if ((events & STREAM_OPEN) && k->state == LINK_STATE_OPENING)
        k->state = LINK_STATE_BUSY;
    if ((events & STREAM_READ) && link_reads(k))
        link_read(k);
    k->busy = false;
    link_after(k);
}
