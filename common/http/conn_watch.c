/* SPDX-License-Identifier: Apache-2.0 */
/* conn_watch - deadlines of a connection, and the departure of clients that no event tells. */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include "common/http/server_internal.h"
#include "common/net/stream.h"

enum {
    DRAIN_MS = 10 * 1000,
    LINGER_MS = 10 * 1000,
    LINGER_IDLE_MS = 2 * 1000,
    TICK_MS = 500,           /* looks at a client that is not being read */
    PROBE_NEXT_MS = 10 * 1000,
    KEEPALIVE_MS = 15 * 1000, /* a longer wait switches TCP keep-alive on */
};

/* ---- the client's departure ---- */

/* Whether the client is gone in both directions (reset, or closed on a unix socket). */
static bool conn_peer_gone(const struct http_conn *c)
{
    struct pollfd pfd = {.fd = stream_fd(c->stream), .events = POLLRDHUP};

    return poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* A body of known length whose sender has shut its side before all of it reached our socket. */
static bool conn_body_cut(const struct http_conn *c)
{
    struct pollfd pfd = {.fd = stream_fd(c->stream), .events = POLLRDHUP};
    int unread = 0;

    if (c->state != CONN_BODY || c->body_left < 0 || stream_is_tls(c->stream))
        return false;
    if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLRDHUP))
        return false;
    if (ioctl(stream_fd(c->stream), FIONREAD, &unread) < 0)
        return false;
    return (uint64_t) c->body_left > c->in.len + (uint64_t) unread;
}

/*
 * A client that has shut its side may be waiting for its answer (half-closed) or gone: TCP says the same in both cases. An interim
 * 100 Continue, which every HTTP/1.1 client skips, makes the kernel of one that is gone answer with a reset.
 */
static void conn_probe(struct http_conn *c, uint64_t now)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (now < c->probe_ms || c->req->reply != REPLY_NONE || c->req->head.http10 || sendq_len(&c->out))
        return;
    c->probe_ms = now + PROBE_NEXT_MS;
    reply_put(c->req, interim, sizeof(interim) - 1);
}

/* For clients that vanish without a word, and for half-closed ones whose answer has begun. */
static void conn_keepalive(struct http_conn *c)
{
    if (!c->keepalive_on)
        http_keepalive(stream_fd(c->stream), 30);
    c->keepalive_on = true;
}

/* Regular looks at a client whose departure no event tells. */
static void conn_tick(struct http_conn *c, uint64_t now)
{
    if (c->eof || c->state == CONN_WAIT)
        conn_keepalive(c);
    if (c->eof && c->state == CONN_WAIT)
        conn_probe(c, now);
    if ((c->eof || !conn_reads(c)) && (conn_peer_gone(c) || conn_body_cut(c)))
        conn_fail(c, -ECONNRESET);
}

/* ---- deadlines ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t conn_due_ms(const struct http_conn *c, uint64_t now)
{
    const struct http_limits *lim = &c->server->limits;
    uint64_t due = sendq_len(&c->out) ? c->sent_ms + lim->write_idle_ms : UINT64_MAX;

    switch (c->state) {
    case CONN_OPENING:
        return c->since_ms + lim->head_ms;
    case CONN_HEAD:
        if (sendq_len(&c->out))
            return due;
        return c->since_ms + (c->in.len ? lim->head_ms : lim->idle_ms);
    case CONN_BODY:
        return earlier(due, body_wanted(c->req) ? c->since_ms + lim->body_idle_ms : now + TICK_MS);
    case CONN_WAIT:
        if (c->eof || !conn_reads(c))
            return earlier(due, now + TICK_MS);
        return c->keepalive_on ? due : earlier(due, c->since_ms + KEEPALIVE_MS);
    case CONN_DRAIN:
        return earlier(due, c->since_ms + DRAIN_MS);
    case CONN_LINGER:
        return earlier(c->since_ms + LINGER_IDLE_MS, c->linger_ms + LINGER_MS);
    default:
        return due;
    }
}

void conn_set_timer(struct http_conn *c)
{
    uint64_t now = loop_now_ms(c->loop), due = conn_due_ms(c, now);

    if (due == UINT64_MAX) {
        if (c->armed_ms)
            timer_cancel(c->timer);
        c->armed_ms = 0;
    } else if (!c->armed_ms || due < c->armed_ms) { /* a later one is noticed when the timer comes */
        c->armed_ms = due > now ? due : now + 1;
        timer_set(c->timer, c->armed_ms - now);
    }
}

static void conn_expire(struct http_conn *c, uint64_t now)
{
    const struct http_limits *lim = &c->server->limits;

    switch (c->state) {
    case CONN_HEAD:
        if (c->in.len && now >= c->since_ms + lim->head_ms && !sendq_len(&c->out))
            conn_refuse(c, NULL, 408, "request_timeout", "the request's head did not arrive in time");
        else if (!c->in.len && now >= c->since_ms + lim->idle_ms && !sendq_len(&c->out))
            conn_fail(c, 0);
        break;
    case CONN_BODY:
        if (!body_wanted(c->req))
            conn_tick(c, now);
        else if (now >= c->since_ms + lim->body_idle_ms)
            req_take_over(c->req, -ETIMEDOUT, 408, "request_timeout", "the request's body stopped arriving");
        break;
    case CONN_WAIT:
        conn_tick(c, now);
        break;
    case CONN_DRAIN:
        if (now >= c->since_ms + DRAIN_MS)
            conn_enter(c, CONN_FLUSH);
        break;
    case CONN_OPENING:
        conn_fail(c, now >= c->since_ms + lim->head_ms ? -ETIMEDOUT : 0);
        break;
    default:
        break;
    }
}

void conn_on_timer(void *arg)
{
    struct http_conn *c = arg;
    uint64_t now = loop_now_ms(c->loop);

    c->armed_ms = 0;
    if (conn_due_ms(c, now) > now && c->state != CONN_WAIT && c->state != CONN_BODY) {
        conn_set_timer(c); /* it was put off */
        return;
    }
    if (sendq_len(&c->out) && now >= c->sent_ms + c->server->limits.write_idle_ms)
        conn_fail(c, -ETIMEDOUT);
    else if (c->state == CONN_LINGER)
        conn_fail(c, 0);
    else
        conn_expire(c, now);
    conn_after(c);
}
