/* SPDX-License-Identifier: Apache-2.0 */
/* exchange - see client.h: one request and its streamed answer, over a connection of a pool. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client_internal.h"

enum { INTERIM_MAX = 16, ANSWER_HEAD_ARENA_BYTES = 256 * KIB };

/* ---- the request's head ---- */

static bool target_is_sendable(const char *s)
{
    if (*s != '/' && !str_eq(s, "*"))
        return false;
    for (; *s; s++) {
        if (!(http_char_class[(unsigned char) *s] & HTTP_CH_TARGET))
            return false;
    }
    return true;
}

static bool method_is_sendable(const char *s)
{
    const char *begin = s;

    while (http_is_token_char((unsigned char) *s))
        s++;
    return s > begin && !*s;
}

static int put_line(struct buf *b, const char *name, const char *value)
{
    int r = buf_append_str(b, name);

    r = r ? r : buf_append(b, ": ", 2);
    r = r ? r : buf_append_str(b, value);
    return r ? r : buf_append(b, "\r\n", 2);
}

static int put_framing(struct buf *b, const char *method, int64_t body)
{
    bool expects_body = str_eq(method, "POST") || str_eq(method, "PUT") || str_eq(method, "PATCH");

    if (body == HTTP_BODY_CHUNKED)
        return buf_append_str(b, "Transfer-Encoding: chunked\r\n\r\n");
    if (body > 0 || expects_body)
        return buf_printf(b, "Content-Length: %lld\r\n\r\n", (long long) body);
    return buf_append(b, "\r\n", 2);
}

static int exchange_write_head(struct http_exchange *x, const char *method, const char *target, const struct http_headers *h, int64_t body)
{
    struct buf *b = &x->request;
    bool host = false;
    int r;

    if (!method_is_sendable(method) || !target_is_sendable(target) || body < HTTP_BODY_CHUNKED)
        return -EINVAL;
    r = buf_append_str(b, method);
    r = r ? r : buf_append(b, " ", 1);
    r = r ? r : buf_append_str(b, target);
    r = r ? r : buf_append_str(b, " HTTP/1.1\r\n");
    for (size_t i = 0; h && i < h->count && r == 0; i++) {
        if (!http_header_sendable(h->items[i].name, h->items[i].value))
            return -EINVAL;
        host |= str_eq_nocase(h->items[i].name, "host");
        x->upgrade_asked |= str_eq_nocase(h->items[i].name, "upgrade");
        r = put_line(b, h->items[i].name, h->items[i].value);
    }
    if (r == 0 && !host)
        r = put_line(b, "Host", x->pool->host);
    return r ? r : put_framing(b, method, body);
}

/* ---- life ---- */

static void exchange_free(void *p)
{
    struct http_exchange *x = p;

    assert(x->magic == HTTP_EXCHANGE_MAGIC);
    x->magic = 0;
    buf_deinit(&x->request);
    arena_free(x->arena);
    free(x);
}

int http_exchange_begin(struct http_exchange **out, struct http_pool *p, const char *method, const char *target,
                        const struct http_headers *headers, int64_t body, uint32_t head_deadline_ms,
                        const struct http_exchange_ops *ops, void *arg)
{
    struct http_exchange *x = xnew(struct http_exchange);
    int r;

    x->magic = HTTP_EXCHANGE_MAGIC;
    x->loop = p->loop;
    x->pool = p;
    x->ops = ops;
    x->arg = arg;
    x->body_left = body;
    x->head_ms = head_deadline_ms;
    x->head_request = str_eq(method, "HEAD");
    x->request_ended = body == HTTP_BODY_NONE;
    r = exchange_write_head(x, method, target, headers, body);
    /* Safe to send twice, and nothing of it is streamed. */
    x->retry = x->request_ended && !x->upgrade_asked && (x->head_request || str_eq(method, "GET") || str_eq(method, "OPTIONS"));
    if (r == 0)
        r = pool_acquire(p, x, false);
    if (r < 0) {
        exchange_free(x);
        return r;
    }
    *out = x;
    return 0;
}

