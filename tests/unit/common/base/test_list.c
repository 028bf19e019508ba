/* SPDX-License-Identifier: Apache-2.0 */
/* test_list - linking, unlinking, and removal while walking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/list.h"

struct item {
    int value;
    struct list node;
};

static int sum_in_order(struct list *head)
{
    int v = 0;

    LIST_FOR_EACH (n, head)
        v = v * 10 + LIST_ENTRY(n, struct item, node)->value;
    return v;
}

static void test_order(void **state)
{
    struct list head = LIST_INIT(head);
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};

    (void) state;
    assert_true(list_empty(&head));
    list_append(&head, &a.node);
    list_append(&head, &b.node);
    list_prepend(&head, &c.node);
    assert_int_equal(sum_in_order(&head), 312);
    list_del(&a.node);
    assert_false(list_linked(&a.node));
    list_del(&a.node);
    assert_int_equal(sum_in_order(&head), 32);
    list_append(&head, &a.node);
    assert_int_equal(sum_in_order(&head), 321);
}

static void test_remove_while_walking(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[9] = {0};

    (void) state;
    for (int i = 0; i < 9; i++) {
        items[i].value = i + 1;
        list_append(&head, &items[i].node);
    }
    LIST_FOR_EACH_SAFE (n, tmp, &head) {
        if (LIST_ENTRY(n, struct item, node)->value % 2)
            list_del(n);
    }
    assert_int_equal(sum_in_order(&head), 2468);
    LIST_FOR_EACH_SAFE (n, tmp, &head)
        list_del(n);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
