/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables: matching, refusals, bodies by table; and the health listener. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/http/health.h"
#include "common/http/route.h"
#include "common/json/json.h"
#include "http_driver.h"

struct thing {
    char *name;
    int64_t count;
};
static const struct json_field thing_fields[] = {
    {"name", JSON_F_STRING, JSON_REQUIRED, offsetof(struct thing, name), JSON_NO_PRESENT, 1, 8, NULL},
    {"count", JSON_F_INT, 0, offsetof(struct thing, count), JSON_NO_PRESENT, 0, 10, NULL},
    {0},
};
static const struct json_table thing_table = {thing_fields, sizeof(struct thing), false};

static void reply_params(struct route_call *c)
{
    char text[512];

    snprintf(text, sizeof(text), "%s|%s|%s", c->route->name, c->params[0] ? c->params[0] : "-", c->params[1] ? c->params[1] : "-");
    http_reply(c->req, 200, "text/plain", text, strlen(text));
}

static void reply_thing(struct route_call *c)
{
    struct thing *t = c->body;
    char text[128];

    snprintf(text, sizeof(text), "%s=%lld%s", t->name, (long long) t->count, json_get(c->tree, "extra") ? "+" : "");
    http_reply(c->req, 200, "text/plain", text, strlen(text));
}

static void reply_any(struct route_call *c)
{
    http_reply_empty(c->req, json_type(c->tree) == JSON_OBJECT ? 204 : 200);
}

static const struct route rows[] = {
    {HTTP_GET | HTTP_HEAD, "/v1/things", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "list"},
    {HTTP_POST, "/v1/things", 2, ROUTE_JSON, 64, &thing_table, reply_thing, "create"},
    {HTTP_POST, "/v1/any", 2, ROUTE_JSON, 0, NULL, reply_any, "any"},
    {HTTP_GET, "/v1/things/special", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "special"},
    {HTTP_GET, "/v1/things/{id}", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "get"},
    {HTTP_DELETE, "/v1/things/{id}", 2, ROUTE_NO_BODY, 0, NULL, reply_params, "delete"},
    {HTTP_GET, "/v1/things/{id}/parts/{part}", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "part"},
    {HTTP_GET, "/v1/things/special/only", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "only"},
    {HTTP_PUT | HTTP_GET | HTTP_OTHER, "/v1/things/{id}/proxy/{rest*}", 4, ROUTE_STREAM, 0, NULL, reply_params, "proxy"},
    {0},
};

static void authorize(struct route_call *c)
{
    if (c->route->scope == 4 && !http_req_header(c->req, "X-Key")) {
        http_reply_error(c->req, 401, "unauthorized", "no key");
        return;
    }
    c->who = c->app;
    route_proceed(c);
}

static void dispatch(void *arg, struct http_req *r)
{
    router_dispatch(arg, r);
}

static void ask(struct driver *d, const char *text, int status, const char *body)
{
    struct raw c;
    struct answer x;

    raw_open(&c, d);
    raw_ask(&c, text, status, &x);
    assert_true(x.whole);
    if (body) {
        const char *got = buf_cstr(&x.body);

        if (!strstr(got, body))
            fail_msg("'%s' has no '%s'", got, body);
    }
    if (status == 405)
        assert_non_null(http_headers_get(&x.head.headers, "allow"));
    answer_free(&x);
    raw_close(&c);
}

#define REQ(line) line " HTTP/1.1\r\nHost: a\r\n\r\n"
#define REQ_BODY(line, len, body) line " HTTP/1.1\r\nHost: a\r\nContent-Length: " len "\r\n\r\n" body

