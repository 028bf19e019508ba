/* SPDX-License-Identifier: Apache-2.0 */
/* test_buf - appending, consuming, the limit, and bytes that stay right while it moves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/buf.h"

static void test_limit_changes_nothing(void **state)
{
    struct buf b = BUF_INIT(10);

    (void) state;
    assert_int_equal(buf_append(&b, "123456", 6), 0);
    assert_int_equal(buf_append(&b, "12345", 5), -ENOBUFS);
    assert_int_equal(b.len, 6);
    assert_int_equal(buf_append(&b, "7890", 4), 0);
    assert_int_equal(buf_append_str(&b, "x"), -ENOBUFS);
    assert_int_equal(buf_printf(&b, "%d", 1), -ENOBUFS);
    assert_null(buf_reserve(&b, 1));
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_memory_equal(buf_data(&b), "1234567890", 10);
    assert_string_equal(buf_cstr(&b), "1234567890"); /* the terminator is not counted */
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    buf_deinit(&b);
    assert_int_equal(b.max, 10);
}

static void test_empty(void **state)
{
    struct buf b = BUF_INIT(0);

    (void) state;
    assert_null(buf_data(&b));
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_string_equal(buf_cstr(&b), "");
    buf_consume(&b, 0);
    buf_shrink(&b);
    assert_null(b.base);
    buf_deinit(&b);
    buf_deinit(&b);
}

/* Every byte that goes in comes out, in order, however appends and consumes are mixed. */
static void test_queue(void **state)
{
    struct buf b = BUF_INIT(100000);
    uint32_t in = 0, out = 0, seed = 1;

    (void) state;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        size_t n = seed >> 8 & 511;

        if (seed >> 31 && b.len + n <= b.max) {
            uint8_t *p = buf_reserve(&b, n);

            assert_non_null(p);
            for (size_t k = 0; k < n; k++)
                p[k] = (uint8_t) (in++ * 7);
            buf_commit(&b, n);
        } else {
            if (n > b.len)
                n = b.len;
            for (size_t k = 0; k < n; k++)
                assert_int_equal(buf_data(&b)[k], (uint8_t) (out++ * 7));
            buf_consume(&b, n);
        }
    }
    assert_int_equal(b.len, in - out);
    assert_true(b.cap <= 2 * b.max);
    buf_deinit(&b);
}

static void test_printf_of_any_length(void **state)
{
    struct buf b = BUF_INIT(5000);
    char big[4001];

    (void) state;
    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(buf_printf(&b, "%s", big), 0);
    assert_int_equal(b.len, 4000);
    assert_int_equal(buf_printf(&b, "%s", big), -ENOBUFS);
    assert_int_equal(b.len, 4000);
    assert_int_equal(buf_printf(&b, "%s", big + 3000), 0); /* to the limit exactly */
    assert_int_equal(b.len, 5000);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    buf_shrink(&b);
    assert_int_equal(b.cap, 0);
    buf_deinit(&b);
}

static void test_fill_to_limit_by_bytes(void **state)
{
    struct buf b = BUF_INIT(3000);

    (void) state;
    for (int i = 0; i < 3000; i++)
        assert_int_equal(buf_append(&b, "z", 1), 0);
    assert_int_equal(buf_append(&b, "z", 1), -ENOBUFS);
    assert_true(b.cap <= 3001);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_changes_nothing),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_printf_of_any_length),
        cmocka_unit_test(test_fill_to_limit_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
