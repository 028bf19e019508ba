/* SPDX-License-Identifier: Apache-2.0 */
/* Server and client over mutual TLS: the peer's name, bodies both ways, a silent handshake, a client without a certificate. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "http_driver.h"
#include "tests/unit/common/net/test_ca.h"

enum { BODY_BYTES = 8 * MIB };

struct rig {
    struct driver d;
    struct test_ca *ca;
    struct tls_ctx *server, *client, *stranger;
    struct http_pool *pool;
    unsigned requests;
    int done, r, status;
    size_t body_len;
    bool same;
};

static uint8_t pattern[BODY_BYTES];

static void rig_on_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    assert_string_equal(http_req_peer_cn(r), "client.test");
    http_reply(r, 200, "application/octet-stream", p, len);
}

static void rig_on_request(void *arg, struct http_req *r)
{
    struct rig *g = arg;

    g->requests++;
    http_req_body(r, BODY_BYTES, rig_on_body, NULL);
}

static struct tls_ctx *context(struct rig *g, const char *name, bool server)
{
    struct err e = ERR_INIT;
    struct tls_ctx *c;
    char cert[32], key[32];

    snprintf(cert, sizeof(cert), "%s.pem", name ? name : "");
    snprintf(key, sizeof(key), "%s.key", name ? name : "");
    const struct tls_conf conf = {
        .cert_file = name ? test_ca_path(g->ca, cert) : NULL, .key_file = name ? test_ca_path(g->ca, key) : NULL,
        .ca_file = test_ca_path(g->ca, "ca.pem"), .require_peer = server,
    };

    if (tls_ctx_new(&c, &conf, server, &e) != 0)
        fail_msg("%s", e.text);
    return c;
}

static struct http_pool *pool_with(struct rig *g, struct tls_ctx *ctx)
{
    struct net_addr addr;
    struct err e = ERR_INIT;
    struct http_pool *p;
    char text[32];

    snprintf(text, sizeof(text), "127.0.0.1:%u", g->d.port);
    assert_int_equal(net_addr_parse(&addr, text, &e), 0);
    const struct http_pool_conf conf = {.addr = &addr, .host = "server.test", .tls = ctx, .tls_name = "server.test"};

    assert_int_equal(http_pool_new(&p, g->d.loop, &conf), 0);
    return p;
}

static void rig_open(struct rig *g)
{
    static const struct test_cert certs[] = {
        {.name = "server", .cn = "server.test", .san = "DNS:server.test"}, {.name = "client", .cn = "client.test"},
    };
    struct http_server_conf conf = {.name = "tls", .limits = {.head_ms = 300}};
    struct err e = ERR_INIT;

    *g = (struct rig){.ca = test_ca_new()};
    for (size_t i = 0; i < ARRAY_LEN(certs); i++)
        test_ca_issue(g->ca, &certs[i]);
    g->server = context(g, "server", true);
    g->client = context(g, "client", false);
    g->stranger = context(g, NULL, false);
    conf.tls = g->server;
    assert_int_equal(loop_new(&g->d.loop), 0);
    assert_int_equal(http_server_new(&g->d.server, g->d.loop, &conf, rig_on_request, g), 0);
    assert_int_equal(http_server_listen(g->d.server, "127.0.0.1", 0, false, &e), 0);
    g->d.port = http_server_port(g->d.server);
    g->pool = pool_with(g, g->client);
}

static void rig_close(struct rig *g)
{
    http_pool_free(g->pool);
    driver_close(&g->d);
    tls_ctx_free(g->server);
    tls_ctx_free(g->client);
    tls_ctx_free(g->stranger);
    test_ca_free(g->ca);
}

static void on_answer(void *arg, int r, const struct http_response *resp)
{
    struct rig *g = arg;

    g->done = 1;
    g->r = r;
    g->status = r ? 0 : resp->head->status;
    g->body_len = r ? 0 : resp->body_len;
    g->same = !r && memcmp(resp->body, pattern, resp->body_len) == 0;
}

static void call(struct rig *g, struct http_pool *p, size_t len)
{
    const struct http_call c = {.method = "POST", .target = "/", .body = pattern, .body_len = len, .answer_bytes_max = BODY_BYTES};

    g->done = 0;
    assert_int_equal(http_call(p, &c, NULL, on_answer, g), 0);
    driver_until(&g->d, &g->done);
}

static void bodies_over_mutual_tls(void **state)
{
    static const size_t sizes[] = {0, 1, 16384, 100000, BODY_BYTES, 3};
    struct rig g;

    (void) state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t) (i * 31 + i / 256);
    rig_open(&g);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        call(&g, g.pool, sizes[i]);
        assert_int_equal(g.r, 0);
        assert_int_equal(g.status, 200);
        assert_int_equal(g.body_len, sizes[i]);
        assert_true(g.same);
        assert_int_equal(http_server_conns(g.d.server), 1); /* one handshake for all */
    }
    rig_close(&g);
}

static void strangers_and_silent_clients_are_closed(void **state)
{
    struct rig g;
    struct http_pool *p;
    struct raw c;

    (void) state;
    rig_open(&g);
    p = pool_with(&g, g.stranger);
    call(&g, p, 10);
    assert_true(g.r < 0);
    assert_int_equal(g.requests, 0);
    http_pool_free(p);
    raw_open(&c, &g.d); /* never begins its handshake */
    raw_wait_end(&c, 2000);
    raw_close(&c);
    raw_open(&c, &g.d); /* speaks plain HTTP */
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_wait_end(&c, 2000);
    raw_close(&c);
    driver_run(&g.d, 20);
    assert_int_equal(http_server_conns(g.d.server), 0);
    rig_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_over_mutual_tls),
        cmocka_unit_test(strangers_and_silent_clients_are_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
