/* SPDX-License-Identifier: Apache-2.0 */
/* users - statements of table users. */
#include "control/db/users.h"
#include "common/base/attr.h"
#include "control/db/tx.h"

enum { USERS_CREATE };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt users_stmts[] = {
    [USERS_CREATE] = {"users_create",
                      "WITH u AS (INSERT INTO users (email, name) VALUES ($1, $2) RETURNING id),"
                      " t AS (INSERT INTO teams (slug, name, personal_user_id) SELECT $3, $2, id FROM u RETURNING id, slug),"
                      " m AS (INSERT INTO team_members (team_id, user_id, role) SELECT t.id, u.id, 'owner' FROM t, u)"
                      " SELECT u.id, t.id, t.slug FROM u, t",
                      3},
};
/* clang-format on */
const struct db_stmts db_users_stmts = {users_stmts, ARRAY_LEN(users_stmts)};

void users_add_create(struct db_tx *tx, const char *email, const char *name, const char *team_slug)
{
    tx_add(tx, &users_stmts[USERS_CREATE]);
    tx_text(tx, email);
    tx_text(tx, name);
    tx_text(tx, team_slug);
}
