/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - see route.h. Patterns are kept as a tree of segments: a literal goes before a parameter, a parameter before {rest*}; where a way
 * ends without the method that is asked for, the others are tried.
 */
#include "common/http/route.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/json/json.h"

enum { SEGMENTS_MAX = 32, BODY_MAX_DEFAULT = 1 * MIB };

struct row_ref {
    const struct route *row; /* borrowed */
};

struct route_node {
    char *text;                      /* owned; literal segment, NULL for a parameter */
    struct route_node *literals;     /* owned; a list by `next` */
    struct route_node *next;
    struct route_node *param, *rest; /* owned */
    struct row_ref *rows;            /* owned; those that end here */
    size_t row_count;
};

struct router {
    void *app;
    route_authorize_fn *authorize;
    struct route_node root;
    struct row_ref *rows; /* owned; in the order they were added */
    size_t row_count;
};

int router_new(struct router **out, void *app, route_authorize_fn *authorize, struct err *e)
{
    struct router *r = xnew(struct router);

    (void) e;
    r->app = app;
    r->authorize = authorize;
    *out = r;
    return 0;
}

/* ---- building the tree ---- */

static void rows_append(struct row_ref **rows, size_t *count, const struct route *row)
{
    *rows = xrealloc(*rows, (*count + 1) * sizeof(struct row_ref));
    (*rows)[(*count)++].row = row;
}

static struct route_node *node_literal(const struct route_node *n, const char *s, size_t len)
{
    struct route_node *child = n->literals;

    while (child && (strlen(child->text) != len || memcmp(child->text, s, len) != 0))
        child = child->next;
    return child;
}

static struct route_node *node_literal_add(struct route_node *n, const char *s, size_t len)
{
    struct route_node *child = node_literal(n, s, len);

    if (child)
        return child;
    child = xnew(struct route_node);
    child->text = xstrndup(s, len);
    child->next = n->literals;
    n->literals = child;
    return child;
}

/* The node of one segment of a pattern, made when it is new. NULL: a bad segment. */
static struct route_node *node_step(struct route_node *n, const char *s, size_t len, bool last, bool *rest, unsigned *params)
{
    struct route_node **slot = &n->param;

    if (!memchr(s, '{', len) && !memchr(s, '}', len))
        return node_literal_add(n, s, len);
    if (len < 3 || s[0] != '{' || s[len - 1] != '}' || ++*params > ROUTE_PARAMS_MAX)
        return NULL;
    if (s[len - 2] == '*') {
        if (!last)
            return NULL;
        *rest = true;
        slot = &n->rest;
    }
    if (!*slot)
        *slot = xnew(struct route_node);
    return *slot;
}

static int router_add_row(struct router *r, const struct route *row, struct err *e)
{
    struct route_node *n = &r->root;
    unsigned params = 0;
    bool rest = false;

    if (row->pattern[0] != '/' || !row->fn || !row->name || !row->method)
        return err_set(e, -EINVAL, "route '%s': needs a path, a method, a name and a handler", row->pattern);
    if (row->table && row->body != ROUTE_JSON)
        return err_set(e, -EINVAL, "route '%s': a body table without ROUTE_JSON", row->pattern);
    for (const char *s = row->pattern; *s && n;) {
        size_t len = strcspn(s + 1, "/");

        n = node_step(n, s + 1, len, !s[1 + len], &rest, &params);
        s += 1 + len;
    }
    if (!n)
        return err_set(e, -EINVAL, "route '%s': a malformed segment or too many parameters", row->pattern);
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i].row->method & row->method)
            return err_set(e, -EEXIST, "route '%s' (%s): the method is taken by '%s'", row->pattern, row->name, n->rows[i].row->name);
    }
    rows_append(&n->rows, &n->row_count, row);
    rows_append(&r->rows, &r->row_count, row);
    return 0;
}

int router_add(struct router *r, const struct route *rows, struct err *e)
{
    for (; rows->pattern; rows++) {
        int x = router_add_row(r, rows, e);

        if (x < 0)
            return x;
    }
    return 0;
}

void router_each(const struct router *r, void (*fn)(void *arg, const struct route *row), void *arg)
{
    for (size_t i = 0; i < r->row_count; i++)
        fn(arg, r->rows[i].row);
}

static void node_deinit(struct route_node *n);

static void node_free(struct route_node *n)
{
    if (n)
        node_deinit(n);
    free(n);
}

static void node_deinit(struct route_node *n)
{
    for (struct route_node *child = n->literals, *next; child; child = next) {
        next = child->next;
        node_free(child);
    }
    node_free(n->param);
    node_free(n->rest);
    free(n->rows);
    free(n->text);
}

void router_free(struct router *r)
{
    if (!r)
        return;
    node_deinit(&r->root);
    free(r->rows);
    free(r);
}

/* ---- matching ---- */

struct segment {
    const char *raw;  /* from here to the end of the path */
    const char *text; /* decoded */
    size_t len;
};
struct match {
    struct segment segments[SEGMENTS_MAX];
    size_t count; /* of the path; only the first SEGMENTS_MAX are split */
    unsigned method;
    unsigned allowed; /* methods of the places that fit */
    const struct route *row;
    const char *params[ROUTE_PARAMS_MAX];
};

