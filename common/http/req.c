/* SPDX-License-Identifier: Apache-2.0 */
/* req - a request: what its head says, its query, its memory and its end. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/http/server_internal.h"
#include "common/net/stream.h"

enum { REQUEST_ID_MAX = 128, EXTRA_BYTES_MAX = 128 * KIB };

/* ---- ids ---- */

/* splitmix64 from a random start: unique, not secret, and no system call for each request. */
static uint64_t id_next(void)
{
    static _Thread_local uint64_t state;
    uint64_t z;

    if (!state)
        state = random_u64() | 1;
    z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void request_id_make(char out[24])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t a = id_next(), b = id_next();

    memcpy(out, "req_", 4);
    for (int i = 0; i < 8; i++, a /= 36, b /= 36) {
        out[4 + i] = digits[a % 36];
        out[12 + i] = digits[b % 36];
    }
    out[REQUEST_ID_LEN] = '\0';
}

static bool request_id_good(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-");

    return len && !s[len] && len <= REQUEST_ID_MAX;
}

/* ---- life ---- */

struct http_req *req_new(struct http_conn *c, struct arena *a, const struct http_head *h)
{
    struct http_req *r = arena_alloc(a, sizeof(*r));
    const char *id = http_headers_get(&h->headers, "X-Request-Id");
    const char *mark = strchr(h->target, '?');
    char *made = NULL;

    if (!id || !request_id_good(id))
        id = made = arena_alloc(a, REQUEST_ID_LEN + 4);
    if (made)
        request_id_make(made);
    if (r)
        r->path = mark ? arena_strndup(a, h->target, (size_t) (mark - h->target)) : h->target;
    if (!r || !id || !r->path) {
        arena_free(a);
        return NULL;
    }
    r->magic = HTTP_REQ_MAGIC;
    r->conn = c;
    r->arena = a;
    r->head = *h;
    r->id = id;
    r->query = mark ? mark + 1 : "";
    r->query_status = 1; /* not decoded yet */
    r->body_done = h->body == HTTP_BODY_NONE;
    buf_init(&r->extra, EXTRA_BYTES_MAX);
    r->begun_ns = clock_mono_ns();
    return r;
}

static void req_free(void *p)
{
    struct http_req *r = p;

    assert(r->magic == HTTP_REQ_MAGIC);
    for (struct req_end *e = r->ends, *next; e; e = next) {
        next = e->next;
        e->fn(e->arg);
    }
    r->magic = 0;
    buf_deinit(&r->body);
    buf_deinit(&r->extra);
    arena_free(r->arena);
}

static void req_end(struct http_req *r)
{
    struct http_server *s = r->conn->server;
    uint64_t us = (clock_mono_ns() - r->begun_ns) / 1000;
    int status = r->reply == REPLY_NONE ? 0 : r->status;

    r->dead = true;
    server_count_status(status, us);
    if (s->on_done)
        s->on_done(s->arg, r, status, r->reply_bytes, us);
    loop_reap(r->conn->loop, r, req_free);
}

/* The one call that tells the owner that the request ended without its doing. */
static void req_tell(struct http_req *r, int error)
{
    http_end_fn *on_end = r->mode == BODY_STREAM && !r->body_done ? r->on_end : NULL;
    http_gone_fn *gone = r->gone;

    r->on_end = NULL;
    r->gone = NULL;
    r->on_drain = NULL;
    if (on_end)
        on_end(r->body_arg, r, error);
    else if (gone)
        gone(r->gone_arg, r);
}

void req_lost(struct http_req *r, int error)
{
    r->dead = true;
    req_tell(r, error);
    req_end(r);
}

void req_finish(struct http_req *r)
{
    struct http_conn *c = r->conn;
    bool body_done = r->body_done;
    bool refused = r->head.expect_continue && !r->continue_sent && r->head.body != HTTP_BODY_NONE;

    assert(c->req == r);
    c->req = NULL;
    req_end(r);
    conn_request_done(c, body_done, refused && !conn_has_input(c));
}

void req_upgraded(struct http_req *r)
{
    r->conn->req = NULL;
    r->reply = REPLY_ENDED;
    r->status = 101;
    req_end(r);
}

