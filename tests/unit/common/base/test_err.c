/* SPDX-License-Identifier: Apache-2.0 */
/* test_err - words on the stack: setting, wrapping, cutting, and no object at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/err.h"

static void test_set_returns_code(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(err_set(&e, -EINVAL, "disk '%s'", "a"), -EINVAL);
    assert_string_equal(e.text, "disk 'a'");
    assert_int_equal(e.code, -EINVAL);
    assert_int_equal(err_set(&e, 7, "outcome"), 7);
    assert_int_equal(e.code, 7);
}

static void test_errno_names_the_reason(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    errno = ENOENT;
    assert_int_equal(err_errno(&e, "open '%s'", "x"), -ENOENT);
    assert_string_equal(e.text, "open 'x': No such file or directory");
    errno = 0;
    assert_int_equal(err_errno(&e, "odd"), -EIO);
}

static void test_wrap_puts_text_before(void **state)
{
    struct err e = ERR_INIT;
    int r = err_set(&e, -EIO, "inner");

    (void) state;
    assert_int_equal(err_wrap(&e, r, "outer %d", 1), -EIO);
    assert_string_equal(e.text, "outer 1: inner");
}

static void test_wrap_of_nothing_uses_the_code(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    err_wrap(&e, -ENOSPC, "write");
    assert_string_equal(e.text, "write: No space left on device");
}

static void test_long_text_is_cut_and_terminated(void **state)
{
    struct err e = ERR_INIT;
    char big[2000];

    (void) state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    err_set(&e, -EIO, "%s", big);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    err_wrap(&e, -EIO, "%s", big);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void test_no_object(void **state)
{
    (void) state;
    assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
    assert_int_equal(err_wrap(NULL, 3, "x"), 3);
    errno = EPERM;
    assert_int_equal(err_errno(NULL, "x"), -EPERM);
    assert_string_equal(err_text(NULL, -EPERM), "Operation not permitted");
    assert_true(err_text(NULL, 5)[0] != '\0');
    assert_true(err_text(NULL, 0)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_returns_code),
        cmocka_unit_test(test_errno_names_the_reason),
        cmocka_unit_test(test_wrap_puts_text_before),
        cmocka_unit_test(test_wrap_of_nothing_uses_the_code),
        cmocka_unit_test(test_long_text_is_cut_and_terminated),
        cmocka_unit_test(test_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
