/* SPDX-License-Identifier: Apache-2.0 */
/* test_arena - alignment, zeroes, the limit and strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"

static void test_aligned_and_zeroed(void **state)
{
    struct arena *a = arena_new(0);

    (void) state;
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = arena_alloc(a, size);

        assert_non_null(p);
        assert_int_equal((uintptr_t) p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xaa, size); /* the next one must not see it */
    }
    arena_free(a);
}

static void test_limit(void **state)
{
    struct arena *a = arena_new(1000);

    (void) state;
    assert_null(arena_alloc(a, 1001));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 8));
    assert_non_null(arena_alloc(a, 500));
    assert_null(arena_alloc(a, 500)); /* 512 are gone */
    assert_non_null(arena_alloc(a, 480));
    assert_int_equal(arena_bytes(a), 992);
    assert_null(arena_strdup(a, "too long for the rest"));
    assert_null(arena_printf(a, "%s", "too long for the rest"));
    assert_int_equal(arena_bytes(a), 992);
    arena_free(a);
}

static void test_large_among_small(void **state)
{
    struct arena *a = arena_new(0);
    char *small[100], *large[100];

    (void) state;
    for (int i = 0; i < 100; i++) {
        small[i] = arena_printf(a, "small %d", i);
        large[i] = arena_alloc(a, 100000);
        assert_non_null(large[i]);
        memset(large[i], i, 100000);
    }
    for (int i = 0; i < 100; i++) {
        char want[20];

        snprintf(want, sizeof(want), "small %d", i);
        assert_string_equal(small[i], want);
        assert_int_equal(large[i][99999], i);
    }
    arena_free(a);
}

static void test_strings(void **state)
{
    struct arena *a = arena_new(0);

    (void) state;
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strndup(a, "abc", 2), "ab");
    assert_string_equal(arena_strndup(a, NULL, 0), "");
    assert_string_equal(arena_printf(a, "%05d", 42), "00042");
    arena_freep(&a);
    assert_null(a);
    arena_freep(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_and_zeroed),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_large_among_small),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
