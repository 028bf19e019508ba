/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - one connection of the server: reads, cuts the input into requests, watches deadlines and the client's departure.
 * Input is read into the thread's shared buffer and handed out from there; only what cannot be used yet is kept in `in`. Everything that
 * changes outside the connection's own events ends in conn_kick(): one deferred look per turn sends, goes on reading, sets the timer.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/http/server_internal.h"
#include "common/net/stream.h"

enum {
    KEEP_BYTES_MAX = 64 * KIB,   /* input kept for a body that nobody has asked for yet */
    DRAIN_BYTES_MAX = 64 * KIB,  /* of an unread body */
    LINGER_BYTES_MAX = 64 * MIB, /* from a client that goes on sending after an error */
    PROBE_FIRST_MS = 500,        /* a client that shut its side is probed after that */
};

static void conn_on_stream(void *arg, unsigned events);

struct http_conn *conn_new(struct http_server *s, int fd, const char *peer)
{
    struct http_conn *c = xnew(struct http_conn);

    c->magic = HTTP_CONN_MAGIC;
    c->server = s;
    c->loop = s->loop;
    memcpy(c->peer, peer, strnlen(peer, sizeof(c->peer) - 1));
    c->since_ms = loop_now_ms(c->loop);
    c->timer = timer_new(c->loop, conn_on_timer, c);
    if (s->tls)
        c->stream = stream_new_tls_server(c->loop, fd, s->tls, conn_on_stream, c);
    else
        c->stream = stream_new(c->loop, fd, conn_on_stream, c);
    conn_kick(c);
    return c;
}

static void conn_free(void *p)
{
    struct http_conn *c = p;

    assert(c->magic == HTTP_CONN_MAGIC);
    c->magic = 0;
    sendq_deinit(&c->out);
    buf_deinit(&c->in);
    free(c);
}

/* Everything but the stream. The memory stays until the turn has ended: callers up the stack still look at `state`. */
static void conn_end(struct http_conn *c, int error)
{
    struct http_req *r = take_ptr(&c->req);

    c->state = CONN_CLOSED;
    defer_cancel(&c->turn);
    timer_free(take_ptr(&c->timer));
    if (r)
        req_lost(r, error);
    loop_reap(c->loop, c, conn_free);
}

void conn_fail(struct http_conn *c, int r)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    if (r)
        stream_abort(take_ptr(&c->stream));
    else
        stream_close(take_ptr(&c->stream));
    server_conn_closed(c->server, c);
    conn_end(c, r);
}

void conn_release(struct http_conn *c)
{
    assert(!c->req);
    c->stream = NULL;
    server_upgraded(c->server, c);
    conn_end(c, 0);
}

void conn_kick(struct http_conn *c)
{
    if (!c->busy && c->state != CONN_CLOSED)
        loop_defer(c->loop, &c->turn, conn_after, c);
}

bool conn_is_idle(const struct http_conn *c)
{
    return c->state == CONN_HEAD && !c->in.len && !sendq_len(&c->out);
}

void conn_close_idle(struct http_conn *c)
{
    if (conn_is_idle(c))
        conn_fail(c, 0);
}

void conn_enter(struct http_conn *c, enum conn_state state)
{
    if (c->state == CONN_CLOSED)
        return;
    if (state == CONN_HEAD && (c->close_after || c->server->draining))
        state = CONN_FLUSH;
    c->state = state;
    c->since_ms = loop_now_ms(c->loop);
    c->dropped = 0;
    c->scanned = 0;
}

/* ---- refusals ---- */

void conn_refuse(struct http_conn *c, const char *id, int status, const char *code, const char *message)
{
    struct buf body = BUF_INIT(0), head = BUF_INIT(0);
    char made[24];
    int r;

    if (!id) {
        request_id_make(made);
        id = made;
        server_count_status(status, 0);
    }
    reply_error_text(&body, code, message, NULL, id);
    r = buf_printf(&head, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                   "X-Request-Id: %s\r\nConnection: close\r\n\r\n",
                   status, http_status_text(status), http_date(), body.len, id);
    if (!sendq_len(&c->out))
        c->sent_ms = loop_now_ms(c->loop);
    if (r == 0)
        r = sendq_append(&c->out, buf_data(&head), head.len);
    if (r == 0)
        r = sendq_append(&c->out, buf_data(&body), body.len);
    if (r < 0)
        c->failed = r;
    buf_deinit(&body);
    buf_deinit(&head);
    c->close_after = c->linger = true;
    conn_enter(c, CONN_FLUSH);
}

static void conn_refuse_head(struct http_conn *c, int r, const char *reason)
{
    switch (r) {
    case HTTP_E_TOO_LARGE:
        conn_refuse(c, NULL, 431, "head_too_large", reason);
        return;
    case HTTP_E_VERSION:
        conn_refuse(c, NULL, 505, "http_version_not_supported", reason);
        return;
    case HTTP_E_UNSUPPORTED:
        conn_refuse(c, NULL, 501, "not_implemented", reason);
        return;
    default:
        conn_refuse(c, NULL, 400, "bad_request", reason);
        return;
    }
}

/* ---- input ---- */

