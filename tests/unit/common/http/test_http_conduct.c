/* SPDX-License-Identifier: Apache-2.0 */
/* How the server behaves towards slow, impatient, half-closed, greedy and departing clients. */
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
#include "common/base/clock.h"
#include "common/base/str.h"
#include "http_driver.h"

struct app {
    struct driver d;
    struct http_req *req; /* the parked one */
    int arrived, gone, end, drained;
    int end_result;
    size_t got;
    const char *mode;
};

static void app_gone(void *arg, struct http_req *r)
{
    struct app *a = arg;

    (void) r;
    a->gone++;
    a->req = NULL;
}

static void app_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct app *a = arg;

    (void) p;
    a->got += len;
    if (str_eq(a->mode, "pause"))
        http_req_pause(r, true);
    else if (str_eq(a->mode, "abort in data"))
        http_reply_abort(r);
    else if (str_eq(a->mode, "answer in data"))
        http_reply(r, 200, NULL, "early", 5);
    else if (str_eq(a->mode, "free in data"))
        http_server_free(a->d.server);
}

static void app_end(void *arg, struct http_req *r, int result)
{
    struct app *a = arg;

    a->end++;
    a->end_result = result;
    if (result < 0)
        a->req = NULL;
    else
        http_reply(r, 200, NULL, "end", 3);
}

static void app_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct app *a = arg;

    (void) p;
    a->got = len;
    http_reply(r, 200, NULL, "body", 4);
}

static void app_drain(void *arg, struct http_req *r)
{
    struct app *a = arg;
    static char block[64 * 1024];

    a->drained++;
    for (; a->got; a->got -= sizeof(block)) {
        if (http_reply_data(r, block, sizeof(block)) > 256 * KIB) {
            a->got -= sizeof(block);
            return;
        }
    }
    http_reply_end(r);
}

static void app_request(void *arg, struct http_req *r)
{
    struct app *a = arg;

    a->arrived++;
    a->req = r;
    http_req_on_gone(r, app_gone, a);
    if (str_eq(a->mode, "collect")) {
        http_req_body(r, 1000, app_body, a);
    } else if (str_eq(a->mode, "refuse")) {
        http_reply_error(r, 403, "no", "no");
    } else if (str_eq(a->mode, "big")) {
        a->got = 64 * MIB;
        http_reply_on_drain(r, app_drain, a);
        http_reply_begin(r, 200, NULL, 64 * MIB);
        app_drain(a, r);
    } else if (!str_eq(a->mode, "park")) {
        http_req_stream(r, app_data, app_end, a);
    }
}

static void app_open(struct app *a, const char *mode, const struct http_limits *lim)
{
    *a = (struct app){.mode = mode};
    driver_open(&a->d, lim, app_request, a);
}

static void ask_and_close(struct raw *c, const char *body)
{
    struct answer x;

    raw_answer(c, false, &x);
    assert_true(x.whole);
    assert_int_equal(x.body.len, strlen(body));
    assert_memory_equal(buf_data(&x.body), body, x.body.len);
    answer_free(&x);
}

/* ---- deadlines ---- */

static void hz29_slow_heads_are_closed_by_a_deadline(void **state)
{
    struct http_limits lim = {.head_ms = 200};
    struct app a;
    struct raw c;
    struct answer x;
    uint64_t begin = clock_mono_ms();

    (void) state;
    app_open(&a, "park", &lim);
    raw_open(&c, &a.d);
    raw_text(&c, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 400 && !c.ended && !c.in.len; i++) { /* a byte now and then does not help */
        raw_text(&c, "a");
        driver_run(&a.d, 20);
        raw_poll(&c);
    }
    assert_in_range(clock_mono_ms() - begin, 190, 8000);
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 408);
    answer_free(&x);
    raw_wait_end(&c, 4000);
    raw_close(&c);
    driver_close(&a.d);
}

static void idle_connections_are_closed(void **state)
{
    struct http_limits lim = {.idle_ms = 100};
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, "collect", &lim);
    raw_open(&c, &a.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    ask_and_close(&c, "body");
    raw_wait_end(&c, 1000);
    assert_int_equal(c.in.len, 0);
    raw_close(&c);
    driver_close(&a.d);
}

static void stalled_bodies_are_408(void **state)
{
    static const char *const modes[] = {"collect", "stream"};
    struct http_limits lim = {.body_idle_ms = 150};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct app a;
        struct raw c;
        struct answer x;

        app_open(&a, modes[i], &lim);
        raw_open(&c, &a.d);
        raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", 408, &x);
        answer_free(&x);
        assert_int_equal(a.gone + a.end, 1);
        assert_int_equal(a.end_result, i ? -ETIMEDOUT : 0);
        raw_close(&c);
        driver_close(&a.d);
    }
}