/* Leaves the line and the connection. */
static void exchange_detach(struct http_exchange *x)
{
    list_del(&x->wait_node);
    timer_free(take_ptr(&x->line_timer));
    if (x->link)
        link_close(x->link, true);
    x->state = X_DONE;
}

void exchange_fail(struct http_exchange *x, int r)
{
    assert(x->state != X_DONE);
    exchange_detach(x);
    if (x->ops->on_fail)
        x->ops->on_fail(x->arg, r);
}

void exchange_lost(struct http_exchange *x, int r)
{
    struct http_link *k = x->link;
    bool again = x->retry && k->used && !k->answered && x->state == X_SENDING && r != -ETIMEDOUT && r != -ECANCELED;

    if (!again) {
        exchange_fail(x, r);
        return;
    }
    x->retry = false;
    exchange_detach(x);
    x->state = X_SENDING;
    r = pool_acquire(x->pool, x, true);
    if (r < 0)
        exchange_fail(x, r);
}

void exchange_allow_retry(struct http_exchange *x)
{
    x->retry = true;
}

void http_exchange_free(struct http_exchange *x)
{
    if (!x)
        return;
    assert(x->magic == HTTP_EXCHANGE_MAGIC);
    if (x->state != X_DONE)
        exchange_detach(x);
    loop_reap(x->loop, x, exchange_free);
}

/* ---- the request's body ---- */

static size_t exchange_queued(const struct http_exchange *x)
{
    return x->link && !x->ready_due ? sendq_len(&x->link->out) : x->request.len;
}

static void exchange_put(struct http_exchange *x, const struct iovec *iov, int n)
{
    if (x->link && !x->ready_due) {
        link_putv(x->link, iov, n);
        return;
    }
    for (int i = 0; i < n; i++) { /* no connection yet: it goes out with the head */
        if (buf_append(&x->request, iov[i].iov_base, iov[i].iov_len) < 0 && x->link)
            x->link->failed = -ENOBUFS;
    }
}

size_t http_exchange_send(struct http_exchange *x, const void *p, size_t len)
{
    char head[20];
    int n;

    if (x->state == X_DONE || x->request_ended || !len)
        return exchange_queued(x);
    if (x->body_left >= 0) {
        const struct iovec plain = {.iov_base = (void *) p, .iov_len = len};

        assert(len <= (uint64_t) x->body_left);
        x->body_left -= (int64_t) len;
        exchange_put(x, &plain, 1);
    } else {
        n = snprintf(head, sizeof(head), "%zx\r\n", len);
        const struct iovec chunk[] = {
            {.iov_base = head, .iov_len = (size_t) n},
            {.iov_base = (void *) p, .iov_len = len},
            {.iov_base = (char *) "\r\n", .iov_len = 2},
        };

        exchange_put(x, chunk, 3);
    }
    if (exchange_queued(x) > x->pool->limits.queue_bytes / 4)
        x->drain_due = true;
    return exchange_queued(x);
}

void http_exchange_send_end(struct http_exchange *x)
{
    static const struct iovec last = {.iov_base = (char *) "0\r\n\r\n", .iov_len = 5};

    if (x->state == X_DONE || x->request_ended)
        return;
    x->request_ended = true;
    if (x->body_left > 0 && x->link) { /* a short body must not look whole */
        x->link->failed = -EPROTO;
    } else if (x->body_left < 0) {
        exchange_put(x, &last, 1);
    }
    if (x->link) {
        x->link->since_ms = loop_now_ms(x->loop);
        link_kick(x->link); /* the head's deadline begins, even when nothing was left to send */
    }
}

void http_exchange_pause(struct http_exchange *x, bool paused)
{
    if (x->paused == paused)
        return;
    x->paused = paused;
    if (x->link) {
        x->link->since_ms = loop_now_ms(x->loop);
        link_kick(x->link);
    }
}

struct stream *http_exchange_takeover(struct http_exchange *x, struct buf *leftover)
{
    assert(x->state == X_SWITCHED);
    x->state = X_DONE;
    return link_take_stream(x->link, leftover);
}

/* ---- the answer ---- */

