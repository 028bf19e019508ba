/* SPDX-License-Identifier: Apache-2.0 */
/* test_rfc3339 - both ways, against the C library, and the clock that tests may set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "common/base/clock.h"

static void test_write(void **state)
{
    char text[CLOCK_RFC3339_SIZE];

    (void) state;
    clock_rfc3339(0, 0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    clock_rfc3339(1767323045123456, 0, text);
    assert_string_equal(text, "2026-01-02T03:04:05Z");
    clock_rfc3339(1767323045123456, 3, text);
    assert_string_equal(text, "2026-01-02T03:04:05.123Z");
    clock_rfc3339(1767323045123456, 6, text);
    assert_string_equal(text, "2026-01-02T03:04:05.123456Z");
    clock_rfc3339(-1, 6, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    clock_rfc3339(INT64_MAX, 0, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    clock_rfc3339(INT64_MIN, 0, text);
    assert_string_equal(text, "0000-01-01T00:00:00Z");
}

static void test_against_libc(void **state)
{
    (void) state;
    for (int64_t t = -62167219200; t < 253402300799; t += 86400 * 17 + 4711) {
        time_t seconds = (time_t) t;
        char want[CLOCK_RFC3339_SIZE], text[CLOCK_RFC3339_SIZE];
        struct tm tm;
        int64_t back;

        gmtime_r(&seconds, &tm);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        clock_rfc3339(t * 1000000, 0, text);
        assert_string_equal(text, want);
        assert_int_equal(clock_parse_rfc3339(text, &back), 0);
        assert_true(back == t * 1000000);
    }
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"2026-01-02T03:04:05Z", 1767323045000000},
        {"2026-01-02t03:04:05z", 1767323045000000},
        {"2026-01-02 03:04:05Z", 1767323045000000},
        {"2026-01-02T03:04:05.5Z", 1767323045500000},
        {"2026-01-02T03:04:05.123456789Z", 1767323045123456},
        {"2026-01-02T05:34:05+02:30", 1767323045000000},
        {"2026-01-01T22:04:05-05:00", 1767323045000000},
        {"2016-12-31T23:59:60Z", 1483228800000000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"1969-12-31T23:59:59.999999Z", -1},
    };
    int64_t us;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(clock_parse_rfc3339(good[i].text, &us), 0);
        assert_true(us == good[i].us);
    }
}

static void test_parse_refused(void **state)
{
    static const char *const bad[] = {
        "", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z", "2026-1-02T03:04:05Z",
        "2026-13-02T03:04:05Z", "2026-00-02T03:04:05Z", "2026-02-29T03:04:05Z", "2026-04-31T03:04:05Z",
        "1900-02-29T00:00:00Z", "2026-01-00T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05+2:30", "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+02:60", "2026-01-02T03:04:05Z ", " 2026-01-02T03:04:05Z", "2026-01-02T03:04:05ZZ",
        "+026-01-02T03:04:05Z", "2026-01-02T03:04:05+0230", NULL,
    };
    int64_t us = 5;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(clock_parse_rfc3339(bad[i], &us), -EINVAL);
    assert_true(us == 5);
}

static void test_fake_clock(void **state)
{
    uint64_t mono = 5000000, real = 1767323045123456789u;

    (void) state;
    assert_true(clock_real_ns() > 1600000000000000000u);
    uint64_t before = clock_mono_ns();

    assert_true(clock_mono_ns() >= before);
    clock_fake(&mono, &real);
    assert_true(clock_mono_ns() == 5000000);
    assert_true(clock_mono_ms() == 5);
    assert_true(clock_real_ms() == 1767323045123);
    mono += 1000000;
    assert_true(clock_mono_ms() == 6);
    clock_fake(NULL, NULL);
    assert_true(clock_mono_ns() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),         cmocka_unit_test(test_against_libc), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refused), cmocka_unit_test(test_fake_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
