/* SPDX-License-Identifier: Apache-2.0 */
/* relay - see relay.h: a request of the server, an exchange of the client, bodies passed between them as each side takes them. */
#include "common/http/relay.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/http/http_internal.h"
#include "common/http/server.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"

enum { RELAY_QUEUE_BYTES = 256 * KIB, RELAY_MAGIC = 0x72656c61 };

struct http_relay {
    unsigned magic;
    struct loop *loop;
    struct http_req *req;      /* borrowed; NULL once it is answered or gone */
    struct http_exchange *x;   /* owned; NULL once it is over */
    struct tunnel *tunnel;     /* owned after a 101 */
    struct http_server *server; /* of the tunnel's client side: told at its end */
    struct http_relay_conf conf; /* lists live in the request's arena: used while `req` is set */
    uint64_t up, down;
    int status;
    bool over;
};

static void relay_on_gone(void *arg, struct http_req *r);

/* ---- end ---- */

static void relay_free(void *p)
{
    struct http_relay *x = p;

    assert(x->magic == RELAY_MAGIC);
    x->magic = 0;
    free(x);
}

static void relay_done(struct http_relay *x)
{
    if (x->over)
        return;
    x->over = true;
    http_exchange_free(take_ptr(&x->x));
    loop_reap(x->loop, x, relay_free);
    if (x->conf.on_done)
        x->conf.on_done(x->conf.arg, x->up, x->down, x->status);
}

void http_relay_cut(struct http_relay *x)
{
    struct http_req *r;

    if (!x || x->over)
        return;
    x->over = true;
    http_exchange_free(take_ptr(&x->x));
    tunnel_cut(take_ptr(&x->tunnel));
    if (x->server)
        http_upgraded_done(take_ptr(&x->server));
    r = take_ptr(&x->req);
    loop_reap(x->loop, x, relay_free);
    if (r)
        http_reply_abort(r);
}

static void relay_on_gone(void *arg, struct http_req *r)
{
    struct http_relay *x = arg;

    (void) r;
    x->req = NULL;
    relay_done(x);
}

/* ---- headers ---- */

static bool in_list(const char *const *list, const char *name)
{
    for (; list && *list; list++) {
        if (strcasecmp(*list, name) == 0)
            return true;
    }
    return false;
}

/* Headers of one hop: the fixed ones and those that Connection names. */
static bool ends_here(const struct http_headers *h, const char *name)
{
    return http_is_hop_by_hop(name) || http_headers_has_token(h, "connection", name);
}

struct header_list {
    struct http_header *items;
    size_t count;
};

static void header_add(struct header_list *l, const char *name, const char *value)
{
    l->items[l->count++] = (struct http_header){name, value};
}

/* What goes upstream; the list is in the request's arena. */
static int relay_request_headers(struct http_relay *x, struct http_headers *out)
{
    const struct http_head *h = http_req_head(x->req);
    const struct http_headers *set = x->conf.set;
    size_t room = h->headers.count + (set ? set->count : 0) + 3;
    struct header_list l = {.items = arena_alloc(http_req_arena(x->req), room * sizeof(struct http_header))};

    if (!l.items)
        return -ENOMEM;
    for (size_t i = 0; i < h->headers.count; i++) {
        const char *name = h->headers.items[i].name;

        if (ends_here(&h->headers, name) || str_eq_nocase(name, "host") || str_eq_nocase(name, "expect") ||
            str_eq_nocase(name, "x-request-id") || in_list(x->conf.drop, name) || (set && http_headers_get(set, name)))
            continue;
        header_add(&l, name, h->headers.items[i].value);
    }
    for (size_t i = 0; set && i < set->count; i++)
        header_add(&l, set->items[i].name, set->items[i].value);
    if (!set || !http_headers_get(set, "x-request-id"))
        header_add(&l, "X-Request-Id", http_req_id(x->req));
    if (x->conf.allow_upgrade && h->upgrade) {
        header_add(&l, "Connection", "Upgrade");
        header_add(&l, "Upgrade", http_req_header(x->req, "upgrade"));
    }
    *out = (struct http_headers){l.items, l.count};
    return 0;
}

