/* SPDX-License-Identifier: Apache-2.0 */
/* body - the body of a request: decoded from the connection's input, collected or handed on. */
#include <assert.h>
#include <errno.h>
#include "common/http/server_internal.h"

bool body_wanted(const struct http_req *r)
{
    return r->mode != BODY_UNCHOSEN && !r->paused;
}

/* Sent when the body is first wanted, unless some of it is here already. */
static void body_invite(struct http_req *r)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bool too_long = r->mode == BODY_COLLECT && r->head.body > 0 && (uint64_t) r->head.body > r->body_max;

    if (!r->head.expect_continue || r->continue_sent || r->reply != REPLY_NONE || r->body_done || too_long)
        return;
    r->continue_sent = true;
    if (!conn_has_input(r->conn))
        reply_put(r, interim, sizeof(interim) - 1);
}

static void body_begin(struct http_req *r, enum body_mode mode, void *arg)
{
    struct http_conn *c = r->conn;

    assert(!r->dead && r->mode == BODY_UNCHOSEN);
    r->mode = mode;
    r->body_arg = arg;
    /* An empty body ends from the loop, not inside this call. */
    if (r->body_done && c->state == CONN_WAIT) {
        r->body_done = false;
        c->body_left = 0;
        c->state = CONN_BODY;
    }
    c->since_ms = loop_now_ms(c->loop);
    body_invite(r);
    conn_kick(c);
}

void http_req_body(struct http_req *r, size_t bytes_max, http_body_fn *fn, void *arg)
{
    r->body_max = bytes_max;
    r->on_body = fn;
    buf_init(&r->body, bytes_max);
    body_begin(r, BODY_COLLECT, arg);
}

void http_req_stream(struct http_req *r, http_data_fn *data, http_end_fn *end, void *arg)
{
    r->on_data = data;
    r->on_end = end;
    body_begin(r, BODY_STREAM, arg);
}

void http_req_pause(struct http_req *r, bool paused)
{
    if (r->dead || r->paused == paused)
        return;
    r->paused = paused;
    if (!paused)
        r->conn->since_ms = loop_now_ms(r->conn->loop);
    conn_kick(r->conn);
}

ssize_t body_decode(struct http_conn *c, const uint8_t *p, size_t len, const uint8_t **data, size_t *data_len, bool *done)
{
    if (c->body_left == HTTP_BODY_CHUNKED)
        return http_chunked_next(&c->chunked, p, len, data, data_len, done);
    *data = p;
    *data_len = (uint64_t) c->body_left < len ? (size_t) c->body_left : len;
    c->body_left -= (int64_t) *data_len;
    *done = c->body_left == 0;
    return (ssize_t) *data_len;
}

static void body_collect(struct http_req *r, const uint8_t *data, size_t len)
{
    if (len > r->body_max - r->body.len || buf_append(&r->body, data, len) < 0)
        req_take_over(r, -EMSGSIZE, 413, "too_large", "the request's body is larger than this route takes");
}

static void body_end(struct http_conn *c, struct http_req *r)
{
    http_end_fn *on_end = r->on_end;

    r->body_done = true;
    c->state = CONN_WAIT;
    c->since_ms = loop_now_ms(c->loop);
    if (r->mode == BODY_COLLECT)
        r->on_body(r->body_arg, r, r->body.len ? buf_data(&r->body) : (const uint8_t *) "", r->body.len);
    else if (on_end)
        on_end(r->body_arg, r, 0);
}

size_t body_take(struct http_conn *c, const uint8_t *p, size_t len)
{
    struct http_req *r = c->req;
    const uint8_t *data = NULL;
    size_t data_len = 0;
    bool done;
    ssize_t n;

    if (!body_wanted(r))
        return 0;
    /* Known to be too long before it was read. */
    if (r->mode == BODY_COLLECT && c->body_left > 0 && (uint64_t) c->body_left > r->body_max - r->body.len) {
        req_take_over(r, -EMSGSIZE, 413, "too_large", "the request's body is larger than this route takes");
        return 0;
    }
    n = body_decode(c, p, len, &data, &data_len, &done);
    if (n < 0) {
        req_take_over(r, -EBADMSG, 400, "bad_request", "the chunked body is malformed");
        return len;
    }
    c->rest = p + n;
    c->rest_len = len - (size_t) n;
    if (data_len && r->mode == BODY_COLLECT)
        body_collect(r, data, data_len);
    else if (data_len)
        r->on_data(r->body_arg, r, data, data_len);
    if (done && !r->dead && !r->paused)
        body_end(c, r);
    return (size_t) n;
}
