/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "agent/procs/env.h"
#include "agent/users/users.h"
#include "common/json/json.h"

static const struct user somebody = {.name = (char *) "ann", .home = (char *) "/home/ann", .shell = (char *) "/bin/zsh", .uid = 7};

static struct json_map map_of(struct json_pair *items, size_t count)
{
    return (struct json_map){.items = items, .count = count};
}

static void test_defaults(void **state)
{
    struct env e;

    (void) state;
    assert_int_equal(env_build(&e, &somebody, false, NULL, NULL, NULL), ENV_E_OK);
    assert_string_equal(env_get(&e, "HOME"), "/home/ann");
    assert_string_equal(env_get(&e, "USER"), "ann");
    assert_string_equal(env_get(&e, "SHELL"), "/bin/zsh");
    assert_string_equal(env_get(&e, "PATH"), ENV_PATH);
    assert_string_equal(env_get(&e, "LANG"), "C.UTF-8");
    assert_null(env_get(&e, "TERM"));
    assert_null(env_get(&e, "HOM"));
    assert_null(e.items[e.count]);
    env_deinit(&e);
    assert_int_equal(env_build(&e, &somebody, true, NULL, NULL, NULL), ENV_E_OK);
    assert_string_equal(env_get(&e, "TERM"), "xterm-256color");
    env_deinit(&e);
}

static void test_request_wins_over_sandbox_over_defaults(void **state)
{
    struct json_pair sandbox[] = {{(char *) "PATH", (char *) "/s"}, {(char *) "A", (char *) "sandbox"}, {(char *) "B", (char *) ""}};
    struct json_pair request[] = {{(char *) "A", (char *) "request=1"}, {(char *) "HOME", (char *) "/h"}};
    struct json_map s = map_of(sandbox, 3), r = map_of(request, 2);
    struct env e;

    (void) state;
    assert_int_equal(env_build(&e, &somebody, false, &s, &r, NULL), ENV_E_OK);
    assert_string_equal(env_get(&e, "PATH"), "/s");
    assert_string_equal(env_get(&e, "A"), "request=1");
    assert_string_equal(env_get(&e, "B"), "");
    assert_string_equal(env_get(&e, "HOME"), "/h");
    assert_int_equal(e.count, 8);
    env_deinit(&e);
}

static void test_names_that_cannot_be(void **state)
{
    struct json_pair bad[] = {{(char *) "GOOD", (char *) "1"}, {(char *) "A=B", (char *) "1"}};
    struct json_pair empty[] = {{(char *) "", (char *) "1"}};
    struct json_map m = map_of(bad, 2), n = map_of(empty, 1);
    const char *name = NULL;
    struct env e;

    (void) state;
    assert_int_equal(env_build(&e, &somebody, false, NULL, &m, &name), ENV_E_BAD_NAME);
    assert_string_equal(name, "A=B");
    assert_int_equal(env_build(&e, &somebody, false, &n, NULL, &name), ENV_E_BAD_NAME);
    assert_string_equal(name, "");
}

static void test_copy_and_wipe(void **state)
{
    struct json_pair items[] = {{(char *) "A", (char *) "1"}, {(char *) "B", NULL}};
    struct json_map m = map_of(items, 2), copy;

    (void) state;
    env_map_copy(&copy, &m);
    assert_int_equal(copy.count, 2);
    assert_string_equal(copy.items[0].value, "1");
    assert_string_equal(copy.items[1].value, "");
    assert_ptr_not_equal(copy.items[0].key, items[0].key);
    env_map_wipe(&copy);
    assert_int_equal(copy.count, 0);
    env_map_wipe(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_request_wins_over_sandbox_over_defaults),
        cmocka_unit_test(test_names_that_cannot_be),
        cmocka_unit_test(test_copy_and_wipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