/* Whether a header of the answer goes to the client. */
static bool relay_passes(const struct http_relay *x, const struct http_headers *h, const char *name)
{
    const struct http_headers *set = x->conf.set_response;

    return !ends_here(h, name) && !str_eq_nocase(name, "x-request-id") && !in_list(x->conf.drop_response, name) &&
           !(set && http_headers_get(set, name));
}

static void relay_answer_headers(struct http_relay *x, const struct http_head *h)
{
    const struct http_headers *set = x->conf.set_response;

    for (size_t i = 0; i < h->headers.count; i++) {
        if (relay_passes(x, &h->headers, h->headers.items[i].name))
            http_reply_header(x->req, h->headers.items[i].name, h->headers.items[i].value);
    }
    for (size_t i = 0; set && i < set->count; i++)
        http_reply_header(x->req, set->items[i].name, set->items[i].value);
}

/* ---- the request's body, upstream ---- */

static void relay_on_request_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct http_relay *x = arg;

    x->up += len;
    if (http_exchange_send(x->x, p, len) > RELAY_QUEUE_BYTES)
        http_req_pause(r, true);
}

static void relay_on_request_end(void *arg, struct http_req *r, int result)
{
    struct http_relay *x = arg;

    if (result < 0)
        relay_on_gone(x, r);
    else
        http_exchange_send_end(x->x);
}

static void relay_on_ready(void *arg)
{
    struct http_relay *x = arg;

    if (http_req_head(x->req)->body != HTTP_BODY_NONE)
        http_req_stream(x->req, relay_on_request_data, relay_on_request_end, x);
}

static void relay_on_upstream_drain(void *arg)
{
    struct http_relay *x = arg;

    if (x->req)
        http_req_pause(x->req, false);
}

/* ---- the answer, downstream ---- */

static void relay_on_client_drain(void *arg, struct http_req *r)
{
    struct http_relay *x = arg;

    (void) r;
    http_exchange_pause(x->x, false);
}

static void relay_tunnel_done(void *arg, uint64_t up, uint64_t down)
{
    struct http_relay *x = arg;

    x->tunnel = NULL;
    x->up += up;
    x->down += down;
    http_upgraded_done(take_ptr(&x->server));
    relay_done(x);
}

static void relay_switch(struct http_relay *x, const struct http_head *h)
{
    struct buf from_client = BUF_INIT(0), from_upstream = BUF_INIT(0);
    const struct http_headers *set = x->conf.set_response;
    size_t room = h->headers.count + 2 + (set ? set->count : 0);
    struct header_list l = {.items = xcalloc(room, sizeof(struct http_header))};
    struct stream *client, *upstream;

    for (size_t i = 0; i < h->headers.count; i++) {
        if (relay_passes(x, &h->headers, h->headers.items[i].name))
            header_add(&l, h->headers.items[i].name, h->headers.items[i].value);
    }
    for (size_t i = 0; set && i < set->count; i++)
        header_add(&l, set->items[i].name, set->items[i].value);
    header_add(&l, "Connection", "Upgrade");
    header_add(&l, "Upgrade", http_headers_get(&h->headers, "upgrade")); /* there is one: http_head.upgrade */
    const struct http_headers headers = {l.items, l.count};

    upstream = http_exchange_takeover(x->x, &from_upstream);
    http_exchange_free(take_ptr(&x->x));
    client = http_req_upgrade(take_ptr(&x->req), &headers, &from_client, &x->server);
    x->tunnel = tunnel_new(x->loop, client, &from_client, upstream, &from_upstream, 0, relay_tunnel_done, x);
    free(l.items);
    buf_deinit(&from_client);
    buf_deinit(&from_upstream);
}

static void relay_refuse(struct http_relay *x, int r)
{
    int status = r == -ETIMEDOUT ? 504 : 502;
    const char *code = r == -ETIMEDOUT ? "gateway_timeout" : "bad_gateway";
    const char *message = r == -ETIMEDOUT ? "the upstream did not answer in time" : "the upstream could not be reached or answered nonsense";
    struct http_req *req = take_ptr(&x->req);

    if (x->conf.on_fail)
        x->conf.on_fail(x->conf.arg, r, &status, &code, &message);
    x->status = status;
    http_reply_error(req, status, code, message);
    relay_done(x);
}