static void a_client_that_does_not_read_is_cut(void **state)
{
    struct http_limits lim = {.write_idle_ms = 300};
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, "big", &lim);
    raw_open(&c, &a.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver_until(&a.d, &a.gone);
    raw_close(&c);
    driver_close(&a.d);
}

/* ---- bodies ---- */

static void too_much_is_413_and_seen_by_a_client_that_is_still_sending(void **state)
{
    static char big[4 * MIB];
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct app a;
        struct raw c;
        struct answer x;

        app_open(&a, "collect", NULL);
        raw_open(&c, &a.d);
        raw_text(&c, heads[i]);
        raw_send(&c, big, sizeof(big));
        raw_answer(&c, false, &x);
        assert_true(x.whole);
        assert_int_equal(x.head.status, 413);
        assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
        answer_free(&x);
        assert_int_equal(a.gone, 1);
        raw_wait_end(&c, 4000);
        assert_int_equal(c.error, 0); /* no reset */
        raw_close(&c);
        driver_close(&a.d);
    }
}

static void unread_bodies_are_drained_or_end_the_connection(void **state)
{
    static char big[8 * MIB];
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, "refuse", NULL);
    raw_open(&c, &a.d);
    for (int i = 0; i < 2; i++) { /* short: drained, the connection lives on */
        raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", 403, &x);
        assert_null(http_headers_get(&x.head.headers, "connection"));
        answer_free(&x);
        raw_send(&c, big, 60000);
    }
    /* of unknown length: the client is told not to use the connection again */
    raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 403, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
    answer_free(&x);
    raw_wait_end(&c, 4000);
    raw_close(&c);
    raw_open(&c, &a.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    raw_send(&c, big, sizeof(big));
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 403);
    assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
    answer_free(&x);
    raw_wait_end(&c, 4000);
    assert_int_equal(c.error, 0);
    raw_close(&c);
    driver_close(&a.d);
}

static void expect_continue_is_invited_when_wanted(void **state)
{
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, "collect", NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    raw_wait_bytes(&c, 25);
    assert_memory_equal(buf_data(&c.in), "HTTP/1.1 100 Continue\r\n\r\n", 25);
    raw_text(&c, "hello");
    raw_answer(&c, false, &x);
    assert_int_equal(x.interim, 1);
    assert_int_equal(x.head.status, 200);
    answer_free(&x);
    /* The body comes along: no invitation. */
    raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", 200, &x);
    assert_int_equal(x.interim, 0);
    answer_free(&x);
    /* Too long: refused at once, never invited. */
    raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n", 413, &x);
    assert_int_equal(x.interim, 0);
    answer_free(&x);
    raw_close(&c);
    /* Not wanted: a final answer, and since the client may or may not send, the end. */
    a.mode = "refuse";
    raw_open(&c, &a.d);
    raw_ask(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 403, &x);
    assert_int_equal(x.interim, 0);
    answer_free(&x);
    raw_wait_end(&c, 4000);
    raw_close(&c);
    driver_close(&a.d);
}

static void pause_holds_the_sender(void **state)
{
    static char big[16 * MIB];
    struct app a;
    struct raw c;
    size_t sent = 0, left = 0;

    (void) state;
    app_open(&a, "pause", NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n");
    for (int quiet = 0; quiet < 20;) {
        ssize_t n = send(c.fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t) n : 0;
        driver_run(&a.d, 5);
    }
    assert_true(a.got && a.got <= 512 * 1024); /* what one read brings, not what was sent */
    assert_true(sent < sizeof(big));
    a.mode = "stream";
    http_req_pause(a.req, false);
    left = sizeof(big) - sent;
    raw_send(&c, big + sent, left);
    ask_and_close(&c, "end");
    assert_int_equal(a.got, sizeof(big));
    raw_close(&c);
    driver_close(&a.d);
}

/* A pause at the very last byte holds the end back too. */
static void pause_at_the_end(void **state)
{
    static const char *const texts[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct app a;
        struct raw c;

        app_open(&a, "pause", NULL);
        raw_open(&c, &a.d);
        raw_text(&c, texts[i]);
        driver_run(&a.d, 50);
        assert_int_equal(a.got, 3);
        assert_int_equal(a.end, 0);
        http_req_pause(a.req, false);
        ask_and_close(&c, "end");
        raw_close(&c);
        driver_close(&a.d);
    }
}

/* ---- clients that leave ---- */

static void hz05_a_client_that_leaves_is_noticed(void **state)
{
    (void) state;
    for (int reset = 0; reset < 2; reset++) {
        struct app a;
        struct raw c;

        app_open(&a, "park", NULL);
        raw_open(&c, &a.d);
        raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        driver_until(&a.d, &a.arrived);
        if (reset)
            raw_reset(&c);
        else
            raw_close(&c);
        driver_until(&a.d, &a.gone);
        assert_int_equal(a.gone, 1);
        assert_int_equal(http_server_conns(a.d.server), 0);
        driver_close(&a.d);
        assert_int_equal(a.gone, 1);
    }
}

static void a_client_that_leaves_during_a_body(void **state)
{
    static const char *const modes[] = {"stream", "pause", "collect", "park"};

    (void) state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(modes); i++) {
        struct app a;
        struct raw c;

        app_open(&a, modes[i / 2], NULL);
        raw_open(&c, &a.d);
        raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhalf");
        driver_until(&a.d, &a.arrived);
        driver_run(&a.d, 20);
        if (i % 2)
            raw_reset(&c);
        else
            raw_close(&c);
        driver_until(&a.d, i / 2 < 2 ? &a.end : &a.gone);
        assert_int_equal(a.gone + a.end, 1);
        if (i / 2 < 2)
            assert_true(a.end_result < 0);
        driver_close(&a.d);
        assert_int_equal(a.gone + a.end, 1);
    }
}

