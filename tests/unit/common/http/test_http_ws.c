/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets: the codec, and a server's side against a raw client. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/http/ws.h"
#include "common/http/ws_internal.h"
#include "http_driver.h"

/* ---- codec ---- */

static void heads(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int r;
        uint64_t payload;
    } rows[] = {
        {"\x81\x85" "abcd", 6, WS_E_OK, 5},
        {"\x81\x85" "abc", 5, WS_E_MORE, 0},
        {"\x81\xfe\x00\x7e" "abcd", 8, WS_E_OK, 126},
        {"\x81\xfe\x00\x7d" "abcd", 8, WS_E_PROTOCOL, 0}, /* not the shortest form */
        {"\x82\xff\0\0\0\0\0\x01\0\0" "abcd", 14, WS_E_OK, 65536},
        {"\x82\xff\0\0\0\0\0\0\xff\xff" "abcd", 14, WS_E_PROTOCOL, 0},
        {"\x82\xff\x80\0\0\0\0\0\0\0" "abcd", 14, WS_E_PROTOCOL, 0},
        {"\x82\xff\0\0\0\0\0\x01\0\x01" "abcd", 14, WS_E_TOO_LARGE, 0},
        {"\x81\x05", 2, WS_E_PROTOCOL, 0}, /* no mask */
        {"\xc1\x85" "abcd", 6, WS_E_PROTOCOL, 0}, /* RSV1 */
        {"\x83\x85" "abcd", 6, WS_E_PROTOCOL, 0}, /* opcode 3 */
        {"\x8b\x85" "abcd", 6, WS_E_PROTOCOL, 0},
        {"\x09\x85" "abcd", 6, WS_E_PROTOCOL, 0}, /* a fragmented ping */
        {"\x89\xfe\x00\x7e" "abcd", 8, WS_E_PROTOCOL, 0}, /* a long ping */
        {"\x89\xfd" "abcd", 6, WS_E_OK, 125},
        {"", 0, WS_E_MORE, 0},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ws_frame_head h;
        char *exact = malloc(rows[i].len + !rows[i].len);

        memcpy(exact, rows[i].bytes, rows[i].len);
        if (ws_parse_head(exact, rows[i].len, true, 65536, &h) != rows[i].r)
            fail_msg("row %zu", i);
        if (rows[i].r == WS_E_OK)
            assert_int_equal(h.len, rows[i].payload);
        for (size_t cut = 0; cut < rows[i].len; cut++) {
            int r = ws_parse_head(exact, cut, true, 65536, &h);

            assert_true(r == WS_E_MORE || (rows[i].r == WS_E_PROTOCOL && r == WS_E_PROTOCOL));
        }
        free(exact);
    }
}

static void written_heads_are_read(void **state)
{
    static const uint64_t lens[] = {0, 1, 125, 126, 65535, 65536, 1 << 20};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        uint8_t head[14];
        struct ws_frame_head h;
        unsigned n = ws_write_head(head, true, 2, lens[i]);

        assert_int_equal(ws_parse_head(head, n, false, UINT64_MAX, &h), WS_E_OK);
        assert_true(h.fin && !h.masked && h.opcode == 2 && h.len == lens[i] && h.head_len == n);
    }
}

static void unmasking_in_any_pieces(void **state)
{
    static const uint8_t mask[4] = {0x12, 0x00, 0xff, 0x80};
    uint8_t plain[200], bytes[200];

    (void) state;
    for (size_t cut = 0; cut <= sizeof(plain); cut++) {
        for (size_t i = 0; i < sizeof(plain); i++) {
            plain[i] = (uint8_t) (i * 7);
            bytes[i] = plain[i] ^ mask[i & 3];
        }
        ws_unmask(bytes, cut, mask, 0);
        ws_unmask(bytes + cut, sizeof(bytes) - cut, mask, cut);
        assert_memory_equal(bytes, plain, sizeof(plain));
    }
}

