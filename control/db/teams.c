/* SPDX-License-Identifier: Apache-2.0 */
/* teams - statements of tables teams and team_members. */
#include "control/db/teams.h"
#include "common/base/attr.h"
#include "control/db/tx.h"

enum { TEAMS_CREATE, TEAMS_MEMBER };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt teams_stmts[] = {
    [TEAMS_CREATE] = {"teams_create", "INSERT INTO teams (slug, name) VALUES ($1, $2) RETURNING id", 2},
    [TEAMS_MEMBER] = {"teams_member",
                      "INSERT INTO team_members (team_id, user_id, role)"
                      " SELECT t.id, u.id, $3 FROM teams t, users u WHERE t.slug = $1 AND lower(u.email) = lower($2)"
                      " ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role RETURNING team_id, user_id",
                      3},
};
/* clang-format on */
const struct db_stmts db_teams_stmts = {teams_stmts, ARRAY_LEN(teams_stmts)};

void teams_add_create(struct db_tx *tx, const char *slug, const char *name)
{
    tx_add(tx, &teams_stmts[TEAMS_CREATE]);
    tx_text(tx, slug);
    tx_text(tx, name);
}

void teams_add_member(struct db_tx *tx, const char *team_slug, const char *email, const char *role)
{
    tx_add(tx, &teams_stmts[TEAMS_MEMBER]);
    tx_text(tx, team_slug);
    tx_text(tx, email);
    tx_text(tx, role);
}