/* All of the answer is here: the connection serves the next one, unless something is odd. */
static void exchange_complete(struct http_exchange *x)
{
    struct http_link *k = x->link;
    bool reuse = x->head.keep_alive && x->request_ended && !sendq_len(&k->out) && !k->write_dead && !k->failed && !k->rest_len;

    x->state = X_DONE;
    x->link = NULL;
    k->x = NULL;
    if (reuse)
        pool_link_free(k->pool, k);
    else
        link_close(k, false);
    x->ops->on_end(x->arg);
}

static int exchange_note_head(struct http_exchange *x, struct http_link *k)
{
    if (x->head.status == 101 && !x->upgrade_asked)
        return -EPROTO;
    if (x->head.status < 200 && x->head.status != 101)
        return ++x->interim > INTERIM_MAX ? -EPROTO : 0;
    x->state = x->head.status == 101 ? X_SWITCHED : X_BODY;
    k->body_left = x->head.body;
    if (x->head.body == HTTP_BODY_CHUNKED)
        http_chunked_init(&k->chunked);
    x->ops->on_head(x->arg, &x->head);
    return 0;
}

static int exchange_error(int r)
{
    return r == HTTP_E_TOO_LARGE ? -EMSGSIZE : -EPROTO;
}

static size_t exchange_take_head(struct http_link *k, const uint8_t *p, size_t len)
{
    struct http_exchange *x = k->x;
    const struct http_limits *lim = &k->pool->limits;
    const char *reason;
    size_t end = 0;
    int r = len ? http_head_scan(p, len, lim, &k->scanned, &end, &reason) : HTTP_E_MORE;

    if (r == HTTP_E_MORE)
        return 0;
    if (r == HTTP_E_OK) {
        arena_free(x->arena);
        x->arena = arena_new(ANSWER_HEAD_ARENA_BYTES);
        r = http_parse_response_whole(p, end, lim, x->head_request, x->arena, &x->head, &reason);
    }
    if (r == HTTP_E_OK) {
        k->scanned = 0;
        k->rest = p + end;
        k->rest_len = len - end;
        r = exchange_note_head(x, k);
    } else {
        r = exchange_error(r);
    }
    if (r < 0) {
        exchange_fail(x, r);
        return len;
    }
    return end;
}

/* Whether the body ends here without another byte. */
static bool exchange_body_over(const struct http_link *k, bool chunks_done)
{
    return k->body_left == 0 || (k->body_left == HTTP_BODY_CHUNKED && chunks_done);
}

static size_t exchange_take_body(struct http_link *k, const uint8_t *p, size_t len)
{
    struct http_exchange *x = k->x;
    const uint8_t *data = p;
    size_t data_len = len;
    ssize_t n;
    bool done = false;

    if (k->body_left == HTTP_BODY_CHUNKED) {
        n = http_chunked_next(&k->chunked, p, len, &data, &data_len, &done);
        if (n < 0) {
            exchange_fail(x, -EPROTO);
            return len;
        }
    } else {
        if (k->body_left >= 0 && (uint64_t) k->body_left < data_len)
            data_len = (size_t) k->body_left;
        if (k->body_left >= 0)
            k->body_left -= (int64_t) data_len;
        n = (ssize_t) data_len;
    }
    k->rest = p + n;
    k->rest_len = len - (size_t) n;
    if (data_len)
        x->ops->on_data(x->arg, data, data_len);
    if (k->x == x && x->state == X_BODY && !x->paused && exchange_body_over(k, done))
        exchange_complete(x);
    return (size_t) n;
}

size_t exchange_take(struct http_link *k, const uint8_t *p, size_t len)
{
    struct http_exchange *x = k->x;

    if (x->paused)
        return 0;
    if (x->state == X_SENDING) {
        size_t n = exchange_take_head(k, p, len);

        /* An empty body ends with its head. */
        if (n && k->x == x && x->state == X_BODY && k->body_left == 0 && !x->paused)
            exchange_complete(x);
        return n;
    }
    return x->state == X_BODY ? exchange_take_body(k, p, len) : 0;
}

void exchange_eof(struct http_link *k)
{
    struct http_exchange *x = k->x;

    if (x->state == X_BODY && k->body_left == HTTP_BODY_UNTIL_CLOSE)
        exchange_complete(x);
    else
        exchange_lost(x, -ECONNRESET);
}