/* A pipelined request waits while the answers before it are not taken. */
static bool conn_head_waits(const struct http_conn *c)
{
    return sendq_len(&c->out) > c->server->limits.queue_bytes / 4;
}

static void conn_begin_request(struct http_conn *c, struct arena *a, const struct http_head *h)
{
    struct http_req *r = req_new(c, a, h);

    if (!r) {
        conn_refuse(c, NULL, 431, "head_too_large", "the head does not fit into the request's memory");
        return;
    }
    if (h->body == HTTP_BODY_CHUNKED)
        http_chunked_init(&c->chunked);
    c->body_left = h->body;
    c->close_after = !h->keep_alive;
    c->req = r;
    c->server->fn(c->server->arg, r);
}

/* Bytes of the head at p, 0 when it is not complete (or must wait). */
static size_t conn_take_head(struct http_conn *c, const uint8_t *p, size_t len)
{
    const struct http_limits *lim = &c->server->limits;
    struct http_head head;
    const char *reason = "";
    size_t end = 0;
    struct arena *a;
    int r;

    if (!len || conn_head_waits(c))
        return 0;
    r = http_head_scan(p, len, lim, &c->scanned, &end, &reason);
    if (r == HTTP_E_MORE)
        return 0;
    if (r) {
        conn_refuse_head(c, r, reason);
        return len;
    }
    a = arena_new(0);
    r = http_parse_request_whole(p, end, lim, a, &head, &reason);
    if (r) {
        arena_free(a);
        conn_refuse_head(c, r, reason);
        return len;
    }
    if (head.upgrade && sendq_len(&c->out)) { /* whoever takes the connection finds nothing queued */
        arena_free(a);
        return 0;
    }
    list_del(&c->idle_node);
    conn_enter(c, head.body == HTTP_BODY_NONE ? CONN_WAIT : CONN_BODY);
    c->rest = p + end;
    c->rest_len = len - end;
    conn_begin_request(c, a, &head);
    return end;
}

static size_t conn_drop_body(struct http_conn *c, const uint8_t *p, size_t len)
{
    const uint8_t *data;
    size_t data_len;
    bool done;
    ssize_t n = body_decode(c, p, len, &data, &data_len, &done);

    if (n > 0)
        c->dropped += (uint64_t) n;
    if (n < 0 || c->dropped > DRAIN_BYTES_MAX) {
        c->close_after = c->linger = true;
        conn_enter(c, CONN_FLUSH);
        return len;
    }
    if (done)
        conn_enter(c, CONN_HEAD);
    return (size_t) n;
}

/* Hands out what can be used now; returns how much that was. */
static size_t conn_consume(struct http_conn *c, const uint8_t *p, size_t len)
{
    size_t used = 0;

    c->handing = true;
    for (;;) {
        enum conn_state before = c->state;
        const struct http_req *req = c->req;
        size_t n = 0;

        c->rest = p + used;
        c->rest_len = len - used;
        switch (c->state) {
        case CONN_HEAD:
            n = conn_take_head(c, p + used, len - used);
            break;
        case CONN_BODY:
            n = body_take(c, p + used, len - used);
            break;
        case CONN_DRAIN:
            n = conn_drop_body(c, p + used, len - used);
            break;
        case CONN_FLUSH:
        case CONN_LINGER:
            c->dropped += len - used;
            n = len - used;
            break;
        case CONN_CLOSED:
            n = len - used;
            break;
        default: /* CONN_WAIT: kept for the next request */
            break;
        }
        used += n;
        if (c->state == CONN_CLOSED || (n == 0 && c->state == before && c->req == req))
            break;
    }
    c->handing = false;
    return used;
}

static void conn_consume_kept(struct http_conn *c)
{
    size_t used = conn_consume(c, c->in.len ? buf_data(&c->in) : (const uint8_t *) "", c->in.len);

    buf_consume(&c->in, used);
    buf_shrink(&c->in);
}

static void conn_read(struct http_conn *c)
{
    uint8_t *p = http_scratch_take();
    ssize_t n = stream_read(c->stream, p, HTTP_SCRATCH_BYTES);
    bool had = c->in.len;
    int r = 0;

    if (n > 0) {
        size_t len = (size_t) n, used = 0;

        server_count_bytes(len, 0);
        if (c->state == CONN_BODY || c->state == CONN_LINGER)
            c->since_ms = loop_now_ms(c->loop);
        if (!had)
            used = conn_consume(c, p, len);
        if (used < len)
            r = buf_append(&c->in, p + used, len - used);
        if (had && r == 0)
            conn_consume_kept(c);
        if (!had && c->in.len && c->state == CONN_HEAD)
            c->since_ms = loop_now_ms(c->loop); /* a head has begun */
    }
    http_scratch_give();
    if (n == 0)
        c->eof = true;
    else if (n < 0 && n != -EAGAIN)
        r = (int) n;
    if (r < 0)
        conn_fail(c, r);
}

/* ---- what is read ---- */

