/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/json/json.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/render.h"

#define STARTED "{\"os_pid\":77,\"started_at_us\":1700000000000000,\"cmd\":\"sh\",\"args\":[\"-c\",\"x\"],\"cwd\":\"/w\",\"user\":\"user\",\"pty\":false,\"stdin\":true}"
#define EXIT(code, error) "{\"exit_code\":" code ",\"error\":" error ",\"finished_at_us\":1700000001000000}"

static int set_exit(struct meta *m, const char *json)
{
    return meta_set_exit(m, json, strlen(json));
}

static void expect_status(const char *json, const char *status)
{
    struct meta m = {0};

    assert_int_equal(set_exit(&m, json), 0);
    assert_string_equal(meta_status(&m), status);
}

static void test_status(void **state)
{
    struct meta m = {0};

    (void) state;
    assert_string_equal(meta_status(&m), "running");
    expect_status(EXIT("0", "null"), "succeeded");
    expect_status(EXIT("3", "null"), "failed");
    expect_status(EXIT("-9", "\"killed\""), "killed");
    expect_status(EXIT("-15", "null"), "killed");
    expect_status(EXIT("-9", "\"timeout\""), "timed_out");
}

static void test_hz03_a_lost_process_has_no_exit_code(void **state)
{
    struct buf b = BUF_INIT(0);
    struct meta m = {.lost = true};
    struct json_writer w;

    (void) state;
    assert_true(meta_finished(&m));
    assert_string_equal(meta_status(&m), "failed");
    json_writer_init(&w, &b);
    meta_write_process(&m, "p1", &w);
    assert_int_equal(json_writer_end(&w), 0);
    assert_non_null(strstr(buf_cstr(&b), "\"exit_code\":null"));
    assert_non_null(strstr(buf_cstr(&b), "\"error\":\"process_lost\""));
    buf_deinit(&b);
}

static void test_what_an_agent_may_not_say(void **state)
{
    static const char *const exits[] = {
        "", "{}", "[]", "{\"exit_code\":\"0\"}", EXIT("256", "null"), EXIT("-65", "null"), EXIT("0", "\"fine\""),
        "{\"exit_code\":0,\"error\":null,\"finished_at_us\":-1}", "{\"exit_code\":0,\"error\":null,\"finished_at_us\":9223372036854775807}",
    };
    static const char *const starts[] = {"", "{}", "null", "{\"os_pid\":-1,\"started_at_us\":1,\"cmd\":\"x\"}",
                                         "{\"os_pid\":1,\"started_at_us\":9223372036854775807,\"cmd\":\"x\"}"};
    struct meta m = {0};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(exits); i++)
        assert_true(set_exit(&m, exits[i]) < 0);
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        assert_true(meta_set_started(&m, starts[i], strlen(starts[i])) < 0);
    assert_false(m.exited);
    assert_null(m.started);
}

static void test_exit_survives_the_store(void **state)
{
    static const char *const bad[] = {"", "0", "0 -", "0  1", "x - 1", "0 fine 1", "0 - x", "300 - 1"};
    struct meta a = {0}, b = {0};
    char text[96];

    (void) state;
    assert_int_equal(set_exit(&a, EXIT("-9", "\"timeout\"")), 0);
    meta_exit_text(&a, text, sizeof(text));
    assert_string_equal(text, "-9 timeout 1700000001000000");
    assert_int_equal(meta_read_exit(&b, text, strlen(text)), 0);
    assert_int_equal(b.exit_code, -9);
    assert_int_equal(b.exit_error, META_EXIT_TIMEOUT);
    assert_int_equal(b.finished_at_us, a.finished_at_us);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(meta_read_exit(&b, bad[i], strlen(bad[i])) < 0);
}

static const char *text_of(struct buf *b)
{
    const char *s = buf_cstr(b);

    assert_non_null(s);
    return s;
}

static void test_messages(void **state)
{
    struct buf b = BUF_INIT(0);
    struct meta m = {0};

    (void) state;
    assert_int_equal(meta_set_started(&m, STARTED, strlen(STARTED)), 0);
    assert_int_equal(render_started(&b, "p1", &m, false), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"started\",\"pid\":\"p1\",\"os_pid\":77,\"cursor\":1}");
    buf_clear(&b);
    assert_int_equal(render_started(&b, "p1", &m, true), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"started\",\"pid\":\"p1\",\"os_pid\":77,\"cursor\":1,\"truncated\":true}");
    buf_clear(&b);
    assert_int_equal(render_output(&b, "p1", LINK_STDERR, 9007199254740991, "hi\n", 3), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"stderr\",\"pid\":\"p1\",\"data\":\"aGkK\",\"cursor\":9007199254740991}");
    buf_clear(&b);
    assert_int_equal(render_output(&b, "p1", LINK_PTY, 3, "", 0), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"pty\",\"pid\":\"p1\",\"data\":\"\",\"cursor\":3}");
    buf_clear(&b);
    assert_int_equal(set_exit(&m, EXIT("-9", "\"killed\"")), 0);
    assert_int_equal(render_exit(&b, "p1", 5, &m), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"exit\",\"pid\":\"p1\",\"exit_code\":-9,\"error\":\"killed\",\"cursor\":5}");
    buf_clear(&b);
    assert_int_equal(set_exit(&m, EXIT("0", "null")), 0);
    assert_int_equal(render_exit(&b, "p1", 5, &m), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"exit\",\"pid\":\"p1\",\"exit_code\":0,\"error\":null,\"cursor\":5}");
    buf_clear(&b);
    assert_int_equal(render_error(&b, NULL, "x", "say \"no\""), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"error\",\"code\":\"x\",\"message\":\"say \\\"no\\\"\"}");
    buf_clear(&b);
    assert_int_equal(render_ack(&b, "stdin_ack", "p1"), 0);
    assert_string_equal(text_of(&b), "{\"type\":\"stdin_ack\",\"pid\":\"p1\"}");
    buf_deinit(&b);
    meta_deinit(&m);
}

static void test_kinds(void **state)
{
    enum link_kind k;

    (void) state;
    for (int i = LINK_STARTED; i <= LINK_EXIT; i++) {
        assert_int_equal(render_kind_from_letter(render_kind_letter((enum link_kind) i), &k), 0);
        assert_int_equal(k, i);
        assert_string_not_equal(render_kind_text((enum link_kind) i), "?");
    }
    assert_true(render_kind_from_letter('?', &k) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_hz03_a_lost_process_has_no_exit_code),
        cmocka_unit_test(test_what_an_agent_may_not_say),
        cmocka_unit_test(test_exit_survives_the_store),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
