/* SPDX-License-Identifier: Apache-2.0 */
/* The table of legal moves in C is the table in SQL, and says what it should. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/str.h"
#include "control/db/migrate.h"
#include "control/life/state.h"

/* Reads the pairs of "INSERT INTO sandbox_moves ... VALUES ('a', 'b'), ..." of all migrations. */
static unsigned sql_moves(bool out[STATES_COUNT][STATES_COUNT])
{
    const struct migrations *m = migrations_embedded();
    unsigned count = 0;

    for (size_t i = 0; i < m->count; i++) {
        const char *p = strstr(m->items[i].sql, "INSERT INTO sandbox_moves"),
                   *end = p ? strchr(p, ';') : NULL;

        for (p = p ? strstr(p, "VALUES") : NULL; p && (p = strchr(p, '\'')) && p < end;) {
            char from[32], to[32];
            enum sandbox_state f, t;

            assert_int_equal(sscanf(p, "'%31[a-z]', '%31[a-z]'", from, to), 2);
            assert_int_equal(state_parse(from, &f), 0);
            assert_int_equal(state_parse(to, &t), 0);
            assert_false(out[f][t]);
            out[f][t] = true;
            count++;
            p = strchr(p, ')');
        }
    }
    return count;
}

static void moves_are_those_of_the_schema(void **state)
{
    bool sql[STATES_COUNT][STATES_COUNT] = {0};

    (void)state;
    assert_true(sql_moves(sql) > 10);
    for (unsigned f = 0; f < STATES_COUNT; f++) {
        for (unsigned t = 0; t < STATES_COUNT; t++) {
            if (sql[f][t] != state_may_move(f, t))
                fail_msg("%s -> %s: SQL says %d, C says %d", state_name(f), state_name(t),
                         sql[f][t], state_may_move(f, t));
        }
    }
}

static void hz19_every_leased_state_can_end(void **state)
{
    (void)state;
    for (unsigned s = 0; s < STATES_COUNT; s++) {
        assert_false(state_may_move(s, s));
        if (!state_ended(s)) {
            assert_true(state_may_move(s, STATE_FAILED));
            assert_true(state_may_move(s, STATE_DESTROYED));
        }
        assert_false(state_leased(s) && state_ended(s));
    }
    assert_false(state_may_move(STATE_DESTROYED, STATE_READY));
    assert_false(state_may_move(STATE_FAILED, STATE_READY));
}

static void names(void **state)
{
    enum sandbox_state s;

    (void)state;
    for (unsigned i = 0; i < STATES_COUNT; i++) {
        assert_int_equal(state_parse(state_name(i), &s), 0);
        assert_int_equal(s, i);
    }
    assert_int_equal(state_parse("running", &s), -EINVAL);
    assert_int_equal(state_parse("", &s), -EINVAL);
    assert_int_equal(state_parse(NULL, &s), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_are_those_of_the_schema),
        cmocka_unit_test(hz19_every_leased_state_can_end),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
