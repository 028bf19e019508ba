/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "control/db/migrate.h"

static void embedded_ones_are_whole_and_in_order(void **state)
{
    const struct migrations *m = migrations_embedded();

    (void)state;
    assert_true(m->count >= 5);
    for (size_t i = 0; i < m->count; i++) {
        char number[8];

        snprintf(number, sizeof(number), "%04d_", (int)m->items[i].version);
        assert_memory_equal(m->items[i].name, number, 5);
        assert_int_equal(m->items[i].version, i + 1);
        assert_non_null(strstr(m->items[i].sql, "SPDX-License-Identifier"));
        size_t len = strlen(m->items[i].sql);

        assert_true(len > 100);
        assert_int_equal(m->items[i].sql[len - 1], '\n');
        /* one transaction a file is the runner's: a file that ends it itself would be half applied
         */
        assert_null(strstr(m->items[i].sql, "COMMIT"));
        assert_null(strstr(m->items[i].sql, "CONCURRENTLY"));
    }
    assert_int_equal(migrations_latest(m), m->items[m->count - 1].version);
}

static void nothing(void **state)
{
    struct migrations none = {0};

    (void)state;
    assert_int_equal(migrations_latest(&none), 0);
    migrations_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(embedded_ones_are_whole_and_in_order),
                                       cmocka_unit_test(nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
