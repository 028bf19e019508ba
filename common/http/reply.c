/* SPDX-License-Identifier: Apache-2.0 */
/* reply - the answer to a request: head, body in one piece or streamed, errors. Head and first bytes leave in one system call. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include "common/base/buf.h"
#include "common/http/server_internal.h"
#include "common/json/json.h"

enum { HEAD_FIXED_MAX = 512, CHUNK_HEAD_SIZE = 20 };

/* ---- output of the connection ---- */

static void reply_putv(struct http_req *r, const struct iovec *iov, int n)
{
    struct http_conn *c = r->conn;
    size_t sent = 0;
    int e;

    if (c->failed)
        return;
    if (!sendq_len(&c->out))
        c->sent_ms = loop_now_ms(c->loop);
    e = sendq_putv(&c->out, c->stream, iov, n, &sent);
    if (sent) {
        c->sent_ms = loop_now_ms(c->loop);
        server_count_bytes(0, sent);
    }
    if (e < 0)
        c->failed = e; /* told at the end of the turn, never from inside the owner's call */
    conn_kick(c);
}

void reply_put(struct http_req *r, const void *p, size_t len)
{
    const struct iovec iov = {.iov_base = (void *) p, .iov_len = len};

    reply_putv(r, &iov, 1);
}

/* ---- head ---- */

void http_reply_header(struct http_req *r, const char *name, const char *value)
{
    int e;

    assert(!r->dead && r->reply == REPLY_NONE && http_header_sendable(name, value));
    r->has_date |= strcasecmp(name, "date") == 0;
    r->has_type |= strcasecmp(name, "content-type") == 0;
    e = buf_append_str(&r->extra, name);
    e = e ? e : buf_append(&r->extra, ": ", 2);
    e = e ? e : buf_append_str(&r->extra, value);
    e = e ? e : buf_append(&r->extra, "\r\n", 2);
    if (e < 0)
        r->conn->failed = e;
}

static char *put(char *at, const char *s)
{
    return mempcpy(at, s, strlen(s)); /* reply_head() has made the room */
}

static char *put_u64(char *at, uint64_t v)
{
    char digits[20];
    int n = 0;

    do {
        digits[n++] = (char) ('0' + v % 10);
        v /= 10;
    } while (v);
    while (n)
        *at++ = digits[--n];
    return at;
}

/* Whether this connection can serve another request after an answer that begins now. */
static void reply_decide_close(struct http_req *r, int64_t length)
{
    struct http_conn *c = r->conn;

    if (c->server->draining || (length < 0 && r->head.http10 && !r->bodiless))
        c->close_after = true;
    /* An unread body that is too long to be drained; refused in mid-body, one that does not say how long it is. */
    if (!r->body_done && (r->mode == BODY_UNCHOSEN || r->status >= 400) &&
        (c->body_left > 64 * KIB || (r->status >= 400 && r->head.body == HTTP_BODY_CHUNKED)))
        c->close_after = true;
}

static void reply_head(struct http_req *r, const char *content_type, int64_t length)
{
    struct http_conn *c = r->conn;
    size_t type_len = content_type ? strlen(content_type) : 0;
    const char *text = http_status_text(r->status);
    char *begin, *at;

    reply_decide_close(r, length);
    if (!sendq_len(&c->out))
        c->sent_ms = loop_now_ms(c->loop);
    begin = at = (char *) buf_reserve(&c->out.b, HEAD_FIXED_MAX + r->extra.len + type_len + strlen(r->id));
    if (!begin) {
        c->failed = -ENOBUFS;
        return;
    }
    at = put_u64(put(at, "HTTP/1.1 "), (uint64_t) r->status);
    at = put(put(put(at, " "), text), "\r\n");
    if (!r->has_date)
        at = put(put(put(at, "Date: "), http_date()), "\r\n");
    if (content_type && !r->has_type)
        at = put(put(put(at, "Content-Type: "), content_type), "\r\n");
    if (r->extra.len)
        at = mempcpy(at, buf_data(&r->extra), r->extra.len);
    if (length >= 0 && r->status != 204 && r->status != 304)
        at = put(put_u64(put(at, "Content-Length: "), (uint64_t) length), "\r\n");
    else if (r->reply_chunked)
        at = put(at, "Transfer-Encoding: chunked\r\n");
    at = put(put(put(at, "X-Request-Id: "), r->id), "\r\n");
    if (c->close_after)
        at = put(at, "Connection: close\r\n");
    else if (r->head.http10)
        at = put(at, "Connection: keep-alive\r\n");
    at = put(at, "\r\n");
    buf_commit(&c->out.b, (size_t) (at - begin));
    buf_deinit(&r->extra);
}

