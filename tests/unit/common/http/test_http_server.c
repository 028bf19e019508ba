/* SPDX-License-Identifier: Apache-2.0 */
/* The server: answers, bodies, keep-alive, pipelining, framing of answers. */
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
#include "common/base/str.h"
#include "http_driver.h"

struct app {
    unsigned requests, gone, ends;
    int last_end;
    struct http_req *waiting; /* parked by "/wait" */
    size_t streamed;
    int flag;
    struct driver d;
};

static void app_gone(void *arg, struct http_req *r)
{
    struct app *a = arg;

    a->gone++;
    a->flag = 1;
    if (a->waiting == r)
        a->waiting = NULL;
}

static void app_echo_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    http_reply(r, 200, "application/octet-stream", p, len);
}

static void app_stream_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct app *a = arg;

    (void) r;
    (void) p;
    a->streamed += len;
}

static void app_stream_end(void *arg, struct http_req *r, int result)
{
    struct app *a = arg;
    char text[64];

    a->ends++;
    a->last_end = result;
    a->flag = 1;
    if (result < 0)
        return;
    snprintf(text, sizeof(text), "%zu", a->streamed);
    http_reply(r, 200, "text/plain", text, strlen(text));
}

static void app_mirror_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    if (!http_reply_begun(r))
        http_reply_begin(r, 200, "text/plain", -1);
    http_reply_data(r, p, len);
}

static void app_mirror_end(void *arg, struct http_req *r, int result)
{
    (void) arg;
    if (result < 0)
        return;
    if (!http_reply_begun(r))
        http_reply_begin(r, 200, "text/plain", -1);
    http_reply_end(r);
}

static void app_request(void *arg, struct http_req *r)
{
    struct app *a = arg;
    const char *path = http_req_path(r);

    a->requests++;
    http_req_on_gone(r, app_gone, a);
    if (str_eq(path, "/hello")) {
        http_reply_header(r, "X-Extra", "1");
        http_reply(r, 200, "text/plain", "hello", 5);
    } else if (str_eq(path, "/echo")) {
        http_req_body(r, 1 * MIB, app_echo_body, a);
    } else if (str_eq(path, "/count")) {
        a->streamed = 0;
        http_req_stream(r, app_stream_data, app_stream_end, a);
    } else if (str_eq(path, "/mirror")) {
        http_req_stream(r, app_mirror_data, app_mirror_end, a);
    } else if (str_eq(path, "/wait")) {
        a->waiting = r;
        a->flag = 1;
    } else if (str_eq(path, "/none")) {
        http_reply_empty(r, 204);
    } else if (str_eq(path, "/chunks")) {
        http_reply_begin(r, 200, "text/plain", -1);
        http_reply_data(r, "a", 1);
        http_reply_data(r, "", 0);
        http_reply_data(r, "bc", 2);
        http_reply_end(r);
    } else if (str_eq(path, "/short")) {
        http_reply_begin(r, 200, "text/plain", 10);
        http_reply_data(r, "abc", 3);
        http_reply_end(r);
    } else if (str_eq(path, "/abort")) {
        http_reply_begin(r, 200, "text/plain", -1);
        http_reply_data(r, "abc", 3);
        http_reply_abort(r);
    } else if (str_eq(path, "/error")) {
        http_reply_error_details(r, 401, "no_key", "who \"are\" you", "{\"a\":1}");
    } else {
        http_reply_error(r, 404, "not_found", "no such thing");
    }
}

static void app_open(struct app *a, const struct http_limits *lim)
{
    *a = (struct app){0};
    driver_open(&a->d, lim, app_request, a);
}

static void app_close(struct app *a)
{
    driver_close(&a->d);
}

static void expect(struct answer *a, const char *body)
{
    assert_true(a->whole);
    assert_int_equal(a->body.len, strlen(body));
    if (a->body.len)
        assert_memory_equal(buf_data(&a->body), body, a->body.len);
    answer_free(a);
}

