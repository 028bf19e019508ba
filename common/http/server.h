/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * server - HTTP/1.1 server side: connections, requests, answers. Keep-alive, pipelining one at a time, chunked both ways,
 * Expect: 100-continue (sent when the body is first wanted), deadlines for head, body and idle, connection caps, lingering close.
 * A request lives from its callback until its answer is finished or its client has gone; then its arena is freed. Use no request
 * after http_reply*()'s end or after its gone callback.
 */
#include "common/http/http.h"
#include "common/http/parse.h"

struct buf;
struct err;
struct http_req;
struct http_server;
struct json;
struct loop;
struct stream;
struct tls_ctx;

typedef void http_request_fn(void *arg, struct http_req *r); /* the head is complete */

/* For access logs and metrics: a request has ended. status 0: its client went before the answer had begun. */
typedef void http_done_fn(void *arg, const struct http_req *r, int status, uint64_t body_bytes_sent, uint64_t us);

struct http_server_conf {
    struct http_limits limits;
    struct tls_ctx *tls;   /* NULL = plain; borrowed */
    const char *name;      /* for metrics and logs, constant */
    http_done_fn *on_done; /* may be NULL; gets the arg of http_server_new(); must not touch the answer */
};

int http_server_new(struct http_server **out, struct loop *l, const struct http_server_conf *conf, http_request_fn *fn, void *arg) must_check;
int http_server_listen(struct http_server *s, const char *host, uint16_t port, bool reuseport, struct err *e) must_check; /* may be called several times */
int http_server_listen_unix(struct http_server *s, const char *path, unsigned mode, struct err *e) must_check;
uint16_t http_server_port(const struct http_server *s);      /* of the first TCP listener */
void http_server_adopt(struct http_server *s, int fd);       /* an accepted socket (taken) */
void http_server_drain(struct http_server *s);               /* no new connections, idle ones closed, answers say Connection: close */
unsigned http_server_conns(const struct http_server *s);
void http_server_free(struct http_server *s);                /* cuts what is left */

/* ---- the request ---- */
const struct http_head *http_req_head(const struct http_req *r); /* parse.h */
enum http_method http_req_method(const struct http_req *r);
const char *http_req_path(const struct http_req *r);      /* raw: still percent-encoded, without query */
const char *http_req_query_raw(const struct http_req *r); /* after '?', or "" */
const char *http_req_header(const struct http_req *r, const char *name);
/* Form-decoded query member, the first of that name; NULL when absent (or when its escapes are broken: see _query_check). */
const char *http_req_query(const struct http_req *r, const char *name);
/* Calls fn for each member in order; -EINVAL when an escape is broken. */
int http_req_query_each(const struct http_req *r, void (*fn)(void *arg, const char *k, const char *v), void *arg) must_check;
int http_req_query_check(const struct http_req *r) must_check; /* -EINVAL: answer 400 */
struct arena *http_req_arena(struct http_req *r);
const char *http_req_id(const struct http_req *r);        /* the client's X-Request-Id (checked) or one of ours; echoed in answers */
const char *http_req_peer(const struct http_req *r);      /* "1.2.3.4" */
const char *http_req_peer_cn(const struct http_req *r);   /* mTLS: verified common name, or NULL */
struct loop *http_req_loop(const struct http_req *r);
void http_req_set_user(struct http_req *r, void *p);
void *http_req_user(const struct http_req *r);
/* Called when the memory of the request is about to be released, however it ended: for what hangs on it. */
void http_req_at_end(struct http_req *r, void (*fn)(void *arg), void *arg);
/* Called once when the client goes (or a deadline ends it) before the answer is finished. The request is dead after it. */
typedef void http_gone_fn(void *arg, struct http_req *r);
void http_req_on_gone(struct http_req *r, http_gone_fn *fn, void *arg);

/* ---- its body: one of these, once; unread bodies are drained up to 64 KiB, else the connection closes after the answer ---- */
/* Whole body; p lives as long as the request. Over the limit the engine answers 413 itself and fn is not called (gone is). */
typedef void http_body_fn(void *arg, struct http_req *r, const void *p, size_t len);
void http_req_body(struct http_req *r, size_t bytes_max, http_body_fn *fn, void *arg);
/*
 * Streamed; p is borrowed during the callback. While paused neither data nor end come; a client that leaves meanwhile is noticed within
 * a second. r == 0 in end: complete; < 0: broken (the request is dead afterwards, gone is not called in addition).
 */
typedef void http_data_fn(void *arg, struct http_req *r, const void *p, size_t len);
typedef void http_end_fn(void *arg, struct http_req *r, int result);
void http_req_stream(struct http_req *r, http_data_fn *data, http_end_fn *end, void *arg);
void http_req_pause(struct http_req *r, bool paused); /* back-pressure: stops reading the socket */

/* ---- the answer ---- */
/* Extra headers for whichever answer follows. Values are copied; CR, LF, NUL assert (never from outside unchecked). */
void http_reply_header(struct http_req *r, const char *name, const char *value);
void http_reply(struct http_req *r, int status, const char *content_type, const void *p, size_t len); /* copies; 204 with no body */
void http_reply_json(struct http_req *r, int status, const struct buf *json);
void http_reply_empty(struct http_req *r, int status);
/* {"error":code,"message":..,"details":{..}?,"request_id":..}. details: JSON text or NULL. 401 gets WWW-Authenticate. */
void http_reply_error(struct http_req *r, int status, const char *code, const char *message);
void http_reply_error_details(struct http_req *r, int status, const char *code, const char *message, const char *details_json);
/* Streamed: begin, data ..., end. length < 0 = chunked (or close-delimited for HTTP/1.0). Data beyond length asserts; less aborts. */
void http_reply_begin(struct http_req *r, int status, const char *content_type, int64_t length);
size_t http_reply_data(struct http_req *r, const void *p, size_t len); /* copies what the socket does not take now; returns bytes queued */
/* Called when the queue has fallen to a quarter of queue_bytes or less, after an http_reply_data() that returned more than that. */
void http_reply_on_drain(struct http_req *r, void (*fn)(void *arg, struct http_req *r), void *arg);
size_t http_reply_queued(const struct http_req *r);
void http_reply_end(struct http_req *r);
void http_reply_abort(struct http_req *r); /* the client sees a cut, never a short answer that looks whole */
bool http_reply_begun(const struct http_req *r);

/* ---- upgrades ---- */
/*
 * Sends "101 Switching Protocols" with these headers and gives the connection away: the stream (owned by the caller now) and bytes that
 * were already read (appended to leftover). The request is freed, gone is not called. Counted as a connection of the server until
 * http_upgraded_done(). Never NULL: a client that cannot even take the 101 shows as an end of file. Set the stream's fn before returning to
 * the loop. The request must have no body (http_head.upgrade says so).
 */
struct stream *http_req_upgrade(struct http_req *r, const struct http_headers *h, struct buf *leftover, struct http_server **server);
void http_upgraded_done(struct http_server *s);
