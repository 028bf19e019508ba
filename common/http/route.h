/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * route - tables of routes. A row carries all that must be true before its handler runs: method, path, scope, body limit, body table.
 * The router matches (404, 405 with Allow), authorises through the application's hook, reads and decodes the body (400, 413, 422) and calls the
 * handler. A handler never parses and never authorises.
 * Broken JSON is 400 invalid_json; a body that the table refuses is 422 invalid_request with the field in message and details.
 */
#include "common/http/http.h"

struct err;
struct http_req;
struct json;
struct json_doc;
struct json_table;
struct router;

enum { ROUTE_PARAMS_MAX = 6 };
enum route_body {
    ROUTE_NO_BODY,    /* a body is ignored (drained) */
    ROUTE_JSON,       /* decoded by the table; an absent body decodes as {} */
    ROUTE_STREAM,     /* the handler reads it */
};

struct route_call {
    struct http_req *req;
    const struct route *route;
    void *app;                            /* the router's */
    const char *params[ROUTE_PARAMS_MAX]; /* percent-decoded, in the order of the pattern; %2F stays inside a segment */
    void *body;                           /* decoded struct (ROUTE_JSON), arena */
    const struct json *tree;              /* the body's tree, alive as long as the request */
    void *who;                            /* set by the authorise hook */
    struct router *router;                /* private */
    struct json_doc *doc;                 /* private */
};
typedef void route_fn(struct route_call *c);

struct route {
    unsigned method;          /* enum http_method; HTTP_GET also answers HEAD only when given as HTTP_GET | HTTP_HEAD */
    const char *pattern;      /* "/v1/sandboxes/{id}"; a last "{rest*}" takes the rest of the raw path */
    unsigned scope;           /* application's bits; handed to the authorise hook */
    enum route_body body;
    size_t body_max;          /* 0 = 1 MiB */
    const struct json_table *table;
    route_fn *fn;
    const char *name;         /* for metrics, logs and the OpenAPI check: "sandboxes.get" */
};

/* Decides and then calls route_proceed(c), or answers the request. May do so later, from the loop. */
typedef void route_authorize_fn(struct route_call *c);

int router_new(struct router **out, void *app, route_authorize_fn *authorize, struct err *e) must_check;
/* Rows end with a NULL pattern and live as long as the router. Duplicates and bad patterns are errors. */
int router_add(struct router *r, const struct route *rows, struct err *e) must_check;
void router_dispatch(struct router *r, struct http_req *req);
void route_proceed(struct route_call *c);
/* For checks against docs/openapi.yaml. */
void router_each(const struct router *r, void (*fn)(void *arg, const struct route *row), void *arg);
void router_free(struct router *r);
