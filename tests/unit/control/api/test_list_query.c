/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "control/api/list_query.h"

static struct page page_new(struct arena *a)
{
    struct page p = {.before_id = INT64_MAX, .limit = PAGE_LIMIT_DEFAULT};

    p.states.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(char *));
    p.metadata.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(struct json_pair));
    assert_non_null(p.states.items);
    assert_non_null(p.metadata.items);
    return p;
}

static void members(void **state)
{
    struct arena *a = arena_new(0);
    struct page p = page_new(a);

    (void)state;
    assert_int_equal(list_query_member(&p, a, "query[state][]", "running"), LIST_OK);
    assert_int_equal(list_query_member(&p, a, "query[state]", "failed"), LIST_OK);
    assert_int_equal(list_query_member(&p, a, "query[metadata][job]", "x"), LIST_OK);
    assert_int_equal(list_query_member(&p, a, "query[metadata][a][b]", "y"),
                     LIST_OK); /* a name may hold brackets */
    assert_int_equal(list_query_member(&p, a, "query[metadata][job]", "z"),
                     LIST_OK); /* the last one counts */
    assert_int_equal(list_query_member(&p, a, "team", "acme"), LIST_OK);
    assert_int_equal(list_query_member(&p, a, "other", "ignored"), LIST_OK);
    assert_int_equal(p.states.count, 2);
    assert_int_equal(p.metadata.count, 2);
    assert_string_equal(p.metadata.items[0].value, "z");
    assert_string_equal(p.metadata.items[1].key, "a][b");
    assert_string_equal(p.team, "acme");
    assert_int_equal(list_query_member(&p, a, "query[metadata][", "x"), LIST_E_FILTERS);
    assert_int_equal(list_query_member(&p, a, "query[metadata][]", "x"), LIST_E_FILTERS);
    assert_int_equal(list_query_member(&p, a, "query[metadata][a", "x"), LIST_E_FILTERS);
    arena_free(a);
}

static void filters_are_bounded(void **state)
{
    struct arena *a = arena_new(0);
    struct page p = page_new(a);
    char key[64];

    (void)state;
    for (int i = 0; i < PAGE_FILTERS_MAX; i++) {
        snprintf(key, sizeof(key), "query[metadata][k%d]", i);
        assert_int_equal(list_query_member(&p, a, key, "v"), LIST_OK);
        assert_int_equal(list_query_member(&p, a, "query[state][]", "ready"), LIST_OK);
    }
    assert_int_equal(list_query_member(&p, a, "query[metadata][one more]", "v"), LIST_E_FILTERS);
    assert_int_equal(list_query_member(&p, a, "query[metadata][k0]", "again"), LIST_OK);
    assert_int_equal(list_query_member(&p, a, "query[state][]", "ready"), LIST_E_FILTERS);
    arena_free(a);
}

static void states(void **state)
{
    char *asked[] = {(char *)"running", (char *)"ready", (char *)"paused", (char *)"destroyed"};
    struct json_strings list = {asked, 1};
    const char *out[STATES_COUNT];
    size_t count;

    (void)state;
    assert_int_equal(list_query_states(&list, out, &count), 0);
    assert_int_equal(count, 5);
    list.count = 4;
    assert_int_equal(list_query_states(&list, out, &count), 0);
    assert_int_equal(count, 7); /* each once: all but failed */
    list.count = 0;
    assert_int_equal(list_query_states(&list, out, &count), 0);
    assert_int_equal(count, 0);
    asked[0] = (char *)"odd";
    list.count = 1;
    assert_int_equal(list_query_states(&list, out, &count), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members), cmocka_unit_test(filters_are_bounded), cmocka_unit_test(states)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
