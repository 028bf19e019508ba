/* SPDX-License-Identifier: Apache-2.0 */
/* test_cleanup - release at the end of a scope, and handing over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include "common/base/cleanup.h"
#include "common/base/mem.h"

static char *handed_over(void)
{
    cleanup(freep) char *p = xstrdup("kept");
    cleanup(freep) char *gone = xstrdup("freed here"); /* the leak checker would tell */

    (void) gone;
    return take_ptr(&p);
}

static void test_take_ptr(void **state)
{
    cleanup(freep) char *p = handed_over();

    (void) state;
    assert_string_equal(p, "kept");
}

static void test_fd_is_closed(void **state)
{
    int number;

    (void) state;
    {
        cleanup(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        number = fd;
        assert_true(fd >= 0);
    }
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

static void test_take_fd(void **state)
{
    int kept;

    (void) state;
    {
        cleanup(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        kept = take_fd(&fd);
        assert_int_equal(fd, -1);
    }
    assert_true(fcntl(kept, F_GETFD) >= 0);
    errno = EPIPE;
    fd_closep(&kept);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(kept, -1);
    fd_closep(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_ptr),
        cmocka_unit_test(test_fd_is_closed),
        cmocka_unit_test(test_take_fd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
