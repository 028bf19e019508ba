/* SPDX-License-Identifier: Apache-2.0 */
/* The relay: a front server that relays to a back server or to a scripted upstream. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/http/relay.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "http_driver.h"

struct house {
    struct driver d;      /* the front */
    struct http_pool *pool;
    int listener;         /* scripted upstream */
    uint16_t port;
    struct http_relay *relay;
    int begun, done, status;
    uint64_t up, down;
    uint32_t head_ms;
    bool no_upgrade;
    const char *target;
};

static void house_done(void *arg, uint64_t up, uint64_t down, int status)
{
    struct house *h = arg;

    h->done++;
    h->up = up;
    h->down = down;
    h->status = status;
}

static void house_on_fail(void *arg, int r, int *status, const char **code, const char **message)
{
    (void) arg;
    (void) message;
    if (r == -ECONNREFUSED) {
        *status = 503;
        *code = "port_closed";
    }
}

static void house_request(void *arg, struct http_req *r)
{
    static const char *const drop[] = {"authorization", NULL}, *const drop_response[] = {"server", NULL};
    struct http_header set[] = {{"Authorization", "Bearer inner"}, {"X-Forwarded-For", http_req_peer(r)}};
    struct http_header set_response[] = {{"X-Front", "1"}};
    const struct http_headers set_list = {set, 2}, set_response_list = {set_response, 1};
    struct house *h = arg;
    const struct http_relay_conf conf = {
        .target = h->target, .drop = drop, .set = &set_list, .drop_response = drop_response, .set_response = &set_response_list,
        .head_ms = h->head_ms, .allow_upgrade = !h->no_upgrade, .on_fail = house_on_fail, .on_done = house_done, .arg = h,
    };

    h->begun++;
    assert_int_equal(http_relay(r, h->pool, &conf, &h->relay), 0);
}

static void house_open(struct house *h)
{
    struct net_addr addr;
    struct err e = ERR_INIT;
    char text[32];

    *h = (struct house){0};
    driver_open(&h->d, NULL, house_request, h);
    h->listener = listen_raw(&h->port);
    snprintf(text, sizeof(text), "127.0.0.1:%u", h->port);
    assert_int_equal(net_addr_parse(&addr, text, &e), 0);
    const struct http_pool_conf conf = {.addr = &addr, .host = "back.test"};

    assert_int_equal(http_pool_new(&h->pool, h->d.loop, &conf), 0);
}

static void house_close(struct house *h)
{
    http_server_free(h->d.server);
    http_pool_free(h->pool);
    close(h->listener);
    loop_free(h->d.loop);
}

/* The request as the upstream got it. */
static const char *upstream_text(struct raw *up, const char *until)
{
    for (int i = 0; i < 1000; i++) {
        raw_poll(up);
        const char *text = buf_cstr(&up->in);

        if (strstr(text, until))
            return text;
        assert_int_equal(loop_turn(up->d->loop, 5), 0);
    }
    fail_msg("the upstream does not get '%s'", until);
    return NULL;
}