static void hz26_half_closed_clients_get_their_answer(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct app a;
        struct raw c;
        struct answer x;

        app_open(&a, i == 2 ? "stream" : "park", NULL);
        raw_open(&c, &a.d);
        raw_text(&c, texts[i]);
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        driver_until(&a.d, &a.arrived);
        if (i < 2) {
            driver_run(&a.d, 2500); /* long enough to be probed */
            assert_int_equal(a.gone, 0);
            http_reply(a.req, 200, NULL, "end", 3);
        }
        raw_answer(&c, false, &x);
        assert_true(x.whole);
        assert_int_equal(x.interim, i == 0);
        assert_memory_equal(buf_data(&x.body), "end", 3);
        answer_free(&x);
        raw_wait_end(&c, 1000);
        assert_int_equal(c.error, 0);
        raw_close(&c);
        driver_close(&a.d);
    }
}

static void a_client_that_leaves_a_streamed_answer(void **state)
{
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, "big", NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver_until(&a.d, &a.arrived);
    raw_close(&c);
    driver_until(&a.d, &a.gone);
    driver_close(&a.d);
    assert_int_equal(a.gone, 1);
}

/* ---- back-pressure ---- */

static void a_big_answer_waits_for_its_reader(void **state)
{
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, "big", NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver_until(&a.d, &a.arrived);
    driver_run(&a.d, 50);
    assert_in_range(http_reply_queued(a.req), 1, 400 * KIB);
    raw_answer(&c, false, &x);
    assert_true(x.whole);
    assert_int_equal(x.body.len, 64 * MIB);
    assert_true(a.drained > 10);
    answer_free(&x);
    raw_close(&c);
    driver_close(&a.d);
}

/* ---- what owners may do inside callbacks ---- */

static void owners_may_end_anything_anywhere(void **state)
{
    static const char *const modes[] = {"abort in data", "answer in data", "free in data"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct app a;
        struct raw c;
        struct answer x;

        app_open(&a, modes[i], NULL);
        raw_open(&c, &a.d);
        raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_answer(&c, false, &x);
        assert_int_equal(x.whole, i == 1);
        answer_free(&x);
        raw_close(&c);
        driver_run(&a.d, 20);
        if (i == 2)
            a.d.server = NULL;
        driver_close(&a.d);
        assert_int_equal(a.gone, 0);
    }
}