static void answers_and_keeps_alive(void **state)
{
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, NULL);
    raw_open(&c, &a.d);
    for (int i = 0; i < 3; i++) {
        raw_ask(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: my.id-1\r\n\r\n", 200, &x);
        assert_string_equal(http_headers_get(&x.head.headers, "x-request-id"), "my.id-1");
        assert_string_equal(http_headers_get(&x.head.headers, "content-type"), "text/plain");
        assert_string_equal(http_headers_get(&x.head.headers, "x-extra"), "1");
        assert_int_equal(strlen(http_headers_get(&x.head.headers, "date")), 29);
        assert_null(http_headers_get(&x.head.headers, "connection"));
        expect(&x, "hello");
    }
    raw_ask(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: bad id\r\n\r\n", 200, &x);
    assert_true(str_starts(http_headers_get(&x.head.headers, "x-request-id"), "req_"));
    expect(&x, "hello");
    raw_ask(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
    expect(&x, "hello");
    raw_wait_end(&c, 1000);
    assert_int_equal(c.error, 0);
    driver_run(&a.d, 20);
    assert_int_equal(http_server_conns(a.d.server), 0);
    assert_int_equal(a.gone, 0);
    raw_close(&c);
    app_close(&a);
}

static void answers_frame_themselves(void **state)
{
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, NULL);
    raw_open(&c, &a.d);
    raw_ask(&c, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "content-length"), "5");
    expect(&x, "");
    raw_ask(&c, "HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n", 200, &x);
    assert_null(http_headers_get(&x.head.headers, "transfer-encoding"));
    expect(&x, "");
    raw_ask(&c, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 204, &x);
    assert_null(http_headers_get(&x.head.headers, "content-length"));
    expect(&x, "");
    raw_ask(&c, "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n", 200, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "transfer-encoding"), "chunked");
    expect(&x, "abc");
    raw_ask(&c, "GET /error HTTP/1.1\r\nHost: a\r\nX-Request-Id: q\r\n\r\n", 401, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "www-authenticate"), "Bearer");
    expect(&x, "{\"error\":\"no_key\",\"message\":\"who \\\"are\\\" you\",\"details\":{\"a\":1},\"request_id\":\"q\"}");
    raw_close(&c);
    raw_open(&c, &a.d);
    raw_ask(&c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "connection"), "keep-alive");
    expect(&x, "hello");
    raw_ask(&c, "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, &x);
    assert_int_equal(x.head.body, HTTP_BODY_UNTIL_CLOSE);
    expect(&x, "abc");
    raw_close(&c);
    app_close(&a);
}

static void cut_answers_look_cut(void **state)
{
    static const char *const paths[] = {"/short", "/abort"};
    struct app a;
    struct answer x;

    (void) state;
    app_open(&a, NULL);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char text[128];
        struct raw c;

        raw_open(&c, &a.d);
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        raw_text(&c, text);
        raw_answer(&c, false, &x);
        assert_false(x.whole);
        answer_free(&x);
        raw_close(&c);
    }
    assert_int_equal(a.gone, 0);
    app_close(&a);
}

static const char body_requests[] =
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n"
    "\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1234567"
    "POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nignored"
    "POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nignored\r\n0\r\n\r\n"
    "GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static void check_body_answers(struct raw *c)
{
    static const char *const bodies[] = {"hello", "abcde", "", "7", "x", "hello", "hello", "0"};
    struct answer x;

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        raw_answer(c, false, &x);
        assert_int_equal(x.head.status, 200);
        expect(&x, bodies[i]);
    }
    raw_wait_end(c, 1000);
    assert_int_equal(c->error, 0);
    assert_int_equal(c->in.len, 0);
}

static void pipelined_requests_one_after_another(void **state)
{
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, NULL);
    raw_open(&c, &a.d);
    raw_text(&c, body_requests);
    check_body_answers(&c);
    raw_close(&c);
    app_close(&a);
}

static void input_cut_at_every_byte(void **state)
{
    struct app a;

    (void) state;
    app_open(&a, NULL);
    for (size_t cut = 1; cut < sizeof(body_requests) - 1; cut++) {
        struct raw c;

        raw_open(&c, &a.d);
        raw_send(&c, body_requests, cut);
        for (int i = 0; i < 3; i++)
            assert_int_equal(loop_turn(a.d.loop, 1), 0);
        raw_text(&c, body_requests + cut);
        check_body_answers(&c);
        raw_close(&c);
    }
    assert_int_equal(a.gone, 0);
    app_close(&a);
}

