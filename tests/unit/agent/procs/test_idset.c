/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "agent/procs/idset.h"

static void test_remembers_all(void **state)
{
    enum { COUNT = 20000 };
    struct idset s;
    char id[32];

    (void) state;
    idset_init(&s);
    assert_false(idset_has(&s, "x"));
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "id-%d", i);
        assert_false(idset_has(&s, id));
        idset_add(&s, id);
        idset_add(&s, id); /* once is enough */
    }
    assert_int_equal(s.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "id-%d", i);
        assert_true(idset_has(&s, id));
        snprintf(id, sizeof(id), "ID-%d", i);
        assert_false(idset_has(&s, id));
    }
    assert_false(idset_full(&s));
    idset_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remembers_all)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
