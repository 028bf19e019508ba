/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* users - people; each has a personal team. */
#include "control/db/stmt.h"

struct db_tx;

extern const struct db_stmts db_users_stmts;

/* With the personal team and its ownership. One row: user id, team id, team slug. Unique:
 * users_email, teams_slug_key. */
void users_add_create(struct db_tx *tx, const char *email, const char *name, const char *team_slug);
