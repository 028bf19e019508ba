/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/gateway/stream/cursor.h"

static void test_last_and_last_plus_one_mean_the_same(void **state)
{
    (void) state;
    for (uint64_t last = 1; last < 1000; last += 2) {
        assert_int_equal(cursor_after(last), last + 2);
        assert_int_equal(cursor_after(last + 1), last + 2);
    }
    assert_int_equal(cursor_after(0), 1);
}

static void test_started_is_not_replayed_as_a_frame(void **state)
{
    (void) state;
    assert_int_equal(cursor_replay_from(0), 3);
    assert_int_equal(cursor_replay_from(1), 3);
    assert_int_equal(cursor_replay_from(2), 3);
    assert_int_equal(cursor_replay_from(3), 5);
    assert_int_equal(cursor_replay_from(4), 5);
}

static void test_valid(void **state)
{
    (void) state;
    assert_true(cursor_valid(1));
    assert_false(cursor_valid(0));
    assert_false(cursor_valid(2));
    assert_true(cursor_valid(CURSOR_MAX));
    assert_false(cursor_valid(CURSOR_MAX + 2));
    assert_false(cursor_valid(UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_and_last_plus_one_mean_the_same),
        cmocka_unit_test(test_started_is_not_replayed_as_a_frame),
        cmocka_unit_test(test_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
