/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * client - HTTP/1.1 client side: a pool of keep-alive connections to one origin, small calls and streamed exchanges.
 * How a connection comes to be is the caller's: an address, TLS, or a descriptor that somebody passes.
 */
#include "common/http/http.h"
#include "common/http/parse.h"

struct buf;
struct http_pool;
struct loop;
struct net_addr;
struct op;
struct stream;
struct tls_ctx;

typedef void http_connected_fn(void *arg, int r, int fd /* taken when r == 0 */);
/* Starts a connect; must answer exactly once from the loop, unless cancelled through slot. */
typedef int http_connect_fn(void *ctx, struct op **slot, http_connected_fn *done, void *arg);

struct http_pool_conf {
    struct http_limits limits; /* body_idle_ms 0 = none here: an answer may be quiet for hours */
    http_connect_fn *connect; /* NULL: to `addr` */
    void *connect_ctx;
    const struct net_addr *addr; /* copied */
    struct tls_ctx *tls;         /* NULL = plain */
    const char *tls_name;        /* name that the certificate must bear; copied */
    const char *host;            /* Host header; copied */
    unsigned idle_max;           /* default 4 */
    unsigned conns_max;          /* default 64; further calls wait in line */
    uint32_t idle_ms;            /* default 30,000 */
};
int http_pool_new(struct http_pool **out, struct loop *l, const struct http_pool_conf *conf) must_check;
void http_pool_free(struct http_pool *p); /* cancels what is under way: done with -ECANCELED */

/* ---- small calls: whole request, whole answer ---- */
struct http_response {
    const struct http_head *head;
    const void *body;
    size_t body_len;
};
/* r: 0 with a response (any status), or -errno (-ETIMEDOUT, -ECONNRESET, -EMSGSIZE, -EPROTO ...). Borrowed during the callback. */
typedef void http_call_fn(void *arg, int r, const struct http_response *resp);
struct http_call {
    const char *method, *target;
    const struct http_headers *headers; /* may be NULL */
    const char *content_type;           /* with a body */
    const void *body;
    size_t body_len;
    size_t answer_bytes_max; /* default 1 MiB */
    uint32_t deadline_ms;    /* for all of it; default 10,000 */
    bool retry;              /* once, when a kept-alive connection was closed before a byte of the answer: only for idempotent calls */
};
int http_call(struct http_pool *p, const struct http_call *c, struct op **slot, http_call_fn *done, void *arg) must_check; /* copies all */

/* ---- streamed exchange: what the relay stands on ---- */
struct http_exchange;
struct http_exchange_ops {
    void (*on_ready)(void *arg);                                        /* connected, head sent: the body may flow; may be NULL, and so on_drain */
    void (*on_head)(void *arg, const struct http_head *h);              /* final head; 1xx but 101 are skipped */
    void (*on_data)(void *arg, const void *p, size_t len);
    void (*on_end)(void *arg);                                          /* complete */
    void (*on_fail)(void *arg, int r);                                  /* -errno; the last call */
    void (*on_drain)(void *arg);                                        /* request queue is low again */
};
/*
 * GET, HEAD and OPTIONS without a body are sent once more when a kept-alive connection turns out to be closed before a byte of the answer;
 * others never. None is put on a connection that the peer has closed already or that holds bytes nobody asked for. Data is borrowed during
 * the callback, a head as long as the exchange. After on_end and on_fail only http_exchange_free() is of use; it is allowed in any callback.
 * head_deadline_ms runs from the last byte that was sent; 0 = none. In line and while connecting it counts too (connecting: 10 s at most).
 */
/* body: Content-Length, HTTP_BODY_NONE or HTTP_BODY_CHUNKED. headers are sent as given plus Host, Content-Length/Transfer-Encoding. */
int http_exchange_begin(struct http_exchange **out, struct http_pool *p, const char *method, const char *target,
                        const struct http_headers *headers, int64_t body, uint32_t head_deadline_ms,
                        const struct http_exchange_ops *ops, void *arg) must_check;
size_t http_exchange_send(struct http_exchange *x, const void *p, size_t len); /* returns bytes queued */
void http_exchange_send_end(struct http_exchange *x);
void http_exchange_pause(struct http_exchange *x, bool paused);
/* After on_head with 101: takes the connection. */
struct stream *http_exchange_takeover(struct http_exchange *x, struct buf *leftover);
void http_exchange_free(struct http_exchange *x); /* ends it; the connection is reused only if the exchange was complete */
