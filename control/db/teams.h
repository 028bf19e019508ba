/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* teams - what owns sandboxes, and who belongs to it. */
#include "control/db/stmt.h"

struct db_tx;

extern const struct db_stmts db_teams_stmts;

/* One row: id. Unique: teams_slug_key. */
void teams_add_create(struct db_tx *tx, const char *slug, const char *name);
/* Adds or changes the role. One row (team id, user id), or none when the team or the user is
 * unknown. */
void teams_add_member(struct db_tx *tx, const char *team_slug, const char *email, const char *role);