static void routes_match(void **state)
{
    struct driver d;
    struct router *r;
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(router_new(&r, NULL, authorize, &e), 0);
    assert_int_equal(router_add(r, rows, &e), 0);
    driver_open(&d, NULL, dispatch, r);
    ask(&d, REQ("GET /v1/things?x=1"), 200, "list|-|-");
    ask(&d, REQ("HEAD /v1/things"), 200, NULL);
    ask(&d, REQ("GET /v1/things/special"), 200, "special|-|-");
    ask(&d, REQ("GET /v1/things/%73pecial"), 200, "special|-|-");
    ask(&d, REQ("GET /v1/things/a%2Fb%20c"), 200, "get|a/b c|-");
    ask(&d, REQ("DELETE /v1/things/special"), 200, "delete|special|-");
    ask(&d, REQ("GET /v1/things/special/parts/7"), 200, "part|special|7");
    ask(&d, REQ("GET /v1/things/special/only"), 200, "only|-|-");
    ask(&d, "M-X /v1/things/x/proxy/a%2Fb/c HTTP/1.1\r\nHost: a\r\nX-Key: 1\r\n\r\n", 200, "proxy|x|a%2Fb/c");
    ask(&d, "GET /v1/things/x/proxy/ HTTP/1.1\r\nHost: a\r\nX-Key: 1\r\n\r\n", 200, "proxy|x|");
    ask(&d, REQ("GET /v1/things/x/proxy/a"), 401, "\"unauthorized\"");
    ask(&d, REQ("GET /v1/things/x/proxy"), 404, "\"not_found\"");
    ask(&d, REQ("GET /v1/things/"), 404, NULL);
    ask(&d, REQ("GET /"), 404, NULL);
    ask(&d, REQ("GET /v2/things"), 404, NULL);
    ask(&d, REQ("GET /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"), 404, NULL);
    ask(&d, REQ("PATCH /v1/things/7"), 405, "\"method_not_allowed\"");
    ask(&d, REQ("GET /v1/things/%zz"), 400, "\"bad_request\"");
    ask(&d, REQ("GET /v1/things/a%00"), 400, NULL);
    driver_close(&d);
    router_free(r);
}

static void bodies_are_decoded_by_table(void **state)
{
    struct driver d;
    struct router *r;
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(router_new(&r, NULL, NULL, &e), 0);
    assert_int_equal(router_add(r, rows, &e), 0);
    driver_open(&d, NULL, dispatch, r);
    ask(&d, REQ_BODY("POST /v1/things", "33", "{\"name\":\"a\",\"count\":2,\"extra\":{}}"), 200, "a=2+");
    ask(&d, REQ_BODY("POST /v1/things", "5", "{\"a\":"), 400, "\"invalid_json\"");
    ask(&d, REQ_BODY("POST /v1/things", "23", "{\"name\":\"a\",\"count\":11}"), 422, "\"field\":\"count\"");
    ask(&d, REQ("POST /v1/things"), 422, "\"field\":\"name\"");
    ask(&d, REQ_BODY("POST /v1/things", "65", ""), 413, "\"too_large\"");
    ask(&d, REQ("POST /v1/any"), 204, NULL);
    ask(&d, REQ_BODY("POST /v1/any", "2", "[]"), 200, NULL);
    driver_close(&d);
    router_free(r);
}

static void bad_tables_are_refused(void **state)
{
    static const struct route bad[][2] = {
        {{HTTP_GET, "x", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "n"}, {0}},
        {{HTTP_GET, "/a{id}", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "n"}, {0}},
        {{HTTP_GET, "/{r*}/x", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "n"}, {0}},
        {{HTTP_GET, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "n"}, {0}},
        {{HTTP_GET, "/x", 1, ROUTE_NO_BODY, 0, NULL, NULL, "n"}, {0}},
        {{HTTP_GET, "/x", 1, ROUTE_NO_BODY, 0, &thing_table, reply_params, "n"}, {0}},
        {{HTTP_GET, "/v1/things/{other}", 1, ROUTE_NO_BODY, 0, NULL, reply_params, "n"}, {0}},
    };
    struct err e = ERR_INIT;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct router *r;

        assert_int_equal(router_new(&r, NULL, NULL, &e), 0);
        assert_int_equal(router_add(r, rows, &e), 0);
        assert_true(router_add(r, bad[i], &e) < 0);
        router_free(r);
    }
}

static bool degraded(void *arg, struct json_writer *w)
{
    jw_kint(w, "answer", 42);
    return *(bool *) arg;
}

static void health_answers(void **state)
{
    struct driver d;
    struct health *h;
    struct err e = ERR_INIT;
    bool good = true;

    (void) state;
    driver_open(&d, NULL, dispatch, NULL);
    assert_int_equal(health_listen(&h, d.loop, "localhost:0", "prog", degraded, &good, &e), 0);
    d.port = health_port(h);
    ask(&d, REQ("GET /health"), 200, "{\"program\":\"prog\",\"version\":\"" BIVOUAC_VERSION "\",\"answer\":42,\"status\":\"ok\"}");
    good = false;
    ask(&d, REQ("GET /health"), 503, "\"degraded\"");
    ask(&d, REQ("GET /metrics"), 200, "bivouac_http_requests_total{class=\"2xx\"}");
    ask(&d, REQ("PUT /metrics"), 405, NULL);
    ask(&d, REQ("GET /x"), 404, NULL);
    health_free(h);
    assert_int_equal(health_listen(&h, d.loop, "nonsense", "prog", NULL, NULL, &e), -EINVAL);
    driver_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_match),
        cmocka_unit_test(bodies_are_decoded_by_table),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(health_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
