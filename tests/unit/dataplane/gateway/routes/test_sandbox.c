/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire/gate_link.h"
#include "dataplane/gateway/routes/sandbox.h"

#define RT1 "aaaaaaaaaaaaaaaaaaaaaaaa"
#define RT2 "bbbbbbbbbbbbbbbbbbbbbbbb"
#define TOKEN1 "1111111111111111111111111111111111111111111111111111111111111111"
#define TOKEN2 "2222222222222222222222222222222222222222222222222222222222222222"

static char said[1024]; /* what the table told */

static void on_added(void *arg, struct sandbox *sb)
{
    (void) arg;
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "+%s ", sb->id);
}

static void on_changed(void *arg, struct sandbox *sb, bool restarted)
{
    (void) arg;
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "%c%s ", restarted ? '*' : '~', sb->id);
}

static void on_gone(void *arg, struct sandbox *sb, const char *reason)
{
    (void) arg;
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "-%s:%s ", sb->id, reason);
}

static int setup(void **state)
{
    static const struct sandbox_table_ops ops = {on_added, on_changed, on_gone};

    said[0] = '\0';
    *state = sandbox_table_new(&ops, NULL);
    return 0;
}

static int teardown(void **state)
{
    sandbox_table_free(*state);
    return 0;
}

static struct gate_msg msg(const char *id, const char *rt, uint64_t generation, const char *token, const char *state)
{
    return (struct gate_msg){.t = (char *) "route", .id = (char *) id, .rt = (char *) rt, .generation = generation,
                             .agent_token = (char *) token, .state = (char *) state, .reason = (char *) "killed"};
}

static int route(void *t, const char *id, const char *rt, uint64_t generation, const char *token, const char *state)
{
    struct gate_msg m = msg(id, rt, generation, token, state);

    return sandbox_table_route(t, &m);
}

static void test_life(void **state)
{
    struct gate_msg m = msg("1", RT1, 2, TOKEN1, "running");

    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0); /* nothing new */
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "paused"), 0);
    assert_int_equal(route(*state, "1", RT1, 2, TOKEN2, "running"), 0);
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), -ESTALE);
    assert_string_equal(sandbox_by_rt(*state, RT1)->id, "1");
    assert_int_equal(sandbox_by_rt(*state, RT1)->generation, 2);
    m.generation = 1;
    sandbox_table_gone(*state, &m); /* of the one before */
    assert_non_null(sandbox_by_rt(*state, RT1));
    m.generation = 2;
    sandbox_table_gone(*state, &m);
    assert_null(sandbox_by_rt(*state, RT1));
    sandbox_table_gone(*state, &m);
    assert_string_equal(said, "+1 ~1 *1 -1:killed ");
}

static void test_impossible_routes(void **state)
{
    assert_int_equal(route(*state, "x", RT1, 1, TOKEN1, "running"), -EINVAL);
    assert_int_equal(route(*state, "-1", RT1, 1, TOKEN1, "running"), -EINVAL);
    assert_int_equal(route(*state, "123456789012345678901", RT1, 1, TOKEN1, "running"), -EINVAL);
    assert_int_equal(route(*state, "1", "short", 1, TOKEN1, "running"), -EINVAL);
    assert_int_equal(route(*state, "1", "AAAAAAAAAAAAAAAAAAAAAAAA", 1, TOKEN1, "running"), -EINVAL);
    assert_int_equal(route(*state, "1", RT1, 1, "secret", "running"), -EINVAL);
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    assert_int_equal(route(*state, "2", RT1, 1, TOKEN1, "running"), -EEXIST); /* another one's token */
    assert_string_equal(said, "+1 ");
}

static void test_a_round_drops_what_is_not_told_again(void **state)
{
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    assert_int_equal(route(*state, "2", RT2, 1, TOKEN2, "running"), 0);
    sandbox_table_sync_begin(*state);
    assert_int_equal(route(*state, "2", RT2, 1, TOKEN2, "running"), 0);
    sandbox_table_sync_end(*state);
    assert_int_equal(sandbox_table_count(*state), 1);
    assert_string_equal(said, "+1 +2 -1:unknown ");
}

static void test_a_new_route_token(void **state)
{
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    assert_int_equal(route(*state, "1", RT2, 2, TOKEN1, "running"), 0);
    assert_null(sandbox_by_rt(*state, RT1));
    assert_string_equal(sandbox_by_rt(*state, RT2)->id, "1");
}

static unsigned cuts;

static void flow_cut(struct sandbox_flow *f)
{
    cuts++;
    assert_true(f->sandbox->gone);
    sandbox_flow_end(f);
    sandbox_flow_end(f);
}

static void test_hz28_flows_are_cut_when_the_sandbox_goes(void **state)
{
    struct gate_msg m = msg("1", RT1, 1, TOKEN1, "running");
    struct sandbox_flow f[3] = {0};

    cuts = 0;
    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    for (int i = 0; i < 3; i++)
        sandbox_flow_begin(&f[i], sandbox_by_rt(*state, RT1), flow_cut);
    assert_int_equal(sandbox_by_rt(*state, RT1)->flow_count, 3);
    sandbox_flow_end(&f[1]);
    sandbox_table_gone(*state, &m);
    assert_int_equal(cuts, 2);
}

static void test_an_entry_outlives_its_route_while_it_is_held(void **state)
{
    struct gate_msg m = msg("1", RT1, 1, TOKEN1, "running");
    struct sandbox *sb;

    assert_int_equal(route(*state, "1", RT1, 1, TOKEN1, "running"), 0);
    sb = sandbox_ref(sandbox_by_rt(*state, RT1));
    sandbox_table_gone(*state, &m);
    assert_true(sb->gone);
    assert_string_equal(sb->id, "1");
    sandbox_unref(sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_routes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_round_drops_what_is_not_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_route_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz28_flows_are_cut_when_the_sandbox_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_entry_outlives_its_route_while_it_is_held, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
