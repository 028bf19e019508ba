/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "dataplane/gateway/stream/client_frame.h"

static int setup(void **state)
{
    *state = arena_new(64 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static int decode(void **state, const char *text, struct client_frame *f, struct err *e)
{
    return client_frame_decode(text, strlen(text), *state, f, e);
}

static void refuse(void **state, const char *text, const char *field)
{
    struct client_frame f;
    struct err e = ERR_INIT;

    assert_int_equal(decode(state, text, &f, &e), -22);
    if (!str_starts(e.text, field))
        fail_msg("'%s' for %s", e.text, text);
}

static void test_start(void **state)
{
    struct client_frame f;

    assert_int_equal(decode(state,
                            "{\"type\":\"start\",\"id\":\"my.id:1\",\"tag\":\"t\",\"cmd\":\"sh\",\"args\":[\"-c\",\"x\"],\"cwd\":\"/w\","
                            "\"user\":\"root\",\"envs\":{\"A\":\"1\",\"N\":2,\"X\":null},\"stdin\":true,\"timeout_ms\":5,"
                            "\"pty\":{\"cols\":100,\"rows\":30},\"later\":[]}",
                            &f, NULL),
                     0);
    assert_int_equal(f.type, CLIENT_START);
    assert_string_equal(f.start.id, "my.id:1");
    assert_string_equal(f.start.cmd, "sh");
    assert_int_equal(f.start.args.count, 2);
    assert_string_equal(f.start.user, "root");
    assert_int_equal(f.start.env.count, 2);
    assert_string_equal(f.start.env.items[1].value, "2");
    assert_int_equal(f.start.timeout_ms, 5);
    assert_true(f.start.has_pty && f.start.stdin_open);
    assert_int_equal(f.start.pty.cols, 100);
}

static void test_nulls_are_as_absent(void **state)
{
    struct client_frame f;

    assert_int_equal(decode(state,
                            "{\"type\":\"start\",\"id\":null,\"tag\":null,\"cmd\":\"ls\",\"args\":null,\"cwd\":null,\"user\":null,\"env\":null,"
                            "\"stdin\":null,\"timeout_ms\":null,\"pty\":null}",
                            &f, NULL),
                     0);
    assert_null(f.start.id);
    assert_null(f.start.cwd);
    assert_int_equal(f.start.args.count, 0);
    assert_false(f.start.stdin_open);
    assert_false(f.start.has_pty);
    assert_int_equal(f.start.timeout_ms, 0);
    assert_int_equal(decode(state, "{\"type\":\"start\",\"cmd\":\"ls\",\"pty\":{\"cols\":null}}", &f, NULL), 0);
    assert_int_equal(f.start.pty.cols, 80);
    assert_int_equal(f.start.pty.rows, 24);
    assert_true(f.start.stdin_open);
}

static void test_others(void **state)
{
    struct client_frame f;

    assert_int_equal(decode(state, "{\"type\":\"close_stdin\"}", &f, NULL), 0);
    assert_int_equal(f.type, CLIENT_CLOSE_STDIN);
    assert_int_equal(decode(state, "{\"type\":\"ping\",\"x\":1}", &f, NULL), 0);
    assert_int_equal(f.type, CLIENT_PING);
    assert_int_equal(decode(state, "{\"type\":\"resize\",\"cols\":120,\"rows\":40}", &f, NULL), 0);
    assert_int_equal(f.cols, 120);
    assert_int_equal(decode(state, "{\"type\":\"signal\",\"signal\":\"SIGTERM\"}", &f, NULL), 0);
    assert_int_equal(f.signal, 15);
    assert_int_equal(decode(state, "{\"type\":\"signal\",\"signal\":9}", &f, NULL), 0);
    assert_int_equal(f.signal, 9);
}

static void test_refused(void **state)
{
    refuse(state, "", "message");
    refuse(state, "[]", "message");
    refuse(state, "{}", "type");
    refuse(state, "{\"type\":\"\"}", "type");
    refuse(state, "{\"type\":7}", "type");
    refuse(state, "{\"type\":\"run\"}", "type");
    refuse(state, "{'type':'ping'}", "message");
    refuse(state, "{\"type\":\"ping\"} x", "message");
    refuse(state, "{\"type\":\"start\"}", "cmd");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"\"}", "cmd");
    refuse(state, "{\"type\":\"start\",\"cmd\":7}", "cmd");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"id\":\"a b\"}", "id");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"id\":\"\"}", "id");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"args\":\"y\"}", "args");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"args\":[1]}", "args");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"env\":[]}", "env");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"timeout_ms\":-1}", "timeout_ms");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\",\"pty\":{\"cols\":0}}", "pty");
    refuse(state, "{\"type\":\"start\",\"cmd\":\"x\\u0000y\"}", "cmd");
    refuse(state, "{\"type\":\"stdin\"}", "data");
    refuse(state, "{\"type\":\"stdin\",\"data\":\"a\"}", "data");
    refuse(state, "{\"type\":\"stdin\",\"data\":\"$$$$\"}", "data");
    refuse(state, "{\"type\":\"stdin\",\"data\":null}", "data");
    refuse(state, "{\"type\":\"signal\"}", "signal");
    refuse(state, "{\"type\":\"signal\",\"signal\":\"SIGNOPE\"}", "signal");
    refuse(state, "{\"type\":\"signal\",\"signal\":0}", "signal");
    refuse(state, "{\"type\":\"signal\",\"signal\":65}", "signal");
    refuse(state, "{\"type\":\"resize\",\"cols\":1}", "rows");
    refuse(state, "{\"type\":\"resize\",\"cols\":1001,\"rows\":1}", "cols");
}

