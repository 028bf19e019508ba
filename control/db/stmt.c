/* SPDX-License-Identifier: Apache-2.0 */
/* stmt - the list of all statement tables. */
#include "control/db/stmt.h"
#include "control/db/host_tokens.h"
#include "control/db/hosts.h"
#include "control/db/idempotency.h"
#include "control/db/jobs.h"
#include "control/db/keys.h"
#include "control/db/quotas.h"
#include "control/db/sandboxes.h"
#include "control/db/sandboxes_life.h"
#include "control/db/teams.h"
#include "control/db/templates.h"
#include "control/db/users.h"

const struct db_stmts *const db_all_stmts[] = {
    &db_users_stmts,  &db_teams_stmts,       &db_keys_stmts,      &db_host_tokens_stmts,
    &db_hosts_stmts,  &db_templates_stmts,   &db_sandboxes_stmts, &db_sandboxes_life_stmts,
    &db_quotas_stmts, &db_idempotency_stmts, &db_jobs_stmts,      NULL,
};

size_t db_stmt_count(void)
{
    size_t n = 0;

    for (const struct db_stmts *const *t = db_all_stmts; *t; t++)
        n += (*t)->count;
    return n;
}

const struct db_stmt *db_stmt_at(size_t index)
{
    for (const struct db_stmts *const *t = db_all_stmts; *t; t++) {
        if (index < (*t)->count)
            return &(*t)->rows[index];
        index -= (*t)->count;
    }
    return NULL;
}