static void the_end_of_the_server_tells_every_request(void **state)
{
    struct app a;
    struct raw c[3];

    (void) state;
    app_open(&a, "park", NULL);
    for (int i = 0; i < 3; i++) {
        raw_open(&c[i], &a.d);
        raw_text(&c[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    driver_run(&a.d, 50);
    assert_int_equal(a.arrived, 3);
    driver_close(&a.d);
    assert_int_equal(a.gone, 3);
    for (int i = 0; i < 3; i++)
        raw_close(&c[i]);
}

/* ---- caps and drain ---- */

static void caps_turn_away(void **state)
{
    struct http_limits lim = {.conns_max = 3, .conns_per_peer_max = 2};
    struct app a;
    struct raw c[3];
    struct answer x;

    (void) state;
    app_open(&a, "park", &lim);
    for (int i = 0; i < 3; i++) {
        raw_open(&c[i], &a.d);
        raw_text(&c[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    raw_answer(&c[2], false, &x);
    assert_int_equal(x.head.status, 503);
    answer_free(&x);
    assert_int_equal(http_server_conns(a.d.server), 2);
    for (int i = 0; i < 3; i++)
        raw_close(&c[i]);
    driver_close(&a.d);
}

static void the_longest_idle_makes_room(void **state)
{
    struct http_limits lim = {.conns_max = 2};
    struct app a;
    struct raw c[3];
    struct answer x;

    (void) state;
    app_open(&a, "refuse", &lim);
    for (int i = 0; i < 2; i++) {
        raw_open(&c[i], &a.d);
        raw_ask(&c[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 403, &x);
        answer_free(&x);
    }
    raw_ask(&c[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 403, &x); /* now the second is idle for longer */
    answer_free(&x);
    raw_open(&c[2], &a.d);
    raw_ask(&c[2], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 403, &x);
    answer_free(&x);
    raw_wait_end(&c[1], 1000);
    raw_ask(&c[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 403, &x);
    answer_free(&x);
    for (int i = 0; i < 3; i++)
        raw_close(&c[i]);
    driver_close(&a.d);
}

static void drain_finishes_what_is_under_way(void **state)
{
    struct app a;
    struct raw idle, busy;
    struct answer x;

    (void) state;
    app_open(&a, "park", NULL);
    raw_open(&idle, &a.d);
    raw_open(&busy, &a.d);
    raw_text(&busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver_until(&a.d, &a.arrived);
    http_server_drain(a.d.server);
    raw_wait_end(&idle, 1000);
    http_reply(a.req, 200, NULL, "end", 3);
    raw_answer(&busy, false, &x);
    assert_true(x.whole);
    assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
    answer_free(&x);
    raw_wait_end(&busy, 1000);
    assert_int_equal(http_server_conns(a.d.server), 0);
    raw_close(&idle);
    raw_close(&busy);
    driver_close(&a.d);
}

/* ---- pipelining ---- */

/* A request that waited for the answers before it goes on as soon as they are sent: nothing else may wake it. */
static void pipelined_requests_go_on_when_the_queue_is_sent(void **state)
{
    static const char upgrade[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                                  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    struct http_limits lim = {.queue_bytes = 4096};
    struct app a;
    struct raw c;
    char text[4096] = "";

    (void) state;
    app_open(&a, "refuse", &lim);
    raw_open(&c, &a.d);
    for (int i = 0; i < 50; i++)
        strcat(text, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw_text(&c, text);
    driver_run(&a.d, 100);
    assert_int_equal(a.arrived, 50);
    raw_text(&c, text);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    raw_wait_end(&c, 1000);
    assert_int_equal(a.arrived, 100);
    raw_close(&c);
    /* One that may take the connection away waits for an empty queue. */
    raw_open(&c, &a.d);
    raw_text(&c, upgrade);
    driver_run(&a.d, 100);
    assert_int_equal(a.arrived, 102);
    raw_close(&c);
    driver_close(&a.d);
}

/* Answered while the end of the body was held back: nothing is left to drain, the connection is idle at once. */
static void an_answer_during_a_pause_at_the_end(void **state)
{
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, "pause", NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    driver_run(&a.d, 50);
    assert_int_equal(a.got, 3);
    http_reply(a.req, 200, NULL, "end", 3);
    ask_and_close(&c, "end");
    http_server_drain(a.d.server);
    raw_wait_end(&c, 1000);
    raw_close(&c);
    driver_close(&a.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hz29_slow_heads_are_closed_by_a_deadline), cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(stalled_bodies_are_408), cmocka_unit_test(a_client_that_does_not_read_is_cut),
        cmocka_unit_test(too_much_is_413_and_seen_by_a_client_that_is_still_sending),
        cmocka_unit_test(unread_bodies_are_drained_or_end_the_connection),
        cmocka_unit_test(expect_continue_is_invited_when_wanted), cmocka_unit_test(pause_holds_the_sender),
        cmocka_unit_test(pause_at_the_end), cmocka_unit_test(hz05_a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_client_that_leaves_during_a_body), cmocka_unit_test(hz26_half_closed_clients_get_their_answer),
        cmocka_unit_test(a_client_that_leaves_a_streamed_answer), cmocka_unit_test(a_big_answer_waits_for_its_reader),
        cmocka_unit_test(owners_may_end_anything_anywhere), cmocka_unit_test(the_end_of_the_server_tells_every_request),
        cmocka_unit_test(caps_turn_away), cmocka_unit_test(the_longest_idle_makes_room),
        cmocka_unit_test(drain_finishes_what_is_under_way),
        cmocka_unit_test(pipelined_requests_go_on_when_the_queue_is_sent),
        cmocka_unit_test(an_answer_during_a_pause_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