static void headers_are_rewritten(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;
    const char *text;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, "PUT /a%2Fb?q=1 HTTP/1.1\r\nHost: front\r\nAuthorization: Bearer outer\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                 "Keep-Alive: 5\r\nTE: trailers\r\nX-Kept: a\r\nx-kept: b\r\nX-Request-Id: rid\r\nContent-Length: 3\r\n"
                 "Upgrade: h2c\r\nX-Forwarded-For: 9.9.9.9\r\n\r\nabc");
    raw_accept(&up, &h.d, h.listener);
    text = upstream_text(&up, "\r\n\r\nabc");
    assert_true(str_starts(text, "PUT /a%2Fb?q=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(text, "\r\nHost: back.test\r\n"));
    assert_non_null(strstr(text, "\r\nAuthorization: Bearer inner\r\n"));
    assert_non_null(strstr(text, "\r\nX-Kept: a\r\nx-kept: b\r\n"));
    assert_non_null(strstr(text, "\r\nX-Request-Id: rid\r\n"));
    assert_non_null(strstr(text, "\r\nX-Forwarded-For: 127.0.0.1\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 3\r\n"));
    assert_null(strcasestr(text, "outer"));
    assert_null(strcasestr(text, "x-hop"));
    assert_null(strcasestr(text, "keep-alive"));
    assert_null(strcasestr(text, "\r\nte:"));
    assert_null(strcasestr(text, "upgrade"));
    assert_null(strcasestr(text, "9.9.9.9"));
    raw_text(&up, "HTTP/1.1 201 Made\r\nServer: x\r\nConnection: X-Gone\r\nX-Gone: 1\r\nX-Request-Id: other\r\nDate: then\r\n"
                  "Content-Type: a/b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 201);
    assert_true(x.whole && x.body.len == 2);
    assert_null(http_headers_get(&x.head.headers, "server"));
    assert_null(http_headers_get(&x.head.headers, "x-gone"));
    assert_string_equal(http_headers_get(&x.head.headers, "x-front"), "1");
    assert_string_equal(http_headers_get(&x.head.headers, "x-request-id"), "rid");
    assert_string_equal(http_headers_get(&x.head.headers, "date"), "then");
    assert_string_equal(http_headers_get(&x.head.headers, "content-type"), "a/b");
    size_t cookies = 0, ids = 0;

    for (size_t i = 0; i < x.head.headers.count; i++) {
        cookies += str_eq_nocase(x.head.headers.items[i].name, "set-cookie");
        ids += str_eq_nocase(x.head.headers.items[i].name, "x-request-id");
    }
    assert_int_equal(cookies, 2);
    assert_int_equal(ids, 1);
    answer_free(&x);
    assert_int_equal(h.done, 1);
    assert_int_equal(h.up, 3);
    assert_int_equal(h.down, 2);
    assert_int_equal(h.status, 201);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

static void framings_are_kept(void **state)
{
    static const struct {
        const char *request, *answer, *body;
        int status;
        bool head, close;
        const char *length; /* Content-Length that the client sees */
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 200, false, false, "3"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc", 200, false, false, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nabc", "abc", 200, false, true, NULL},
        {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc", 200, false, false, NULL},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", "", 200, true, false, "300"},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", 200, true, false, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n", "", 204, false, false, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 304 Not\r\nContent-Length: 5\r\nETag: x\r\n\r\n", "", 304, false, false, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n", "", 404, false, false, "0"},
        {"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 200, false, false, "1"},
        {"MKCOL / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", "", 405, false, false, "0"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct house h;
        struct raw c, up;
        struct answer x;
        const char *length;

        house_open(&h);
        raw_open(&c, &h.d);
        raw_text(&c, rows[i].request);
        raw_accept(&up, &h.d, h.listener);
        upstream_text(&up, "\r\n\r\n");
        raw_text(&up, rows[i].answer);
        if (rows[i].close)
            raw_close(&up);
        raw_answer(&c, rows[i].head, &x);
        assert_true(x.whole);
        assert_int_equal(x.head.status, rows[i].status);
        assert_int_equal(x.body.len, strlen(rows[i].body));
        length = http_headers_get(&x.head.headers, "content-length");
        if (rows[i].length ? !str_eq(length, rows[i].length) : length != NULL)
            fail_msg("row %zu: Content-Length %s", i, length ? length : "-");
        answer_free(&x);
        driver_run(&h.d, 10);
        assert_int_equal(h.done, 1);
        raw_close(&c);
        if (!rows[i].close)
            raw_close(&up);
        house_close(&h);
    }
}

static void upstream_failures(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    /* Closes without an answer. */
    raw_open(&c, &h.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\nx");
    raw_close(&up);
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 502);
    answer_free(&x);
    assert_int_equal(h.status, 502);
    /* Speaks nonsense. The client's connection lives on. */
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\n");
    raw_text(&up, "nonsense\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 502);
    answer_free(&x);
    raw_close(&up);
    /* Cuts its answer: the client sees a cut. */
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\n");
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    raw_wait_bytes(&c, 50);
    raw_close(&up);
    raw_answer(&c, false, &x);
    assert_false(x.whole);
    answer_free(&x);
    raw_close(&c);
    /* Says nothing. */
    h.head_ms = 100;
    raw_open(&c, &h.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 504);
    answer_free(&x);
    raw_close(&up);
    /* Is not there. */
    close(h.listener);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 503);
    assert_non_null(strstr(buf_cstr(&x.body), "port_closed"));
    answer_free(&x);
    raw_close(&c);
    assert_int_equal(h.done, 5);
    h.listener = -1;
    house_close(&h);
}

static void hz26_a_slow_first_byte_is_not_an_error(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    driver_run(&h.d, 1500);
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 200);
    answer_free(&x);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

static void hz05_a_client_that_leaves_cancels_upstream(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
    };

    (void) state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(requests); i++) {
        struct house h;
        struct raw c, up;

        house_open(&h);
        raw_open(&c, &h.d);
        raw_text(&c, requests[i / 2]);
        raw_accept(&up, &h.d, h.listener);
        upstream_text(&up, "\r\n\r\n");
        if (i % 2) {
            raw_text(&up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
            raw_wait_bytes(&c, 50);
            raw_reset(&c);
        } else {
            raw_close(&c);
        }
        driver_until(&h.d, &h.done);
        raw_wait_end(&up, 2000);
        assert_int_equal(h.done, 1);
        raw_close(&up);
        house_close(&h);
    }
}

static void an_answer_before_the_body_ended(void **state)
{
    static char big[1 * MIB];
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\n");
    raw_send(&c, big, 100000);
    raw_wait_bytes(&up, 100000);
    raw_text(&up, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    for (int i = 0; i < 9; i++)
        raw_send(&c, big, sizeof(big));
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 413);
    assert_true(x.whole);
    answer_free(&x);
    raw_wait_end(&c, 4000);
    raw_wait_end(&up, 2000);
    assert_int_equal(h.done, 1);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

static void expect_continue_waits_for_the_upstream(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    raw_wait_bytes(&c, 25);
    raw_text(&c, "abc");
    const char *text = upstream_text(&up, "\r\n\r\nabc");

    assert_null(strcasestr(text, "expect"));
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.interim, 1);
    assert_int_equal(x.head.status, 200);
    answer_free(&x);
    raw_close(&c);
    raw_close(&up);
    /* No upstream: refused without an invitation. */
    close(h.listener);
    raw_open(&c, &h.d);
    raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 503, &x);
    assert_int_equal(x.interim, 0);
    answer_free(&x);
    raw_close(&c);
    h.listener = -1;
    house_close(&h);
}

static void slow_sides_hold_the_other(void **state)
{
    static char big[32 * MIB];
    struct house h;
    struct raw c, up;
    struct answer x;
    size_t sent = 0;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\n");
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");
    for (int quiet = 0; quiet < 20;) { /* the client does not read */
        ssize_t n = send(up.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t) n : 0;
        driver_run(&h.d, 5);
    }
    assert_true(sent < sizeof(big));
    while (sent < sizeof(big)) {
        ssize_t n = send(up.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t) n : 0;
        raw_poll(&c);
        assert_int_equal(loop_turn(h.d.loop, 5), 0);
    }
    raw_answer(&c, false, &x);
    assert_true(x.whole);
    assert_int_equal(x.body.len, sizeof(big));
    answer_free(&x);
    buf_clear(&up.in);
    /* The other way. */
    sent = 0;
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000000\r\n");
    for (int quiet = 0; quiet < 20;) {
        ssize_t n = send(c.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t) n : 0;
        driver_run(&h.d, 5);
    }
    assert_true(sent < sizeof(big));
    while (sent < sizeof(big)) {
        ssize_t n = send(c.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t) n : 0;
        raw_poll(&up);
        assert_int_equal(loop_turn(h.d.loop, 5), 0);
    }
    raw_text(&c, "\r\n0\r\n\r\n");
    raw_wait_bytes(&up, sizeof(big));
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_true(x.whole);
    answer_free(&x);
    assert_int_equal(h.up, sizeof(big));
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static void hz26_tunnels(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, UPGRADE "early");
    raw_accept(&up, &h.d, h.listener);
    assert_non_null(strstr(upstream_text(&up, "\r\n\r\n"), "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"));
    buf_clear(&up.in);
    raw_text(&up, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: echo\r\nX-Up: 1\r\n\r\nfirst");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 101);
    assert_string_equal(http_headers_get(&x.head.headers, "upgrade"), "echo");
    assert_string_equal(http_headers_get(&x.head.headers, "x-up"), "1");
    assert_string_equal(http_headers_get(&x.head.headers, "x-front"), "1");
    answer_free(&x);
    raw_wait_bytes(&c, 5);
    raw_wait_bytes(&up, 5);
    assert_memory_equal(buf_data(&c.in), "first", 5);
    assert_memory_equal(buf_data(&up.in), "early", 5);
    raw_text(&c, " and late");
    raw_wait_bytes(&up, 14);
    assert_int_equal(http_server_conns(h.d.server), 1);
    /* Half-close: the client ends its side, the upstream goes on talking. */
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    raw_wait_end(&up, 2000);
    assert_int_equal(up.error, 0);
    raw_text(&up, "last words");
    raw_wait_bytes(&c, 15);
    assert_false(c.ended);
    assert_int_equal(h.done, 0);
    raw_close(&up);
    raw_wait_end(&c, 2000);
    assert_int_equal(c.error, 0);
    assert_int_equal(h.done, 1);
    assert_int_equal(h.up, 14);
    assert_int_equal(h.down, 15);
    assert_int_equal(h.status, 101);
    raw_close(&c);
    driver_run(&h.d, 10);
    assert_int_equal(http_server_conns(h.d.server), 0);
    house_close(&h);
}

static void tunnels_move_bulk_and_are_cut(void **state)
{
    static char big[8 * MIB];
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    raw_text(&c, UPGRADE);
    raw_accept(&up, &h.d, h.listener);
    upstream_text(&up, "\r\n\r\n");
    buf_clear(&up.in);
    raw_text(&up, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    raw_answer(&c, false, &x);
    answer_free(&x);
    for (size_t i = 0; i < sizeof(big); i += 64 * KIB) {
        raw_send(&c, big + i, 64 * KIB);
        raw_send(&up, big + i, 64 * KIB);
        raw_poll(&c);
        raw_poll(&up);
    }
    raw_wait_bytes(&c, sizeof(big));
    raw_wait_bytes(&up, sizeof(big));
    http_relay_cut(h.relay);
    raw_wait_end(&c, 1000);
    raw_wait_end(&up, 1000);
    assert_int_equal(h.done, 0);
    assert_int_equal(http_server_conns(h.d.server), 0);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

static void upgrades_that_nobody_wants(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    h.no_upgrade = true;
    raw_open(&c, &h.d);
    raw_text(&c, UPGRADE);
    raw_accept(&up, &h.d, h.listener);
    assert_null(strcasestr(upstream_text(&up, "\r\n\r\n"), "upgrade"));
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 200);
    answer_free(&x);
    /* The upstream refuses. */
    h.no_upgrade = false;
    raw_text(&c, UPGRADE);
    buf_clear(&up.in);
    upstream_text(&up, "Upgrade: echo");
    raw_text(&up, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 403);
    answer_free(&x);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

static void cut_before_and_during_an_answer(void **state)
{
    (void) state;
    for (int begun = 0; begun < 2; begun++) {
        struct house h;
        struct raw c, up;

        house_open(&h);
        raw_open(&c, &h.d);
        raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_accept(&up, &h.d, h.listener);
        upstream_text(&up, "\r\n\r\n");
        if (begun) {
            raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
            raw_wait_bytes(&c, 30);
        }
        http_relay_cut(h.relay);
        raw_wait_end(&c, 1000);
        raw_wait_end(&up, 1000);
        assert_int_equal(h.done, 0);
        raw_close(&c);
        raw_close(&up);
        house_close(&h);
    }
}

/* 50 requests over one client connection use one upstream connection. */
static void connections_are_kept(void **state)
{
    struct house h;
    struct raw c, up;
    struct answer x;

    (void) state;
    house_open(&h);
    raw_open(&c, &h.d);
    for (int i = 0; i < 50; i++) {
        raw_text(&c, i % 2 ? "GET / HTTP/1.1\r\nHost: a\r\n\r\n" : "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        if (i == 0)
            raw_accept(&up, &h.d, h.listener);
        upstream_text(&up, i % 2 ? "\r\n\r\n" : "\r\n0\r\n\r\n");
        buf_clear(&up.in);
        raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        raw_answer(&c, false, &x);
        assert_int_equal(x.head.status, 200);
        answer_free(&x);
    }
    assert_int_equal(h.done, 50);
    raw_close(&c);
    raw_close(&up);
    house_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_rewritten), cmocka_unit_test(framings_are_kept), cmocka_unit_test(upstream_failures),
        cmocka_unit_test(hz26_a_slow_first_byte_is_not_an_error), cmocka_unit_test(hz05_a_client_that_leaves_cancels_upstream),
        cmocka_unit_test(an_answer_before_the_body_ended), cmocka_unit_test(expect_continue_waits_for_the_upstream),
        cmocka_unit_test(slow_sides_hold_the_other), cmocka_unit_test(hz26_tunnels), cmocka_unit_test(tunnels_move_bulk_and_are_cut),
        cmocka_unit_test(upgrades_that_nobody_wants), cmocka_unit_test(cut_before_and_during_an_answer),
        cmocka_unit_test(connections_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
