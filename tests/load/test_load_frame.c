/* SPDX-License-Identifier: Apache-2.0 */
/* test_load_frame - the judge of process streams must itself be right: every fault it looks for is shown to it once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/base/attr.h"
#include "tests/load/frame.h"

static void feed(struct frame_checker *c, const char *text)
{
    struct frame f;

    assert_null(frame_parse(&f, text, strlen(text)));
    frame_check(c, &f);
}

static const char started[] = "{\"type\":\"started\",\"pid\":\"p\",\"os_pid\":7,\"cursor\":1}";

static void a_good_stream_passes(void **state)
{
    struct frame_checker c = {.check_lines = true};

    (void) state;
    feed(&c, started);
    feed(&c, "{ \"type\" : \"stdout\" , \"pid\":\"p\", \"data\":\"MAox\", \"cursor\":3 }"); /* "0\n1" */
    feed(&c, "{\"type\":\"stdin_ack\"}");
    feed(&c, "{\"type\":\"stdout\",\"pid\":\"p\",\"data\":\"CjIK\",\"cursor\":5}"); /* "\n2\n" */
    feed(&c, "{\"type\":\"stderr\",\"pid\":\"p\",\"data\":\"eA==\",\"cursor\":7}");
    feed(&c, "{\"type\":\"exit\",\"pid\":\"p\",\"exit_code\":-9,\"error\":\"killed\",\"cursor\":9}");
    assert_string_equal(c.trouble, "");
    assert_int_equal(c.frames, 5);
    assert_int_equal(c.bytes, 7);
    assert_int_equal(c.next_line, 3);
    assert_true(c.ended);
    assert_int_equal(c.exit_code, -9);
    assert_string_equal(c.exit_error, "killed");
}

static void nested_members_and_escapes_are_passed_over(void **state)
{
    struct frame_checker c = {0};

    (void) state;
    feed(&c, "{\"type\":\"started\",\"args\":[\"a\\\"}\",{\"x\":[1,2]}],\"cmd\":\"\\\\\",\"cursor\":1}");
    assert_true(c.started);
    assert_string_equal(c.trouble, "");
}

static void faults_in_the_stream_are_seen(void **state)
{
    static const struct {
        const char *frames[3];
        const char *words;
    } cases[] = {
        {{started, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":2}"}, "even"},
        {{started, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":5}"}, "5 after 1"},
        {{started, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":3}", "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":3}"}, "3 after 3"},
        {{started, "{\"type\":\"stdout\",\"data\":\"eA==\"}"}, "without cursor"},
        {{started, "{\"type\":\"stdout\",\"cursor\":3}"}, "without data"},
        {{started, "{\"type\":\"stdout\",\"data\":\"\",\"cursor\":3}"}, "empty"},
        {{started, "{\"type\":\"stdout\",\"data\":\"eA=\",\"cursor\":3}"}, "base64"},
        {{started, "{\"type\":\"stdout\",\"data\":\"e*==\",\"cursor\":3}"}, "base64"},
        {{started, "{\"type\":\"exit\",\"cursor\":3}"}, "without exit_code"},
        {{started, "{\"type\":\"exit\",\"exit_code\":0,\"cursor\":3}", "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":5}"}, "after exit"},
        {{started, started}, "again"},
        {{"{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":1}"}, "before started"},
        {{"{\"type\":\"started\",\"cursor\":3}"}, "started with cursor 3"},
        {{"{\"type\":\"error\",\"code\":\"command_not_found\",\"message\":\"no\"}"}, "command_not_found"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frame_checker c = {0};

        for (size_t j = 0; j < 3 && cases[i].frames[j]; j++)
            feed(&c, cases[i].frames[j]);
        if (!strstr(c.trouble, cases[i].words))
            fail_msg("case %zu: '%s' is not in '%s'", i, cases[i].words, c.trouble);
    }
}

static void a_resumed_stream_begins_right_after_since(void **state)
{
    (void) state;
    for (uint64_t since = 3; since <= 4; since++) { /* the last cursor and the last plus one mean the same */
        struct frame_checker good = {.since = since}, gap = {.since = since}, repeat = {.since = since};

        feed(&good, started);
        feed(&good, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":5}");
        assert_string_equal(good.trouble, "");
        feed(&gap, started);
        feed(&gap, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":7}");
        assert_non_null(strstr(gap.trouble, "gap"));
        feed(&repeat, started);
        feed(&repeat, "{\"type\":\"stdout\",\"data\":\"eA==\",\"cursor\":3}");
        assert_non_null(strstr(repeat.trouble, "not above"));
    }
}

static void lost_and_repeated_lines_are_seen(void **state)
{
    struct frame_checker c = {.check_lines = true};

    (void) state;
    feed(&c, started);
    feed(&c, "{\"type\":\"stdout\",\"data\":\"MAoyCg==\",\"cursor\":3}"); /* 0, 2 */
    assert_non_null(strstr(c.trouble, "line '2' where '1'"));
}

static void what_is_no_frame_is_told(void **state)
{
    static const char *const texts[] = {
        "", "[]", "{", "{}", "{\"type\":\"x\"", "{\"type\":\"x\"}y", "{\"type\":1}", "{\"cursor\":1}", "{\"type\":\"x\",\"cursor\":\"1\"}",
        "{\"type\":\"x\",\"cursor\":1.5}", "{\"type\":\"x\",\"data\":null}", "{\"type\":\"x\\\"}", "{\"type\"}", "{\"a\":[}", "null",
    };
    struct frame f;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!frame_parse(&f, texts[i], strlen(texts[i])))
            fail_msg("taken: %s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_stream_passes),
        cmocka_unit_test(nested_members_and_escapes_are_passed_over),
        cmocka_unit_test(faults_in_the_stream_are_seen),
        cmocka_unit_test(a_resumed_stream_begins_right_after_since),
        cmocka_unit_test(lost_and_repeated_lines_are_seen),
        cmocka_unit_test(what_is_no_frame_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