static void the_handshake_of_the_rfc(void **state)
{
    char out[WS_ACCEPT_LEN + 1];

    (void) state;
    ws_accept_text("dGhlIHNhbXBsZSBub25jZQ==", out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* ---- a server ---- */

struct app {
    struct driver d;
    struct ws *ws;
    struct ws_conf conf;
    const char *mode;
    int open, messages, closes, code, drained;
    bool text;
    struct buf last; /* the messages, each with a '|' behind */
};

static void app_message(void *arg, bool text, const void *p, size_t len)
{
    struct app *a = arg;

    a->messages++;
    a->text = text;
    assert_int_equal(buf_append(&a->last, p, len), 0);
    assert_int_equal(buf_append(&a->last, "|", 1), 0);
    if (str_eq(a->mode, "echo")) {
        if (text)
            ws_send_text(a->ws, p, len);
        else
            ws_send_binary(a->ws, p, len);
    } else if (str_eq(a->mode, "close")) {
        ws_close(a->ws, 4001, "enough");
    } else if (str_eq(a->mode, "cut")) {
        ws_cut(a->ws);
        a->ws = NULL;
    } else if (str_eq(a->mode, "pause")) {
        ws_pause(a->ws, true);
    }
}

static void app_close(void *arg, int code)
{
    struct app *a = arg;

    a->closes++;
    a->code = code;
    a->ws = NULL;
}

static void app_drain(void *arg)
{
    ((struct app *) arg)->drained++;
}

static const struct ws_ops app_ops = {app_message, app_close, app_drain};

static void app_request(void *arg, struct http_req *r)
{
    struct app *a = arg;

    if (ws_accept(r, &a->conf, &app_ops, a, &a->ws) == 0)
        a->open = 1;
}

#define HELLO                                                                                                                     \
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nOrigin: http://evil\r\n"             \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                                              \
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

static void app_start(struct app *a, struct raw *c, const char *mode, const struct ws_conf *conf)
{
    struct answer x;

    *a = (struct app){.mode = mode};
    if (conf)
        a->conf = *conf;
    driver_open(&a->d, NULL, app_request, a);
    raw_open(c, &a->d);
    raw_ask(c, HELLO, 101, &x);
    assert_string_equal(http_headers_get(&x.head.headers, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_null(http_headers_get(&x.head.headers, "sec-websocket-extensions"));
    answer_free(&x);
}

static void app_stop(struct app *a, struct raw *c)
{
    if (a->ws)
        ws_cut(a->ws);
    raw_close(c);
    buf_deinit(&a->last);
    driver_run(&a->d, 10);
    assert_int_equal(http_server_conns(a->d.server), 0);
    driver_close(&a->d);
}

/* A masked frame of the client. */
static size_t frame(uint8_t *out, bool fin, uint8_t opcode, const void *p, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    unsigned n = ws_write_head(out, fin, opcode, len);

    out[1] |= 0x80;
    memcpy(out + n, mask, 4);
    memcpy(out + n + 4, p, len);
    ws_unmask(out + n + 4, len, mask, 0);
    return n + 4 + len;
}

static void send_frame(struct raw *c, bool fin, uint8_t opcode, const void *p, size_t len)
{
    uint8_t *bytes = malloc(len + 14);

    raw_send(c, bytes, frame(bytes, fin, opcode, p, len));
    free(bytes);
}

/* The next frame of the server; the payload is in c->in and taken. */
static void take_frame(struct raw *c, uint8_t opcode, const void *p, size_t len)
{
    struct ws_frame_head h;
    int r = WS_E_MORE;

    for (int i = 0; i < 2000; i++) {
        raw_poll(c);
        r = ws_parse_head(buf_data(&c->in), c->in.len, false, UINT64_MAX, &h);
        if (r != WS_E_MORE && c->in.len >= h.head_len + h.len)
            break;
        assert_int_equal(loop_turn(c->d->loop, 5), 0);
    }
    assert_int_equal(r, WS_E_OK);
    assert_true(h.fin);
    assert_int_equal(h.opcode, opcode);
    assert_int_equal(h.len, len);
    if (len)
        assert_memory_equal(buf_data(&c->in) + h.head_len, p, len);
    buf_consume(&c->in, h.head_len + h.len);
}

static void messages_go_both_ways(void **state)
{
    static char big[300 * 1024];
    struct app a;
    struct raw c;

    (void) state;
    memset(big, 'x', sizeof(big));
    app_start(&a, &c, "echo", NULL);
    send_frame(&c, true, WS_OP_TEXT, "h\xc3\xa9llo", 6);
    take_frame(&c, WS_OP_TEXT, "h\xc3\xa9llo", 6);
    send_frame(&c, true, WS_OP_BINARY, "\xff\0", 2);
    take_frame(&c, WS_OP_BINARY, "\xff\0", 2);
    send_frame(&c, true, WS_OP_TEXT, "", 0);
    take_frame(&c, WS_OP_TEXT, "", 0);
    send_frame(&c, true, WS_OP_TEXT, big, sizeof(big));
    take_frame(&c, WS_OP_TEXT, big, sizeof(big));
    send_frame(&c, true, WS_OP_PING, "p", 1);
    take_frame(&c, WS_OP_PONG, "p", 1);
    app_stop(&a, &c);
}

/* Fragments with control frames in between, empty ones too, cut at every byte. */
static void fragments_at_every_cut(void **state)
{
    uint8_t bytes[512];
    size_t len = 0;

    (void) state;
    len += frame(bytes + len, true, WS_OP_TEXT, "", 0);
    len += frame(bytes + len, true, WS_OP_TEXT, "one", 3);
    len += frame(bytes + len, false, WS_OP_TEXT, "", 0);
    len += frame(bytes + len, false, WS_OP_CONTINUATION, "t\xc3", 2);
    len += frame(bytes + len, true, WS_OP_PING, "in between", 10);
    len += frame(bytes + len, false, WS_OP_CONTINUATION, "\xa9wo", 3);
    len += frame(bytes + len, true, WS_OP_PONG, "", 0);
    len += frame(bytes + len, true, WS_OP_CONTINUATION, "", 0);
    len += frame(bytes + len, false, WS_OP_BINARY, "", 0);
    len += frame(bytes + len, true, WS_OP_CONTINUATION, "three", 5);
    len += frame(bytes + len, true, WS_OP_CLOSE, "\x03\xe8" "bye", 5);
    for (size_t cut = 1; cut <= len; cut++) {
        static const char wanted[] = "|one|t\xc3\xa9wo|three|";
        struct app a;
        struct raw c;

        app_start(&a, &c, "", NULL);
        raw_send(&c, bytes, cut);
        for (int i = 0; i < 3; i++)
            assert_int_equal(loop_turn(a.d.loop, 1), 0);
        raw_send(&c, bytes + cut, len - cut);
        driver_until(&a.d, &a.closes);
        assert_int_equal(a.messages, 4);
        assert_int_equal(a.last.len, sizeof(wanted) - 1);
        assert_memory_equal(buf_data(&a.last), wanted, sizeof(wanted) - 1);
        assert_int_equal(a.code, 1000);
        take_frame(&c, WS_OP_PONG, "in between", 10);
        take_frame(&c, WS_OP_CLOSE, "\x03\xe8", 2);
        raw_wait_end(&c, 1000);
        assert_int_equal(c.error, 0);
        app_stop(&a, &c);
        assert_int_equal(a.closes, 1);
    }
}

static void hz29_rules_are_enforced(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } rows[] = {
        {"\x81\x01" "a", 3, 1002},                                   /* not masked */
        {"\xc1\x81\0\0\0\0a", 7, 1002},                              /* RSV */
        {"\x80\x81\0\0\0\0a", 7, 1002},                              /* a continuation of nothing */
        {"\x01\x81\0\0\0\0a\x81\x81\0\0\0\0b", 14, 1002},            /* a new message inside one */
        {"\x08\x80\0\0\0\0", 6, 1002},                               /* a fragmented close */
        {"\x88\x81\0\0\0\0a", 7, 1002},                              /* half a close code */
        {"\x88\x82\0\0\0\0\x03\xed", 8, 1002},                       /* 1005 on the wire */
        {"\x88\x82\0\0\0\0\x00\x01", 8, 1002},
        {"\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007},
        {"\x81\x82\0\0\0\0\xc3\x28", 8, 1007},
        {"\x81\x81\0\0\0\0\xc3", 7, 1007},                           /* an unfinished character */
        {"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0", 14, 1009},            /* longer than the limit */
        {"\x01\xfe\x0b\xb8\0\0\0\0", 8, 0},                         /* 3000 bytes and a second fragment that is too much */
    };
    const struct ws_conf conf = {.message_bytes_max = 4096};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static char fill[3000], expect[2];
        struct app a;
        struct raw c;
        bool fills = !rows[i].code;
        int code = fills ? 1009 : rows[i].code;

        app_start(&a, &c, "", &conf);
        raw_send(&c, rows[i].bytes, rows[i].len);
        if (fills) {
            memset(fill, 0, sizeof(fill));
            raw_send(&c, fill, sizeof(fill));
            send_frame(&c, true, WS_OP_CONTINUATION, fill, sizeof(fill));
        }
        driver_until(&a.d, &a.closes);
        if (a.code != code)
            fail_msg("row %zu: %d", i, a.code);
        assert_int_equal(a.messages, 0);
        /* The close frame is seen, whatever the client goes on sending. */
        raw_send(&c, fill, sizeof(fill));
        expect[0] = (char) (code >> 8);
        expect[1] = (char) code;
        for (int k = 0; k < 200 && c.in.len < 4; k++)
            driver_run(&a.d, 5), raw_poll(&c);
        assert_memory_equal(buf_data(&c.in) + 2, expect, 2);
        raw_close(&c);
        app_stop(&a, &c);
        assert_int_equal(a.closes, 1);
    }
}

static void closes_by_us(void **state)
{
    struct app a;
    struct raw c;

    (void) state;
    app_start(&a, &c, "close", NULL);
    send_frame(&c, true, WS_OP_TEXT, "a", 1);
    take_frame(&c, WS_OP_CLOSE, "\x0f\xa1" "enough", 8);
    assert_int_equal(a.closes, 0);
    assert_int_equal(ws_send_text(a.ws, "late", 4), 0);
    send_frame(&c, true, WS_OP_TEXT, "crossed", 7); /* dropped */
    send_frame(&c, true, WS_OP_CLOSE, "\x0f\xa1", 2);
    driver_until(&a.d, &a.closes);
    assert_int_equal(a.code, 4001);
    assert_int_equal(a.messages, 1);
    raw_wait_end(&c, 1000);
    app_stop(&a, &c);
    /* Nobody answers: 5 s. */
    app_start(&a, &c, "close", NULL);
    send_frame(&c, true, WS_OP_TEXT, "a", 1);
    driver_until(&a.d, &a.closes);
    assert_int_equal(a.code, 1006);
    app_stop(&a, &c);
    /* Cut. */
    app_start(&a, &c, "cut", NULL);
    send_frame(&c, true, WS_OP_TEXT, "a", 1);
    raw_wait_end(&c, 1000);
    assert_int_equal(a.closes, 0);
    app_stop(&a, &c);
}

static void hz05_messages_before_a_reset_are_delivered(void **state)
{
    (void) state;
    for (int reset = 0; reset < 2; reset++) {
        struct app a;
        struct raw c;

        app_start(&a, &c, "", NULL);
        for (int i = 0; i < 100; i++)
            send_frame(&c, true, WS_OP_TEXT, "m", 1);
        if (reset) {
            driver_run(&a.d, 20);
            raw_reset(&c);
        } else {
            raw_close(&c);
        }
        driver_until(&a.d, &a.closes);
        assert_int_equal(a.messages, 100);
        assert_int_equal(a.code, 1006);
        app_stop(&a, &c);
    }
}

static void pause_stops_delivery(void **state)
{
    struct app a;
    struct raw c;
    uint8_t bytes[64];
    size_t len = 0;

    (void) state;
    app_start(&a, &c, "pause", NULL);
    for (int i = 0; i < 3; i++)
        len += frame(bytes + len, true, WS_OP_TEXT, "m", 1);
    raw_send(&c, bytes, len);
    for (int i = 1; i <= 3; i++) {
        driver_run(&a.d, 20);
        assert_int_equal(a.messages, i);
        ws_pause(a.ws, false);
    }
    /* Gone while paused: told, with what had been read. */
    app_stop(&a, &c);
    const struct ws_conf conf = {.ping_ms = 50};

    app_start(&a, &c, "pause", &conf);
    raw_send(&c, bytes, len);
    driver_run(&a.d, 20);
    raw_close(&c);
    a.mode = "";
    driver_until(&a.d, &a.closes);
    assert_int_equal(a.messages, 3);
    assert_int_equal(a.code, 1006);
    app_stop(&a, &c);
}

static void silence_is_asked_and_ends(void **state)
{
    const struct ws_conf conf = {.ping_ms = 50};
    struct app a;
    struct raw c;

    (void) state;
    app_start(&a, &c, "", &conf);
    for (int i = 0; i < 5; i++) { /* answered pings keep it */
        take_frame(&c, WS_OP_PING, "", 0);
        send_frame(&c, true, WS_OP_PONG, "", 0);
    }
    assert_int_equal(a.closes, 0);
    for (int i = 0; i < 3; i++)
        take_frame(&c, WS_OP_PING, "", 0);
    driver_until(&a.d, &a.closes);
    assert_int_equal(a.code, 1006);
    app_stop(&a, &c);
}

static void a_slow_reader_is_felt_and_told(void **state)
{
    static char block[32 * 1024];
    struct app a;
    struct raw c;
    size_t sent = 0;

    (void) state;
    app_start(&a, &c, "", NULL);
    while (ws_send_binary(a.ws, block, sizeof(block)) < 256 * KIB) {
        sent++;
        assert_true(sent < 10000);
    }
    sent++;
    driver_run(&a.d, 20);
    assert_int_equal(a.drained, 0);
    for (size_t i = 0; i < sent; i++)
        take_frame(&c, WS_OP_BINARY, block, sizeof(block));
    assert_int_equal(a.drained, 1);
    assert_int_equal(ws_queued(a.ws), 0);
    app_stop(&a, &c);
}

static void parts_make_one_message(void **state)
{
    const struct iovec iov[] = {{(char *) "a", 1}, {(char *) "", 0}, {(char *) "bc", 2}};
    struct app a;
    struct raw c;

    (void) state;
    app_start(&a, &c, "", NULL);
    ws_send_textv(a.ws, iov, 3);
    take_frame(&c, WS_OP_TEXT, "abc", 3);
    ws_close(a.ws, 1000, NULL);
    take_frame(&c, WS_OP_CLOSE, "\x03\xe8", 2);
    app_stop(&a, &c);
}

static void handshakes_that_are_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: short\r\n\r\n", 400},
    };
    struct app a = {.mode = ""};
    struct raw c;

    (void) state;
    driver_open(&a.d, NULL, app_request, &a);
    raw_open(&c, &a.d);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer x;

        raw_ask(&c, rows[i].text, rows[i].status, &x);
        answer_free(&x);
    }
    assert_int_equal(a.open, 0);
    app_stop(&a, &c);
}

