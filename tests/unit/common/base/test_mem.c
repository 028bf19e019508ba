/* SPDX-License-Identifier: Apache-2.0 */
/* test_mem - wiping and comparison in constant time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

static void test_sizes_of_nothing(void **state)
{
    void *p = xmalloc(0), *q = xcalloc(0, 8);

    (void) state;
    assert_non_null(p);
    assert_non_null(q);
    p = xrealloc(p, 100);
    memset(p, 1, 100);
    free(p);
    free(q);
}

static void test_strings(void **state)
{
    char *a = xstrdup("abc"), *b = xstrndup("abcdef", 2), *c = xasprintf("%d-%s", 5, "x");

    (void) state;
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    assert_string_equal(c, "5-x");
    free(a);
    free(b);
    free(c);
}

static void test_equal(void **state)
{
    (void) state;
    assert_true(mem_equal_ct("abcd", "abcd", 4));
    assert_false(mem_equal_ct("abcd", "abce", 4));
    assert_false(mem_equal_ct("xbcd", "abcd", 4));
    assert_true(mem_equal_ct("", "", 0));
}

static void test_wipe(void **state)
{
    char s[8] = "secret";
    static const char zero[8];

    (void) state;
    mem_wipe(s, sizeof(s));
    assert_memory_equal(s, zero, sizeof(s));
    mem_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_of_nothing),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
