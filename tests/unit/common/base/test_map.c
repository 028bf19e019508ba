/* SPDX-License-Identifier: Apache-2.0 */
/* test_map - against a plain table, keys with NULs, and removal while walking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/base/map.h"

static void test_basics(void **state)
{
    struct map *m = map_new();
    int a, b;

    (void) state;
    assert_null(map_get(m, "x"));
    assert_null(map_put(m, "x", &a));
    assert_ptr_equal(map_put(m, "x", &b), &a);
    assert_ptr_equal(map_get(m, "x"), &b);
    assert_int_equal(map_count(m), 1);
    assert_null(map_del(m, "y"));
    assert_ptr_equal(map_del(m, "x"), &b);
    assert_null(map_del(m, "x"));
    assert_int_equal(map_count(m), 0);
    map_free(m);
    map_free(NULL);
}

static void test_keys_are_bytes(void **state)
{
    struct map *m = map_new();
    int a, b, c;

    (void) state;
    map_put_n(m, "a\0b", 3, &a);
    map_put_n(m, "a\0c", 3, &b);
    map_put_n(m, "", 0, &c);
    assert_ptr_equal(map_get_n(m, "a\0b", 3), &a);
    assert_ptr_equal(map_get_n(m, "a\0c", 3), &b);
    assert_ptr_equal(map_get(m, ""), &c);
    assert_null(map_get(m, "a"));
    map_free(m);
}

enum { KEYS = 3000 };

static void test_many(void **state)
{
    static char present[KEYS];
    struct map *m = map_new();
    size_t count = 0;
    uint32_t seed = 7;
    char key[40];

    (void) state;
    for (int i = 0; i < 30000; i++) {
        seed = seed * 1664525 + 1013904223;
        size_t k = (seed >> 8) % KEYS;

        snprintf(key, sizeof(key), "a key of some length, number %zu", k);
        if (seed >> 31) {
            assert_ptr_equal(map_put(m, key, &present[k]), present[k] ? &present[k] : NULL);
            count += !present[k];
            present[k] = 1;
        } else {
            assert_ptr_equal(map_del(m, key), present[k] ? &present[k] : NULL);
            count -= (size_t) present[k];
            present[k] = 0;
        }
        assert_int_equal(map_count(m), count);
    }
    struct map_iter it = MAP_ITER_INIT;
    const char *name;
    size_t seen = 0;

    for (char *v; (v = map_next(m, &it, &name)); seen++) {
        snprintf(key, sizeof(key), "a key of some length, number %zu", (size_t) (v - present));
        assert_string_equal(name, key);
        assert_int_equal(*v, 1);
    }
    assert_int_equal(seen, count);
    map_free(m);
}

static void test_remove_current_while_walking(void **state)
{
    static char values[500];
    struct map *m = map_new();
    struct map_iter it = MAP_ITER_INIT;
    size_t seen = 0;
    char key[20];

    (void) state;
    for (size_t i = 0; i < sizeof(values); i++) {
        snprintf(key, sizeof(key), "%zu", i);
        map_put(m, key, &values[i]);
    }
    for (char *v; (v = map_next(m, &it, NULL)); seen++) {
        assert_int_equal(*v, 0); /* none twice */
        *v = 1;
        if ((v - values) % 3 == 0)
            continue;
        snprintf(key, sizeof(key), "%zu", (size_t) (v - values));
        assert_ptr_equal(map_del(m, key), v);
    }
    assert_int_equal(seen, 500);
    assert_int_equal(map_count(m), 167);
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_remove_current_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