/* ---- body ---- */

void http_reply_begin(struct http_req *r, int status, const char *content_type, int64_t length)
{
    assert(!r->dead && r->reply == REPLY_NONE && status >= 200 && status <= 599);
    r->reply = REPLY_BEGUN;
    r->status = status;
    r->bodiless = r->head.method == HTTP_HEAD || status == 204 || status == 304;
    r->reply_chunked = length < 0 && !r->bodiless && !r->head.http10;
    r->reply_left = length < 0 ? -1 : length;
    reply_head(r, content_type, length);
    conn_kick(r->conn);
}

static void reply_send_chunk(struct http_req *r, const void *p, size_t len)
{
    char head[CHUNK_HEAD_SIZE];
    int n = snprintf(head, sizeof(head), "%zx\r\n", len);
    const struct iovec iov[] = {
        {.iov_base = head, .iov_len = (size_t) n},
        {.iov_base = (void *) p, .iov_len = len},
        {.iov_base = (char *) "\r\n", .iov_len = 2},
    };

    reply_putv(r, iov, 3);
}

size_t http_reply_data(struct http_req *r, const void *p, size_t len)
{
    size_t queued;

    assert(!r->dead && r->reply == REPLY_BEGUN);
    if (r->reply_left >= 0) {
        assert(len <= (uint64_t) r->reply_left);
        r->reply_left -= (int64_t) len;
    }
    if (len && !r->bodiless) {
        r->reply_bytes += len;
        if (r->reply_chunked)
            reply_send_chunk(r, p, len);
        else
            reply_put(r, p, len);
    }
    queued = sendq_len(&r->conn->out);
    if (queued > r->conn->server->limits.queue_bytes / 4)
        r->drain_due = true;
    return queued;
}

void http_reply_on_drain(struct http_req *r, void (*fn)(void *arg, struct http_req *r), void *arg)
{
    r->on_drain = fn;
    r->drain_arg = arg;
}

size_t http_reply_queued(const struct http_req *r)
{
    return sendq_len(&r->conn->out);
}

bool http_reply_begun(const struct http_req *r)
{
    return r->reply != REPLY_NONE;
}

void http_reply_end(struct http_req *r)
{
    assert(!r->dead && r->reply == REPLY_BEGUN);
    if (r->reply_left > 0 && !r->bodiless) {
        http_reply_abort(r);
        return;
    }
    if (r->reply_chunked)
        reply_put(r, "0\r\n\r\n", 5);
    r->reply = REPLY_ENDED;
    req_finish(r);
}

void http_reply_abort(struct http_req *r)
{
    struct http_conn *c = r->conn;

    assert(!r->dead);
    c->linger = false;
    req_finish(r);
    conn_fail(c, -ECONNABORTED);
}

/* ---- whole answers ---- */

void http_reply(struct http_req *r, int status, const char *content_type, const void *p, size_t len)
{
    http_reply_begin(r, status, content_type, (int64_t) len);
    http_reply_data(r, p, len);
    http_reply_end(r);
}

void http_reply_json(struct http_req *r, int status, const struct buf *json)
{
    http_reply(r, status, "application/json", json->len ? buf_data(json) : (const uint8_t *) "", json->len);
}

void http_reply_empty(struct http_req *r, int status)
{
    http_reply(r, status, NULL, "", 0);
}

void reply_error_text(struct buf *out, const char *code, const char *message, const char *details_json, const char *request_id)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "error", code);
    jw_kstr(&w, "message", message);
    if (details_json) {
        jw_key(&w, "details");
        jw_raw(&w, details_json, strlen(details_json));
    }
    jw_kstr(&w, "request_id", request_id);
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        buf_clear(out); /* only without memory: an empty error body is still an error */
}

void http_reply_error_details(struct http_req *r, int status, const char *code, const char *message, const char *details_json)
{
    struct buf body = BUF_INIT(0);

    if (r->reply != REPLY_NONE) { /* too late for words */
        http_reply_abort(r);
        return;
    }
    if (status == 401)
        http_reply_header(r, "WWW-Authenticate", "Bearer");
    reply_error_text(&body, code, message, details_json, r->id);
    http_reply_json(r, status, &body);
    buf_deinit(&body);
}

void http_reply_error(struct http_req *r, int status, const char *code, const char *message)
{
    http_reply_error_details(r, status, code, message, NULL);
}
