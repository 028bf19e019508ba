/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * relay - answers a request by what an upstream answers: bodies streamed both ways with back-pressure, flat memory, 101 turned into a
 * byte tunnel with half-close, hop-by-hop headers removed (RFC 9110 7.6.1), X-Request-Id kept, a cut upstream answer cut for the client too.
 */
#include "common/http/http.h"

struct http_pool;
struct http_req;
struct loop;
struct op;
struct stream;
struct buf;

struct http_relay_conf {
    const char *target;                /* NULL: as the client's */
    const char *const *drop;           /* request header names to leave out, ends with NULL; may be NULL */
    const struct http_headers *set;    /* request headers to set instead */
    const char *const *drop_response;
    const struct http_headers *set_response;
    uint32_t head_ms;                  /* upstream's time to its head; 0 = no limit (a slow first byte is not an error) */
    bool allow_upgrade;
    /* Upstream failed before its head: status and code to answer (default 502 "bad_gateway"). */
    void (*on_fail)(void *arg, int r, int *status, const char **code, const char **message);
    /* All over (bytes up, bytes down, status or 0); not called when the relay is cut by http_relay_cut(). */
    void (*on_done)(void *arg, uint64_t up, uint64_t down, int status);
    void *arg;
};
struct http_relay;
/*
 * Takes over the request (its body, answer and gone callback). Everything in conf is copied. The handle is dead after on_done. < 0: nothing
 * was begun (-EINVAL: a target or header that cannot be sent), the request is still the caller's. The client's Host goes upstream only
 * through `set`; else the pool's is sent.
 */
int http_relay(struct http_req *r, struct http_pool *p, const struct http_relay_conf *conf, struct http_relay **out /* may be NULL */) must_check;
void http_relay_cut(struct http_relay *x); /* both sides closed at once */

/* ---- byte tunnel between two streams (both taken) ---- */
struct tunnel;
typedef void tunnel_done_fn(void *arg, uint64_t a_to_b, uint64_t b_to_a);
/* a_first/b_first: bytes already read from a (for b) and from b (for a); may be NULL. Half-close is passed on; idle_ms 0 = none. */
struct tunnel *tunnel_new(struct loop *l, struct stream *a, const struct buf *a_first, struct stream *b, const struct buf *b_first,
                          uint32_t idle_ms, tunnel_done_fn *done, void *arg);
void tunnel_cut(struct tunnel *t); /* done is not called */