/* Frames that came along with the handshake. */
static void early_frames_are_kept(void **state)
{
    static const char hello[] = HELLO;
    struct app a = {.mode = "echo"};
    uint8_t bytes[1024];
    struct answer x;
    struct raw c;
    size_t len = sizeof(hello) - 1;

    (void) state;
    driver_open(&a.d, NULL, app_request, &a);
    raw_open(&c, &a.d);
    memcpy(bytes, hello, len);
    len += frame(bytes + len, true, WS_OP_TEXT, "early", 5);
    raw_send(&c, bytes, len);
    raw_answer(&c, false, &x);
    assert_int_equal(x.head.status, 101);
    answer_free(&x);
    take_frame(&c, WS_OP_TEXT, "early", 5);
    http_server_free(a.d.server); /* the socket lives on, the server's memory too */
    send_frame(&c, true, WS_OP_TEXT, "still", 5);
    take_frame(&c, WS_OP_TEXT, "still", 5);
    ws_cut(a.ws);
    raw_close(&c);
    buf_deinit(&a.last);
    loop_free(a.d.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads), cmocka_unit_test(written_heads_are_read), cmocka_unit_test(unmasking_in_any_pieces),
        cmocka_unit_test(the_handshake_of_the_rfc), cmocka_unit_test(messages_go_both_ways), cmocka_unit_test(fragments_at_every_cut),
        cmocka_unit_test(hz29_rules_are_enforced), cmocka_unit_test(closes_by_us),
        cmocka_unit_test(hz05_messages_before_a_reset_are_delivered), cmocka_unit_test(pause_stops_delivery),
        cmocka_unit_test(silence_is_asked_and_ends), cmocka_unit_test(a_slow_reader_is_felt_and_told),
        cmocka_unit_test(parts_make_one_message), cmocka_unit_test(handshakes_that_are_refused), cmocka_unit_test(early_frames_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
