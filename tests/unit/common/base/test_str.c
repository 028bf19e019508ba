/* SPDX-License-Identifier: Apache-2.0 */
/* test_str - comparison, numbers to their limits, hex. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/str.h"

static void test_compare(void **state)
{
    (void) state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_eq("a", "a"));
    assert_true(str_eq_nocase("Content-LENGTH", "content-length"));
    assert_false(str_eq_nocase("a", "ab"));
    assert_false(str_eq_nocase("[", "{")); /* differ in the same bit as letters do */
    assert_true(str_starts("abc", "ab"));
    assert_false(str_starts("a", "ab"));
    assert_false(str_starts(NULL, "a"));
    assert_true(str_ends("abc", "bc"));
    assert_false(str_ends("c", "bc"));
    assert_true(str_empty(NULL) && str_empty("") && !str_empty("x"));
}

static void test_copy(void **state)
{
    char dst[4] = "zzz";

    (void) state;
    assert_true(str_copy(dst, sizeof(dst), "abc"));
    assert_string_equal(dst, "abc");
    assert_false(str_copy(dst, sizeof(dst), "abcd"));
    assert_string_equal(dst, "");
    assert_false(str_copy(dst, 0, "a"));
}

static void test_u64(void **state)
{
    uint64_t v = 99;

    (void) state;
    assert_int_equal(str_to_u64("18446744073709551615", &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551616", &v), -ERANGE);
    assert_int_equal(str_to_u64("99999999999999999999999", &v), -ERANGE);
    assert_int_equal(str_to_u64("9999999999999999999999x", &v), -EINVAL);
    assert_int_equal(str_to_u64("007", &v), 0);
    assert_int_equal(v, 7);
    const char *bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", NULL};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_to_u64(bad[i], &v), -EINVAL);
    assert_int_equal(v, 7);
    assert_int_equal(str_to_u64_n("fFz", 2, 16, &v), 0);
    assert_int_equal(v, 255);
    assert_int_equal(str_to_u64_n("0777", 4, 8, &v), 0);
    assert_int_equal(v, 511);
    assert_int_equal(str_to_u64_n("8", 1, 8, &v), -EINVAL);
    assert_int_equal(str_to_u64_n("1", 1, 37, &v), -EINVAL);
}

static void test_i64(void **state)
{
    int64_t v = 99;

    (void) state;
    assert_int_equal(str_to_i64("-9223372036854775808", &v), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(str_to_i64("9223372036854775807", &v), 0);
    assert_true(v == INT64_MAX);
    assert_int_equal(str_to_i64("9223372036854775808", &v), -ERANGE);
    assert_int_equal(str_to_i64("-9223372036854775809", &v), -ERANGE);
    assert_int_equal(str_to_i64("--1", &v), -EINVAL);
    assert_int_equal(str_to_i64("-", &v), -EINVAL);
    assert_int_equal(str_to_i64(NULL, &v), -EINVAL);
    assert_int_equal(str_to_i64("-0", &v), 0);
    assert_int_equal(v, 0);
}

static void test_hex(void **state)
{
    unsigned char bytes[4];
    char text[9];

    (void) state;
    hex_encode("\x00\xffZ\x10", 4, text);
    assert_string_equal(text, "00ff5a10");
    assert_int_equal(hex_decode("00FF5a10", 8, bytes), 4);
    assert_memory_equal(bytes, "\x00\xffZ\x10", 4);
    assert_int_equal(hex_decode("0", 1, bytes), -EINVAL);
    assert_int_equal(hex_decode("0g", 2, bytes), -EINVAL);
    assert_int_equal(hex_decode("", 0, bytes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_copy), cmocka_unit_test(test_u64),
        cmocka_unit_test(test_i64),     cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
