/* SPDX-License-Identifier: Apache-2.0 */
/* test_percent - escapes, forms, NULs and what is unfinished. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/str.h"

static ssize_t decode(const char *s, bool form, char *out)
{
    return percent_decode(s, strlen(s), form, out);
}

static void test_decode(void **state)
{
    char out[64];

    (void) state;
    assert_int_equal(decode("a%20b%2Fc%2f", false, out), 6);
    assert_string_equal(out, "a b/c/");
    assert_int_equal(decode("a+b", true, out), 3);
    assert_string_equal(out, "a b");
    assert_int_equal(decode("a+b", false, out), 3);
    assert_string_equal(out, "a+b");
    assert_int_equal(decode("%2B", true, out), 1);
    assert_string_equal(out, "+");
    assert_int_equal(decode("", false, out), 0);
    assert_int_equal(decode("%e2%82%AC", false, out), 3);
    assert_string_equal(out, "\xe2\x82\xac");
    assert_int_equal(decode("%25%32%30", false, out), 3); /* once, not twice */
    assert_string_equal(out, "%20");
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"%", "%2", "a%", "a%2", "%zz", "%2g", "%g2", "%00", "% 2", "%-1"};
    char out[64];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(decode(bad[i], false, out), -EINVAL);
    assert_int_equal(percent_decode("a\0b", 3, false, out), -EINVAL);
    assert_int_equal(percent_decode("a%41", 3, false, out), -EINVAL); /* the second digit is outside */
}

static void test_encode(void **state)
{
    char out[64], back[64];

    (void) state;
    assert_int_equal(percent_encode("a b/\xe2\x82\xac~", 8, false, out), 18);
    assert_string_equal(out, "a%20b%2F%E2%82%AC~");
    assert_int_equal(percent_encode("/a b", 4, true, out), 6);
    assert_string_equal(out, "/a%20b");
    for (int c = 1; c < 256; c++) {
        char in = (char) c;

        percent_encode(&in, 1, false, out);
        assert_int_equal(decode(out, true, back), 1);
        assert_int_equal(back[0], in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
