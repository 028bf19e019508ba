/* SPDX-License-Identifier: Apache-2.0 */
/* Heads: what is accepted, what is refused and why, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/http/parse.h"

struct parsed {
    struct arena *arena;
    struct http_head head;
    const char *reason;
    size_t used;
    int r;
};

static const struct http_limits no_limits;

/* The bytes are copied to an exact allocation, so that a sanitizer sees a read past the end. */
static void parse_n(struct parsed *p, const char *s, size_t len, bool response, bool head_request)
{
    char *exact = malloc(len ? len : 1);

    memcpy(exact, s, len);
    *p = (struct parsed){.arena = arena_new(0)};
    if (response)
        p->r = http_parse_response(exact, len, &no_limits, head_request, p->arena, &p->head, &p->used, &p->reason);
    else
        p->r = http_parse_request(exact, len, &no_limits, p->arena, &p->head, &p->used, &p->reason);
    free(exact);
}

static void done(struct parsed *p)
{
    arena_free(p->arena);
}

static void request_is_taken(void **state)
{
    static const char text[] = "PUT /a%20b?x=1&y HTTP/1.1\r\nHost: API.Example.com:8080\r\nContent-Length: 12\r\n"
                               "X-Empty:\r\nX-Padded: \t a b \t \r\nExpect: 100-continue\r\n\r\nhello";
    struct parsed p;

    (void) state;
    parse_n(&p, text, sizeof(text) - 1, false, false);
    assert_int_equal(p.r, HTTP_E_OK);
    assert_int_equal(p.used, sizeof(text) - 1 - 5);
    assert_int_equal(p.head.method, HTTP_PUT);
    assert_string_equal(p.head.method_text, "PUT");
    assert_string_equal(p.head.target, "/a%20b?x=1&y");
    assert_string_equal(p.head.host, "api.example.com");
    assert_int_equal(p.head.body, 12);
    assert_true(p.head.keep_alive && p.head.expect_continue && !p.head.upgrade && !p.head.http10);
    assert_int_equal(p.head.headers.count, 5);
    assert_string_equal(http_headers_get(&p.head.headers, "x-empty"), "");
    assert_string_equal(http_headers_get(&p.head.headers, "x-padded"), "a b");
    assert_null(http_headers_get(&p.head.headers, "x-absent"));
    done(&p);
}

static void connection_tokens_decide(void **state)
{
    static const struct {
        const char *text;
        bool keep, upgrade;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", true, true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", true, false},
        /* with a body nobody could say where the other protocol begins */
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgradex\r\nUpgrade: h2c\r\n\r\n", true, false},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;

        parse_n(&p, rows[i].text, strlen(rows[i].text), false, false);
        assert_int_equal(p.r, HTTP_E_OK);
        assert_int_equal(p.head.keep_alive, rows[i].keep);
        assert_int_equal(p.head.upgrade, rows[i].upgrade);
        done(&p);
    }
}

struct bad {
    const char *text;
    size_t len; /* 0: strlen */
    int r;
};

#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"
static const struct bad bad_requests[] = {
    {P "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, HTTP_E_BAD},
    {P "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, HTTP_E_BAD},
    {P "Content-Length: 1, 1\r\n\r\n", 0, HTTP_E_BAD},
    {P "Content-Length: +1\r\n\r\n", 0, HTTP_E_BAD},
    {P "Content-Length:\r\n\r\n", 0, HTTP_E_BAD},
    {P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, HTTP_E_BAD},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, HTTP_E_BAD},
    {P "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, HTTP_E_UNSUPPORTED},
    {P "Content-Length : 1\r\n\r\n", 0, HTTP_E_BAD},
    {H " folded: 1\r\n\r\n", 0, HTTP_E_BAD},
    {H "X: 1\r\n 2\r\n\r\n", 0, HTTP_E_BAD},
    {H "no colon\r\n\r\n", 0, HTTP_E_BAD},
    {H "nocolon\r\n\r\n", 0, HTTP_E_BAD},
    {H ": empty\r\n\r\n", 0, HTTP_E_BAD},
    {H "b\x01" "d: 1\r\n\r\n", 0, HTTP_E_BAD},
    {H "X: a\x01\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 35, HTTP_E_BAD},
    {H "X: a\rb\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\nHost: a\n\n", 0, HTTP_E_BAD},
    {H "X: 1\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\r\n\r\n", 0, HTTP_E_BAD},
    {H "Host: b\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1\r\nHost: [zz]\r\n\r\n", 0, HTTP_E_BAD},
    {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET / HTTP/11\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET /\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, HTTP_E_BAD},
    {"\x16\x03\x01\x02", 0, HTTP_E_BAD},
    {" GET / HTTP/1.1\r\n", 0, HTTP_E_BAD},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, HTTP_E_VERSION},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0, HTTP_E_VERSION},
    {"OPTIONS * HTTP/0.9\r\n\r\n", 0, HTTP_E_VERSION},
};

static void hz29_odd_requests_are_refused(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        const struct bad *b = &bad_requests[i];
        struct parsed p;

        parse_n(&p, b->text, b->len ? b->len : strlen(b->text), false, false);
        if (p.r != b->r)
            fail_msg("row %zu: %d instead of %d (%s)", i, p.r, b->r, p.reason ? p.reason : "-");
        assert_non_null(p.reason);
        done(&p);
    }
}

/* One refusal, one reason: an operator can tell them apart. */
static void hz29_reasons_are_distinct(void **state)
{
    static const size_t rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 33, 34, 35, 37};
    const char *seen[ARRAY_LEN(rows)];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct bad *b = &bad_requests[rows[i]];
        struct parsed p;

        parse_n(&p, b->text, b->len ? b->len : strlen(b->text), false, false);
        seen[i] = p.reason;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(seen[i], seen[j]) == 0)
                fail_msg("rows %zu and %zu: %s", rows[i], rows[j], seen[i]);
        }
        done(&p);
    }
}