/* A HEAD's answer says how long the body would have been. */
static int64_t relay_length(const struct http_relay *x, const struct http_head *h)
{
    const char *text = http_headers_get(&h->headers, "content-length");
    uint64_t v;

    if (http_req_method(x->req) == HTTP_HEAD)
        return text && str_to_u64(text, &v) == 0 && v <= INT64_MAX ? (int64_t) v : -1;
    return h->body >= 0 ? h->body : -1;
}

static void relay_on_head(void *arg, const struct http_head *h)
{
    struct http_relay *x = arg;

    x->status = h->status;
    if (h->status == 101) {
        if (x->conf.allow_upgrade && h->upgrade)
            relay_switch(x, h);
        else
            relay_refuse(x, -EPROTO);
        return;
    }
    relay_answer_headers(x, h);
    http_reply_on_drain(x->req, relay_on_client_drain, x);
    http_reply_begin(x->req, h->status, NULL, relay_length(x, h));
}

static void relay_on_data(void *arg, const void *p, size_t len)
{
    struct http_relay *x = arg;

    x->down += len;
    if (http_reply_data(x->req, p, len) > RELAY_QUEUE_BYTES)
        http_exchange_pause(x->x, true);
}

static void relay_on_end(void *arg)
{
    struct http_relay *x = arg;

    http_reply_end(take_ptr(&x->req));
    relay_done(x);
}

static void relay_on_fail(void *arg, int r)
{
    struct http_relay *x = arg;

    if (!http_reply_begun(x->req)) {
        relay_refuse(x, r);
        return;
    }
    http_reply_abort(take_ptr(&x->req));
    relay_done(x);
}

static const struct http_exchange_ops relay_ops = {
    .on_ready = relay_on_ready, .on_head = relay_on_head, .on_data = relay_on_data,
    .on_end = relay_on_end, .on_fail = relay_on_fail, .on_drain = relay_on_upstream_drain,
};

/* ---- begin ---- */

static const char *const *copy_list(struct arena *a, const char *const *list)
{
    size_t n = 0;
    const char **copy;

    if (!list)
        return NULL;
    while (list[n])
        n++;
    copy = arena_alloc(a, (n + 1) * sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = arena_strdup(a, list[i]);
    return copy;
}

static const struct http_headers *copy_headers(struct arena *a, const struct http_headers *h)
{
    struct http_headers *copy = h ? arena_alloc(a, sizeof(*copy)) : NULL;

    if (!copy)
        return NULL;
    copy->count = h->count;
    copy->items = arena_alloc(a, (h->count + 1) * sizeof(*copy->items));
    for (size_t i = 0; copy->items && i < h->count; i++)
        copy->items[i] = (struct http_header){arena_strdup(a, h->items[i].name), arena_strdup(a, h->items[i].value)};
    return copy->items ? copy : NULL;
}

int http_relay(struct http_req *r, struct http_pool *p, const struct http_relay_conf *conf, struct http_relay **out)
{
    struct http_relay *x = xnew(struct http_relay);
    const struct http_head *h = http_req_head(r);
    struct http_headers headers;
    int e;

    x->magic = RELAY_MAGIC;
    x->loop = http_req_loop(r);
    x->req = r;
    x->conf = *conf;
    e = relay_request_headers(x, &headers);
    if (e == 0) /* serialises all that it is given */
        e = http_exchange_begin(&x->x, p, h->method_text, conf->target ? conf->target : h->target, &headers, h->body, conf->head_ms,
                                &relay_ops, x);
    if (e < 0) {
        free(x);
        return e;
    }
    /* What is needed later. */
    x->conf.target = NULL;
    x->conf.drop = NULL;
    x->conf.set = NULL;
    x->conf.drop_response = copy_list(http_req_arena(r), conf->drop_response);
    x->conf.set_response = copy_headers(http_req_arena(r), conf->set_response);
    http_req_on_gone(r, relay_on_gone, x);
    if (out)
        *out = x;
    return 0;
}
