/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* server_internal - what server.c, conn.c, conn_watch.c, req.c, body.c, reply.c and upgrade.c share. */
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/http/http_internal.h"
#include "common/http/sendq.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

struct map;
struct listener;

enum { SERVER_LISTENERS_MAX = 16, PEER_TEXT_SIZE = 48 };

enum { HTTP_CONN_MAGIC = 0x68636f6e, HTTP_REQ_MAGIC = 0x68726571 };

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    struct tls_ctx *tls; /* borrowed */
    const char *name;
    http_request_fn *fn;
    http_done_fn *on_done;
    void *arg;
    struct listener *listeners[SERVER_LISTENERS_MAX]; /* owned */
    unsigned listener_count;
    struct list conns;   /* all that this server reads */
    struct list idle;    /* those that wait for a request, longest first */
    unsigned conn_count; /* upgraded ones included */
    unsigned upgraded;
    struct map *peers;   /* address -> count; NULL without a limit for each peer */
    bool draining;
    bool ended;          /* http_server_free() was called; freed with the last upgraded connection */
};

enum conn_state {
    CONN_OPENING, /* TLS handshake */
    CONN_HEAD,    /* between requests, or a head is arriving */
    CONN_BODY,    /* a request is alive, its body has not been read to the end */
    CONN_WAIT,    /* a request is alive and read; the answer is awaited or under way */
    CONN_DRAIN,   /* answered; the rest of the body is read and dropped, then HEAD */
    CONN_FLUSH,   /* no more requests; what is queued goes out, then LINGER or CLOSED */
    CONN_LINGER,  /* our side is shut; the client's bytes are dropped so that it sees the answer and no reset */
    CONN_CLOSED,
};

struct http_conn {
    unsigned magic;
    enum conn_state state;
    struct http_server *server;
    struct loop *loop;
    struct list node, idle_node;
    struct stream *stream; /* owned; NULL once closed or given away */
    struct timer *timer;   /* owned */
    struct sendq out;
    struct buf in;         /* bytes read and not used yet; empty on idle connections */
    struct defer turn;
    struct http_req *req;  /* owned; NULL between requests */

    /* While input is being handed out (`handing`): what lies behind the bytes in hand. */
    const uint8_t *rest;
    size_t rest_len;
    size_t scanned;        /* http_head_scan() */

    int64_t body_left;     /* Content-Length still to come, or HTTP_BODY_CHUNKED */
    struct http_chunked chunked;
    uint64_t dropped;      /* bytes dropped in DRAIN and LINGER */

    uint64_t since_ms;     /* begin of the state, or the last byte of the body or of a lingering client */
    uint64_t linger_ms;    /* begin of LINGER */
    uint64_t sent_ms;      /* last progress of the output */
    uint64_t probe_ms;     /* when a half-closed client is probed next */
    uint64_t armed_ms;     /* what the timer is set to; 0 = not set */
    int failed;            /* -errno of the output, handled at the end of the turn */
    bool handing;
    bool busy;             /* inside this connection's event: conn_after() follows */
    bool eof;              /* the client has shut its side */
    bool close_after;      /* no request after this one */
    bool linger;           /* the client may still be sending when we close */
    bool keepalive_on;     /* TCP keep-alive probes were switched on */
    char peer[PEER_TEXT_SIZE];
};

enum body_mode { BODY_UNCHOSEN, BODY_COLLECT, BODY_STREAM };
enum reply_state { REPLY_NONE, REPLY_BEGUN, REPLY_ENDED };

struct req_end {
    struct req_end *next;
    void (*fn)(void *arg);
    void *arg;
};
struct query_item {
    const char *name, *value;
};

struct http_req {
    unsigned magic;
    struct http_conn *conn; /* borrowed: in memory as long as this */
    bool dead;              /* answered, or its client has gone */
    struct arena *arena;    /* owned; this struct lives in it */
    struct http_head head;
    const char *id, *path, *query;
    struct query_item *items; /* decoded query; NULL until asked for */
    size_t item_count;
    int query_status;
    void *user;
    http_gone_fn *gone;
    void *gone_arg;
    struct req_end *ends;

    enum body_mode mode;
    bool body_done, paused, continue_sent;
    size_t body_max;
    struct buf body; /* BODY_COLLECT; owned */
    http_body_fn *on_body;
    http_data_fn *on_data;
    http_end_fn *on_end;
    void *body_arg;

    enum reply_state reply;
    int status;
    bool bodiless;           /* HEAD, 204, 304: data is counted, not sent */
    bool reply_chunked;
    bool has_date, has_type; /* given by http_reply_header() */
    int64_t reply_left;      /* of a known length, or -1 */
    uint64_t reply_bytes;
    struct buf extra;        /* header lines; owned */
    void (*on_drain)(void *arg, struct http_req *r);
    void *drain_arg;
    bool drain_due;          /* the producer was told of a full queue */
    uint64_t begun_ns;
};

/* ---- server.c ---- */
void server_conn_closed(struct http_server *s, struct http_conn *c);
void server_upgraded(struct http_server *s, struct http_conn *c);
void server_unref(struct http_server *s); /* frees an ended server without upgraded connections */
void server_count_status(int status, uint64_t us);
void server_count_bytes(uint64_t in, uint64_t out);

/* ---- conn.c ---- */
struct http_conn *conn_new(struct http_server *s, int fd /* taken */, const char *peer);
void conn_kick(struct http_conn *c);  /* something changed: look at it before the turn ends */
void conn_fail(struct http_conn *c, int r); /* cut; the request learns it */
void conn_release(struct http_conn *c); /* forgets the stream, which was given away, and ends */
void conn_close_idle(struct http_conn *c);
bool conn_is_idle(const struct http_conn *c);
void conn_request_done(struct http_conn *c, bool body_done, bool body_refused);
/* An answer of the engine's own; then the connection ends. id: the request's, or NULL when there is none. */
void conn_refuse(struct http_conn *c, const char *id, int status, const char *code, const char *message);
static inline bool conn_has_input(const struct http_conn *c)
{
    return c->handing ? c->rest_len : c->in.len;
}

void conn_enter(struct http_conn *c, enum conn_state state);
bool conn_reads(const struct http_conn *c); /* whether input is wanted */
void conn_after(void *arg); /* after every event and every kick */

/* ---- conn_watch.c ---- */
void conn_set_timer(struct http_conn *c);
void conn_on_timer(void *arg);

/* ---- req.c ---- */
/* NULL: the head does not make a request (no memory for it in the arena). Takes the arena. */
struct http_req *req_new(struct http_conn *c, struct arena *a, const struct http_head *h);
void req_lost(struct http_req *r, int error);  /* the connection has gone: tells the owner once */
void req_finish(struct http_req *r);           /* answered */
void req_upgraded(struct http_req *r);
/* The engine answers instead of the owner, who learns that the request is over. */
void req_take_over(struct http_req *r, int error, int status, const char *code, const char *message);

/* ---- body.c ---- */
bool body_wanted(const struct http_req *r);
/* Hands out body bytes: how many of p were used. 0 with !body_done means: keep them. */
size_t body_take(struct http_conn *c, const uint8_t *p, size_t len);
/* The same without an owner. -EBADMSG when the framing is broken. */
ssize_t body_decode(struct http_conn *c, const uint8_t *p, size_t len, const uint8_t **data, size_t *data_len, bool *done);

/* ---- reply.c ---- */
void reply_error_text(struct buf *out, const char *code, const char *message, const char *details_json, const char *request_id);
void reply_put(struct http_req *r, const void *p, size_t len);
void request_id_make(char out[24]);