static void oddities_that_are_fine(void **state)
{
    static const char *const rows[] = {
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", /* one empty line before is forgiven */
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\xc3\xbc?a[0]={x}|y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;

        parse_n(&p, rows[i], strlen(rows[i]), false, false);
        if (p.r)
            fail_msg("row %zu: %s", i, p.reason);
        assert_int_equal(p.used, strlen(rows[i]));
        done(&p);
    }
}

static void hz29_cut_at_every_byte(void **state)
{
    static const char text[] = "\r\nPATCH /x/y?z HTTP/1.1\r\nHost: a.b:1\r\nTransfer-Encoding: chunked\r\nConnection: a, b\r\n\r\n";

    (void) state;
    for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
        struct parsed p;

        parse_n(&p, text, cut, false, false);
        assert_int_equal(p.r, HTTP_E_MORE);
        done(&p);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        size_t len = bad_requests[i].len ? bad_requests[i].len : strlen(bad_requests[i].text);

        for (size_t cut = 0; cut < len; cut++) {
            struct parsed p;

            parse_n(&p, bad_requests[i].text, cut, false, false);
            assert_int_not_equal(p.r, HTTP_E_OK);
            done(&p);
        }
    }
}

/* Every byte of a good head replaced by every value: never a crash, and what is taken is within the input. */
static void hz29_every_byte_replaced(void **state)
{
    static const char text[] = "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    char copy[sizeof(text)];

    (void) state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        for (int v = 0; v < 256; v++) {
            struct parsed p;

            memcpy(copy, text, sizeof(text));
            copy[i] = (char) v;
            parse_n(&p, copy, sizeof(text) - 1, false, false);
            if (p.r == HTTP_E_OK)
                assert_true(p.used <= sizeof(text) - 1);
            else
                assert_true(p.r == HTTP_E_MORE || p.reason);
            done(&p);
        }
    }
}

static void limits_hold(void **state)
{
    struct http_limits lim = {.head_bytes_max = 64, .header_count_max = 2};
    struct arena *a = arena_new(0);
    struct http_head head;
    const char *reason;
    size_t used;
    char big[128];

    (void) state;
    memset(big, 'a', sizeof(big));
    assert_int_equal(http_parse_request(big, 63, &lim, a, &head, &used, &reason), HTTP_E_MORE);
    assert_int_equal(http_parse_request(big, 64, &lim, a, &head, &used, &reason), HTTP_E_TOO_LARGE);
    assert_int_equal(http_parse_request(H "a: b\r\n\r\n", strlen(H) + 8, &lim, a, &head, &used, &reason), HTTP_E_OK);
    assert_int_equal(http_parse_request(H "a: b\r\nc: d\r\n\r\n", strlen(H) + 14, &lim, a, &head, &used, &reason), HTTP_E_TOO_LARGE);
    arena_free(a);
}

static void responses(void **state)
{
    static const struct {
        const char *text;
        bool head_request;
        int r, status;
        int64_t body;
        bool keep;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 0, 200, 5, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 0, 200, 0, true},
        {"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, 200, HTTP_BODY_CHUNKED, true},
        {"HTTP/1.1 200 \r\n\r\n", false, 0, 200, HTTP_BODY_UNTIL_CLOSE, false},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, 0, 204, 0, true},
        {"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", false, 0, 304, 0, true},
        {"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, 0, 101, 0, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, 0, 200, 1, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 20 OK\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 600 OK\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 200OK\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/2.0 200 OK\r\n\r\n", false, HTTP_E_VERSION, 0, 0, false},
        {"HTTP 200 OK\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"\r\nHTTP/1.1 200 OK\r\n\r\n", false, HTTP_E_BAD, 0, 0, false},
        {"HTTP/1.1 200 OK\nContent-Length: 1\n\n", false, HTTP_E_BAD, 0, 0, false},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].text);
        struct parsed p;

        parse_n(&p, rows[i].text, len, true, rows[i].head_request);
        if (p.r != rows[i].r)
            fail_msg("row %zu: %d (%s)", i, p.r, p.reason ? p.reason : "-");
        if (!p.r) {
            assert_int_equal(p.head.status, rows[i].status);
            assert_int_equal(p.head.body, rows[i].body);
            assert_int_equal(p.head.keep_alive, rows[i].keep);
        }
        done(&p);
        for (size_t cut = 0; cut < len; cut++) {
            parse_n(&p, rows[i].text, cut, true, false);
            assert_int_not_equal(p.r, HTTP_E_OK);
            done(&p);
        }
    }
}

static void tokens(void **state)
{
    struct http_header items[] = {{"Vary", "a,b"}, {"vary", " c , \"d\""}, {"Other", "e"}};
    struct http_headers h = {items, 3};

    (void) state;
    assert_true(http_headers_has_token(&h, "VARY", "A"));
    assert_true(http_headers_has_token(&h, "vary", "c"));
    assert_false(http_headers_has_token(&h, "vary", "e"));
    assert_false(http_headers_has_token(&h, "vary", "a,b"));
    assert_false(http_headers_has_token(&h, "vary", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_taken), cmocka_unit_test(connection_tokens_decide),
        cmocka_unit_test(hz29_odd_requests_are_refused), cmocka_unit_test(hz29_reasons_are_distinct),
        cmocka_unit_test(oddities_that_are_fine), cmocka_unit_test(hz29_cut_at_every_byte),
        cmocka_unit_test(hz29_every_byte_replaced), cmocka_unit_test(limits_hold), cmocka_unit_test(responses),
        cmocka_unit_test(tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
