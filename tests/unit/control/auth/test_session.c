/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "control/auth/session.h"

static void life(void **state)
{
    const int64_t now = 1900000000;

    (void)state;
    assert_int_equal(session_expiry(now, now + 300), now + 3600); /* at least an hour */
    assert_int_equal(session_expiry(now, now - 5), now + 3600);
    assert_int_equal(session_expiry(now, now + 3000), now + 3600);
    assert_int_equal(session_expiry(now, now + 3001),
                     now + 3601); /* ten minutes past the deadline */
    assert_int_equal(session_expiry(now, now + 7200), now + 7800);
    assert_int_equal(session_expiry(now, now + 86400 - 600), now + 86400);
    assert_int_equal(session_expiry(now, now + 86400), now + 86400); /* at most a day */
    assert_int_equal(session_expiry(now, now + 864000), now + 86400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(life)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