static void input_byte_by_byte(void **state)
{
    struct app a;
    struct raw c;

    (void) state;
    app_open(&a, NULL);
    raw_open(&c, &a.d);
    for (size_t i = 0; i < sizeof(body_requests) - 1; i++) {
        raw_send(&c, body_requests + i, 1);
        assert_int_equal(loop_turn(a.d.loop, 1), 0);
    }
    check_body_answers(&c);
    raw_close(&c);
    app_close(&a);
}

static void later_answers(void **state)
{
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, NULL);
    raw_open(&c, &a.d);
    raw_text(&c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    driver_until(&a.d, &a.flag);
    driver_run(&a.d, 30);
    assert_int_equal(a.requests, 1); /* the second waits for the first one's answer */
    http_reply(a.waiting, 200, "text/plain", "late", 4);
    raw_answer(&c, false, &x);
    expect(&x, "late");
    raw_answer(&c, false, &x);
    expect(&x, "hello");
    raw_close(&c);
    app_close(&a);
}

static void hz29_bad_heads_get_their_answer_and_the_end(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"\x16\x03\x01", 400},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400},
    };
    struct app a;

    (void) state;
    app_open(&a, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw c;
        struct answer x;

        raw_open(&c, &a.d);
        raw_ask(&c, rows[i].text, rows[i].status, &x);
        assert_true(x.whole);
        assert_string_equal(http_headers_get(&x.head.headers, "connection"), "close");
        answer_free(&x);
        /* A smuggled request behind it is never looked at. */
        raw_text(&c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_wait_end(&c, 4000);
        assert_int_equal(c.in.len, 0);
        raw_close(&c);
    }
    assert_int_equal(a.requests, 2);
    assert_int_equal(a.gone, 2);
    app_close(&a);
}

static void big_heads_are_431(void **state)
{
    static char text[40 * 1024];
    struct http_limits lim = {.header_count_max = 5};
    struct app a;
    struct raw c;
    struct answer x;

    (void) state;
    app_open(&a, &lim);
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "GET /", 5);
    raw_open(&c, &a.d);
    raw_ask(&c, text, 431, &x);
    assert_true(x.whole);
    answer_free(&x);
    raw_close(&c);
    raw_open(&c, &a.d);
    raw_ask(&c, "GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\nf: 1\r\n\r\n", 431, &x);
    answer_free(&x);
    raw_close(&c);
    app_close(&a);
}

static void query_request(void *arg, struct http_req *r)
{
    int *seen = arg;

    assert_string_equal(http_req_path(r), "/p%20q");
    assert_string_equal(http_req_query(r, "a"), "1 2/");
    assert_string_equal(http_req_query(r, "b[]"), "");
    assert_string_equal(http_req_query(r, "c"), "");
    assert_null(http_req_query(r, "d"));
    assert_int_equal(http_req_query_check(r), -EINVAL);
    assert_string_equal(http_req_peer(r), "127.0.0.1");
    assert_null(http_req_peer_cn(r));
    *seen = 1;
    http_reply_empty(r, 200);
}

static void queries(void **state)
{
    struct driver d;
    struct raw c;
    struct answer x;
    int seen = 0;

    (void) state;
    driver_open(&d, NULL, query_request, &seen);
    raw_open(&c, &d);
    raw_ask(&c, "GET /p%20q?a=1+2%2F&&b[]=&c&d=%zz&a=2 HTTP/1.1\r\nHost: a\r\n\r\n", 200, &x);
    expect(&x, "");
    assert_true(seen);
    raw_close(&c);
    driver_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_keeps_alive), cmocka_unit_test(answers_frame_themselves),
        cmocka_unit_test(cut_answers_look_cut), cmocka_unit_test(pipelined_requests_one_after_another),
        cmocka_unit_test(input_cut_at_every_byte), cmocka_unit_test(input_byte_by_byte), cmocka_unit_test(later_answers),
        cmocka_unit_test(hz29_bad_heads_get_their_answer_and_the_end), cmocka_unit_test(big_heads_are_431),
        cmocka_unit_test(queries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