/* Splits and decodes; -EINVAL for a broken escape or a NUL. */
static int match_split(struct match *m, const char *path, struct arena *a)
{
    char *at = arena_alloc(a, strlen(path) + SEGMENTS_MAX + 1);

    if (!at)
        return -ENOMEM;
    for (const char *s = path; *s; m->count++) {
        size_t len = strcspn(s + 1, "/");
        ssize_t n = percent_decode(s + 1, len, false, at);

        if (n < 0)
            return -EINVAL;
        if (m->count < SEGMENTS_MAX) {
            m->segments[m->count] = (struct segment){.raw = s + 1, .text = at, .len = (size_t) n};
            at += n + 1;
        }
        s += 1 + len;
    }
    return 0;
}

static bool match_rows(struct match *m, const struct route_node *n)
{
    for (size_t i = 0; i < n->row_count; i++) {
        m->allowed |= n->rows[i].row->method;
        if (n->rows[i].row->method & m->method) {
            m->row = n->rows[i].row;
            return true;
        }
    }
    return false;
}

static bool match_node(struct match *m, const struct route_node *n, size_t i, unsigned params)
{
    const struct segment *s = &m->segments[i];
    const struct route_node *literal;

    if (i == m->count)
        return match_rows(m, n);
    if (i >= SEGMENTS_MAX)
        return false;
    literal = node_literal(n, s->text, s->len);
    if (literal && match_node(m, literal, i + 1, params))
        return true;
    if (n->param && s->len) {
        m->params[params] = s->text;
        if (match_node(m, n->param, i + 1, params + 1))
            return true;
        m->params[params] = NULL;
    }
    if (n->rest && match_rows(m, n->rest)) {
        m->params[params] = s->raw;
        return true;
    }
    return false;
}

static void reply_method_not_allowed(struct http_req *req, unsigned allowed)
{
    static const struct {
        unsigned method;
        const char *name;
    } names[] = {
        {HTTP_GET, "GET"}, {HTTP_HEAD, "HEAD"}, {HTTP_POST, "POST"}, {HTTP_PUT, "PUT"}, {HTTP_DELETE, "DELETE"},
        {HTTP_PATCH, "PATCH"}, {HTTP_OPTIONS, "OPTIONS"},
    };
    char text[64] = "";
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (allowed & names[i].method)
            len += (size_t) snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "", names[i].name);
    }
    assert(len < sizeof(text));
    http_reply_header(req, "Allow", text);
    http_reply_error(req, 405, "method_not_allowed", "this path does not know the method");
}

void router_dispatch(struct router *r, struct http_req *req)
{
    struct match m = {.method = http_req_method(req)};
    struct route_call *c;

    if (match_split(&m, http_req_path(req), http_req_arena(req)) < 0) {
        http_reply_error(req, 400, "bad_request", "the path has a broken percent escape");
        return;
    }
    if (!match_node(&m, &r->root, 0, 0)) {
        if (m.allowed)
            reply_method_not_allowed(req, m.allowed);
        else
            http_reply_error(req, 404, "not_found", "no such route");
        return;
    }
    c = arena_alloc(http_req_arena(req), sizeof(*c));
    if (!c) {
        http_reply_error(req, 500, "internal", "out of memory");
        return;
    }
    c->req = req;
    c->route = m.row;
    c->app = r->app;
    c->router = r;
    memcpy(c->params, m.params, sizeof(c->params));
    if (r->authorize)
        r->authorize(c);
    else
        route_proceed(c);
}

/* ---- bodies ---- */

/* "timeout: must be 1..86400" names the field before the colon. */
static void reply_invalid(struct http_req *req, const struct err *e)
{
    struct buf details = BUF_INIT(4 * KIB);
    const char *colon = strstr(e->text, ": ");
    struct json_writer w;
    const char *text = NULL;

    json_writer_init(&w, &details);
    jw_object(&w);
    jw_key(&w, "field");
    jw_str_n(&w, e->text, colon ? (size_t) (colon - e->text) : 0);
    jw_object_end(&w);
    if (colon && json_writer_end(&w) == 0)
        text = buf_cstr(&details);
    http_reply_error_details(req, 422, "invalid_request", e->text, text);
    buf_deinit(&details);
}

static void doc_free(void *arg)
{
    json_doc_free(arg);
}

static void route_on_body(void *arg, struct http_req *req, const void *p, size_t len)
{
    struct route_call *c = arg;
    const struct json_table *t = c->route->table;
    struct err e = ERR_INIT;

    if (json_parse(&c->doc, len ? p : "{}", len ? len : 2, &e) < 0) {
        http_reply_error(req, 400, "invalid_json", err_text(&e, -EINVAL));
        return;
    }
    http_req_at_end(req, doc_free, c->doc);
    c->tree = json_root(c->doc);
    if (t) {
        c->body = arena_alloc(http_req_arena(req), t->size ? t->size : 1);
        if (!c->body) {
            http_reply_error(req, 500, "internal", "out of memory");
            return;
        }
        if (json_decode_tree(t, c->tree, http_req_arena(req), c->body, &e) < 0) {
            reply_invalid(req, &e);
            return;
        }
    }
    c->route->fn(c);
}

void route_proceed(struct route_call *c)
{
    size_t max = c->route->body_max ? c->route->body_max : BODY_MAX_DEFAULT;

    if (c->route->body == ROUTE_JSON)
        http_req_body(c->req, max, route_on_body, c);
    else
        c->route->fn(c);
}