void req_take_over(struct http_req *r, int error, int status, const char *code, const char *message)
{
    struct http_conn *c = r->conn;

    if (r->reply != REPLY_NONE) {
        conn_fail(c, error);
        return;
    }
    c->req = NULL;
    r->dead = true;
    req_tell(r, error);
    r->reply = REPLY_ENDED;
    r->status = status;
    req_end(r);
    conn_refuse(c, r->id, status, code, message);
}

void http_req_at_end(struct http_req *r, void (*fn)(void *arg), void *arg)
{
    struct req_end *e = arena_alloc(r->arena, sizeof(*e));

    assert(e); /* a few bytes of an arena whose limit is for what clients send */
    *e = (struct req_end){.next = r->ends, .fn = fn, .arg = arg};
    r->ends = e;
}

/* ---- what it says ---- */

const struct http_head *http_req_head(const struct http_req *r)
{
    return &r->head;
}

enum http_method http_req_method(const struct http_req *r)
{
    return r->head.method;
}

const char *http_req_path(const struct http_req *r)
{
    return r->path;
}

const char *http_req_query_raw(const struct http_req *r)
{
    return r->query;
}

const char *http_req_header(const struct http_req *r, const char *name)
{
    return http_headers_get(&r->head.headers, name);
}

struct arena *http_req_arena(struct http_req *r)
{
    return r->arena;
}

const char *http_req_id(const struct http_req *r)
{
    return r->id;
}

const char *http_req_peer(const struct http_req *r)
{
    return r->conn->peer;
}

const char *http_req_peer_cn(const struct http_req *r)
{
    return r->conn->stream ? stream_peer_cn(r->conn->stream) : NULL;
}

struct loop *http_req_loop(const struct http_req *r)
{
    return r->conn->loop;
}

void http_req_set_user(struct http_req *r, void *p)
{
    r->user = p;
}

void *http_req_user(const struct http_req *r)
{
    return r->user;
}

void http_req_on_gone(struct http_req *r, http_gone_fn *fn, void *arg)
{
    r->gone = fn;
    r->gone_arg = arg;
}

/* ---- query ---- */

static size_t query_count(const char *s)
{
    size_t n = 1;

    for (; *s; s++)
        n += *s == '&';
    return n;
}

/* Decodes [s, s + len) into the arena; NULL when its escapes are broken or it holds a NUL. */
static const char *query_text(struct http_req *r, const char *s, size_t len)
{
    char *text = arena_alloc(r->arena, len + 1);

    return text && percent_decode(s, len, true, text) >= 0 ? text : NULL;
}

static void query_decode(struct http_req *r)
{
    if (r->query_status <= 0)
        return;
    r->query_status = 0;
    r->items = arena_alloc(r->arena, query_count(r->query) * sizeof(*r->items));
    if (!r->items) {
        r->query_status = -EINVAL;
        return;
    }
    for (const char *s = r->query; *s;) {
        size_t len = strcspn(s, "&"), name = strcspn(s, "=&");
        struct query_item *item = &r->items[r->item_count];

        if (len) {
            item->name = query_text(r, s, name);
            item->value = name < len ? query_text(r, s + name + 1, len - name - 1) : "";
            if (item->name && item->value)
                r->item_count++;
            else
                r->query_status = -EINVAL;
        }
        s += len + (s[len] == '&');
    }
}

const char *http_req_query(const struct http_req *r, const char *name)
{
    query_decode((struct http_req *) r); /* the first question decodes; nothing that shows changes */
    for (size_t i = 0; i < r->item_count; i++) {
        if (strcmp(r->items[i].name, name) == 0)
            return r->items[i].value;
    }
    return NULL;
}

int http_req_query_each(const struct http_req *r, void (*fn)(void *arg, const char *k, const char *v), void *arg)
{
    query_decode((struct http_req *) r);
    for (size_t i = 0; i < r->item_count; i++)
        fn(arg, r->items[i].name, r->items[i].value);
    return r->query_status;
}

int http_req_query_check(const struct http_req *r)
{
    query_decode((struct http_req *) r);
    return r->query_status;
}
