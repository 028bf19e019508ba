/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of statements: names, parameters, and that tenants' rows are only reached through
 * their team. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/str.h"
#include "control/db/idempotency.h"
#include "control/db/sandboxes.h"
#include "control/db/stmt.h"

static void names_are_unique(void **state)
{
    size_t n = db_stmt_count();

    (void)state;
    assert_true(n > 30);
    assert_null(db_stmt_at(n));
    for (size_t i = 0; i < n; i++) {
        assert_true(strlen(db_stmt_at(i)->name) < 64);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(db_stmt_at(i)->name, db_stmt_at(k)->name);
    }
}

static void parameters_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < db_stmt_count(); i++) {
        const struct db_stmt *s = db_stmt_at(i);
        uint64_t seen = 0, wanted = (1ull << s->params) - 1;

        for (const char *p = s->text; (p = strchr(p, '$')); p++)
            seen |= 1ull << (strtoul(p + 1, NULL, 10) - 1);
        if (seen != wanted)
            fail_msg("%s: uses %llx, declares %u", s->name, (unsigned long long)seen, s->params);
    }
}

static void no_text_is_pasted(void **state)
{
    (void)state;
    for (size_t i = 0; i < db_stmt_count(); i++) {
        assert_null(strchr(db_stmt_at(i)->text, '%')); /* no format left in it */
        assert_null(strchr(db_stmt_at(i)->text, ';')); /* one statement each */
    }
}

static void tenants_are_separated(void **state)
{
    const struct db_stmts *const tenant[] = {&db_sandboxes_stmts, &db_idempotency_stmts};

    (void)state;
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tenant[t]->count; i++) {
            const struct db_stmt *s = &tenant[t]->rows[i];
            bool by_team = strstr(s->text, "team_id = ANY ($2::bigint[])") ||
                           strstr(s->text, "unnest($1::bigint[]) AS u(team_id)") ||
                           strstr(s->text, "team_id = $1") || strstr(s->text, "(team_id, key");
            bool by_ours = strstr(s->name, "idempotency_drop") !=
                           NULL; /* of a sandbox that we have just ended */

            if (!by_team && !by_ours)
                fail_msg("%s reaches rows without their team", s->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(parameters_are_counted),
        cmocka_unit_test(no_text_is_pasted),
        cmocka_unit_test(tenants_are_separated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