static void test_stdin_the_short_way_and_the_long_way(void **state)
{
    static const char *const same[] = {
        "{\"type\":\"stdin\",\"data\":\"aGkK\"}",
        "{\"data\":\"aGkK\",\"type\":\"stdin\"}",
        " {\t\"type\" : \"stdin\" ,\r\n \"data\" : \"aGkK\" } ",
        "{\"type\":\"stdin\",\"data\":\"aGkK\",\"more\":null}",
        "{\"type\":\"std\\u0069n\",\"data\":\"aGkK\"}",
    };
    struct client_frame f;

    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        assert_int_equal(decode(state, same[i], &f, NULL), 0);
        assert_int_equal(f.type, CLIENT_STDIN);
        assert_int_equal(f.data.len, 3);
        assert_memory_equal(f.data.data, "hi\n", 3);
    }
    refuse(state, "{\"type\":\"stdin\",\"data\":\"aGkK\"", "message");
    refuse(state, "{\"type\":\"stdin\",\"data\":\"aGkK\"}}", "message");
    refuse(state, "{\"type\":\"stdin\",\"type\":\"stdin\"}", "message");
    refuse(state, "{\"type\":\"stdin\",\"data\":\"aGkK\" \"x\":1}", "message");
}

static void test_large_stdin(void **state)
{
    size_t raw = 12 * 1024 * 1024 - 64, b64 = base64_encoded_len(raw);
    char *text = xmalloc(b64 + 64), *p = text;
    uint8_t *bytes = xcalloc(1, raw);
    struct client_frame f;

    p += sprintf(p, "{\"type\":\"stdin\",\"data\":\"");
    base64_encode(bytes, raw, p);
    memcpy(p + b64, "\"}", 3);
    assert_int_equal(decode(state, text, &f, NULL), 0);
    assert_int_equal(f.data.len, raw);
    free(bytes);
    free(text);
}

static void test_ids(void **state)
{
    char id[130];

    (void) state;
    memset(id, 'a', sizeof(id));
    id[129] = '\0';
    assert_false(process_id_valid(id));
    id[128] = '\0';
    assert_true(process_id_valid(id));
    assert_true(process_id_valid("A.z_0:-"));
    assert_false(process_id_valid(""));
    assert_false(process_id_valid("a/b"));
    assert_false(process_id_valid("a\"b"));
    assert_false(process_id_valid("\xC3\xA4"));
}

static void test_signals(void **state)
{
    int64_t n;

    (void) state;
    assert_int_equal(signal_parse("TERM", &n), 0);
    assert_int_equal(n, 15);
    assert_int_equal(signal_parse("sigkill", &n), 0);
    assert_int_equal(n, 9);
    assert_int_equal(signal_parse("SIGWINCH", &n), 0);
    assert_int_equal(n, 28);
    assert_int_equal(signal_parse("15", &n), 0);
    assert_true(signal_parse("SIG", &n) < 0);
    assert_true(signal_parse("", &n) < 0);
    assert_true(signal_parse("SIG15", &n) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nulls_are_as_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stdin_the_short_way_and_the_long_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_stdin, setup, teardown),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