bool conn_reads(const struct http_conn *c)
{
    if (c->eof)
        return false;
    switch (c->state) {
    case CONN_HEAD:
    case CONN_WAIT:
        return c->in.len < KEEP_BYTES_MAX;
    case CONN_BODY:
        return body_wanted(c->req) || (c->req->mode == BODY_UNCHOSEN && c->in.len < KEEP_BYTES_MAX);
    case CONN_DRAIN:
    case CONN_LINGER:
        return true;
    case CONN_FLUSH:
        return c->linger;
    default:
        return false;
    }
}

/* The client has shut its side and all that it sent before has been looked at. */
static void conn_handle_eof(struct http_conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        if (!c->in.len || !conn_head_waits(c)) {
            c->close_after = true;
            conn_enter(c, CONN_FLUSH);
        }
        break;
    case CONN_BODY:
        if (body_wanted(c->req))
            conn_fail(c, -ECONNRESET);
        break;
    case CONN_WAIT:
        if (!c->probe_ms)
            c->probe_ms = loop_now_ms(c->loop) + PROBE_FIRST_MS;
        break;
    case CONN_DRAIN:
        conn_enter(c, CONN_FLUSH);
        break;
    case CONN_LINGER:
        conn_fail(c, 0);
        break;
    default:
        break;
    }
}

/* ---- output and the end of each event ---- */

static void conn_flush(struct http_conn *c)
{
    size_t sent = 0, queued = sendq_len(&c->out);
    int r = c->failed;

    if (!r)
        r = sendq_flush(&c->out, c->stream, &sent);
    if (sent) {
        c->sent_ms = loop_now_ms(c->loop);
        server_count_bytes(0, sent);
    }
    if (r < 0) {
        conn_fail(c, r);
    } else if (c->state == CONN_HEAD && c->in.len && sendq_len(&c->out) < queued) {
        c->since_ms = loop_now_ms(c->loop); /* a head that waited for the queue may go on: no event would tell it */
        conn_kick(c);
    }
}

/* Tells a producer that was told of a full queue. */
static void conn_tell_drain(struct http_conn *c)
{
    struct http_req *r = c->req;

    if (!r || !r->drain_due || sendq_len(&c->out) > c->server->limits.queue_bytes / 4)
        return;
    r->drain_due = false;
    if (r->on_drain)
        r->on_drain(r->drain_arg, r);
    if (sendq_len(&c->out) && !c->out.blocked)
        conn_kick(c);
}

/* FLUSH: when all is sent, shut our side; a client that may still be sending is listened to for a while. */
static void conn_finish(struct http_conn *c)
{
    if (sendq_len(&c->out))
        return;
    if (c->eof || !c->linger || stream_shutdown_write(c->stream) < 0) {
        conn_fail(c, 0);
        return;
    }
    conn_enter(c, CONN_LINGER);
    c->linger_ms = c->since_ms;
}

static void conn_update(struct http_conn *c)
{
    unsigned want = conn_reads(c) ? STREAM_READ : 0;

    if (c->out.blocked && sendq_len(&c->out))
        want |= STREAM_WRITE;
    stream_want(c->stream, want);
    if (!conn_is_idle(c))
        list_del(&c->idle_node);
    else if (!list_linked(&c->idle_node))
        list_append(&c->server->idle, &c->idle_node);
    conn_set_timer(c);
}

/* After every event and every kick. */
void conn_after(void *arg)
{
    struct http_conn *c = arg;

    assert(c->magic == HTTP_CONN_MAGIC);
    /* Without input too: an empty or a paused body may end now. */
    if (c->in.len || (c->state == CONN_BODY && body_wanted(c->req)) || c->state == CONN_DRAIN)
        conn_consume_kept(c);
    if (c->state != CONN_CLOSED && c->eof)
        conn_handle_eof(c);
    if (c->state != CONN_CLOSED && c->state != CONN_OPENING)
        conn_flush(c);
    if (c->state != CONN_CLOSED)
        conn_tell_drain(c);
    if (c->state == CONN_LINGER && c->dropped > LINGER_BYTES_MAX)
        conn_fail(c, 0);
    if (c->state == CONN_FLUSH)
        conn_finish(c);
    if (c->state != CONN_CLOSED)
        conn_update(c);
}

static void conn_on_stream(void *arg, unsigned events)
{
    struct http_conn *c = arg;

    assert(c->magic == HTTP_CONN_MAGIC);
    c->busy = true;
    if (events & STREAM_FAILED)
        conn_fail(c, -ECONNABORTED);
    if (events & STREAM_OPEN)
        conn_enter(c, CONN_HEAD);
    if ((events & STREAM_READ) && c->state != CONN_CLOSED && conn_reads(c))
        conn_read(c);
    c->busy = false;
    conn_after(c);
}

void conn_request_done(struct http_conn *c, bool body_done, bool body_refused)
{
    if (c->state == CONN_CLOSED)
        return;
    c->probe_ms = 0;
    if (body_done) {
        conn_enter(c, CONN_HEAD);
    } else if (body_refused || c->close_after || c->body_left > DRAIN_BYTES_MAX) {
        c->close_after = c->linger = true;
        conn_enter(c, CONN_FLUSH);
    } else {
        conn_enter(c, CONN_DRAIN);
    }
    conn_kick(c);
}
