/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* client_internal - what pool.c, link.c, exchange.c and call.c share. */
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/http/client.h"
#include "common/http/http_internal.h"
#include "common/http/sendq.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"

enum { HTTP_LINK_MAGIC = 0x686c6e6b, HTTP_EXCHANGE_MAGIC = 0x68786368 };

struct http_pool {
    struct loop *loop;
    struct http_limits limits;
    uint32_t body_idle_ms; /* 0 = none: an answer may be quiet for hours */
    http_connect_fn *connect;
    void *connect_ctx;
    struct net_addr addr;
    struct tls_ctx *tls; /* borrowed */
    char *tls_name, *host;
    unsigned idle_max, conns_max;
    uint32_t idle_ms;
    struct list links;   /* all */
    struct list idle;    /* free ones, the last used first */
    struct list waiting; /* exchanges in line for a connection */
    unsigned link_count, idle_count;
    bool ended;
};

enum link_state {
    LINK_STATE_CONNECTING,
    LINK_STATE_OPENING, /* TLS handshake */
    LINK_STATE_BUSY,    /* serves an exchange */
    LINK_STATE_IDLE,
    LINK_STATE_CLOSED,
};

/* One connection to the origin. */
struct http_link {
    unsigned magic;
    enum link_state state;
    struct http_pool *pool;
    struct loop *loop;
    struct list node, idle_node;
    struct op *connecting;
    struct stream *stream; /* owned */
    struct timer *timer;   /* owned */
    struct defer turn;
    struct sendq out;
    struct buf in;             /* bytes read and not used yet */
    struct http_exchange *x;   /* borrowed; NULL when idle */
    const uint8_t *rest;       /* while input is handed out: what lies behind */
    size_t rest_len, scanned;
    int64_t body_left;
    struct http_chunked chunked;
    uint64_t since_ms, sent_ms, armed_ms;
    int failed;
    bool handing, busy;
    bool used;        /* has served an exchange: may have been closed by the peer meanwhile */
    bool answered;    /* a byte of this exchange's answer has come */
    bool write_dead;  /* the peer takes nothing more; its answer may still come */
};

enum exchange_state {
    X_WAITING, /* in line */
    X_SENDING, /* has a connection; its answer's head has not come */
    X_BODY,    /* the head was told */
    X_SWITCHED, /* 101 */
    X_DONE,    /* ended, failed, or its connection was taken */
};

struct http_exchange {
    unsigned magic;
    enum exchange_state state;
    struct loop *loop;
    struct http_pool *pool;  /* NULL after the pool's end */
    struct http_link *link;  /* borrowed; NULL without connection */
    struct list wait_node;
    struct timer *line_timer; /* owned; while in line */
    const struct http_exchange_ops *ops;
    void *arg;
    struct buf request;      /* owned: head and what was sent before there was a connection; kept while a retry is possible */
    struct arena *arena;     /* owned: of the answer's head */
    struct http_head head;
    int64_t body_left;       /* of the request: Content-Length to come, or HTTP_BODY_CHUNKED */
    uint32_t head_ms;
    unsigned interim;
    bool head_request, upgrade_asked;
    bool request_ended, paused, drain_due, ready_due, ready_told, retry;
};

/* ---- pool.c ---- */
int pool_acquire(struct http_pool *p, struct http_exchange *x, bool fresh);
void pool_link_closed(struct http_pool *p, struct http_link *k); /* lets the next in line connect */
void pool_link_free(struct http_pool *p, struct http_link *k);   /* its exchange is complete: reuse it */

/* ---- link.c ---- */
struct http_link *link_new(struct http_pool *p);
void link_attach(struct http_link *k, struct http_exchange *x);
void link_begin(struct http_link *k);
void link_kick(struct http_link *k);
void link_close(struct http_link *k, bool reset);
bool link_is_stale(const struct http_link *k);
void link_park(struct http_link *k); /* becomes idle */
void link_putv(struct http_link *k, const struct iovec *iov, int n);
struct stream *link_take_stream(struct http_link *k, struct buf *leftover);

/* ---- exchange.c ---- */
void exchange_fail(struct http_exchange *x, int r);
/* The connection is lost: fails, or tries again where that is safe. */
void exchange_lost(struct http_exchange *x, int r);
/* Bytes of the answer; returns how many were used. */
size_t exchange_take(struct http_link *k, const uint8_t *p, size_t len);
void exchange_eof(struct http_link *k);
void exchange_allow_retry(struct http_exchange *x);
