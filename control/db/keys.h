/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* keys - API keys: looked up for every request, made and revoked by operators. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_keys_stmts;

struct key_team {
    int64_t id;
    const char *slug;
};
struct key_row {
    uint8_t secret_hash[32];
    bool reads, writes; /* scopes */
    bool dead;          /* revoked, expired, or its user is disabled */
    bool touch;         /* last_used is older than a minute */
    int64_t user_id;
    const struct key_team *teams; /* that the key may use; arena */
    size_t teams_count;
    size_t home; /* index of the team that creates take by default: the key's own or the personal
                    one; == teams_count: none */
};

void keys_add_lookup(struct db_tx *tx, const char *id);
/* -ENOENT: no such key. */
int keys_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                struct key_row *out) must_check;
void keys_add_touch(struct db_tx *tx, const char *id);
/* team_slug NULL: every team of the user. One row (id), or none: unknown user, or not a member of
 * the team. */
void keys_add_create(struct db_tx *tx, const char *id, const uint8_t hash[32], const char *email,
                     const char *team_slug, const char *name, const char *const *scopes,
                     size_t scopes_count, int64_t expires_us /* 0: never */);
/* Rows: id, name, email, team slug, scopes, created_us, expires_us, last_used_us, revoked_us. email
 * NULL: all. */
void keys_add_list(struct db_tx *tx, const char *email);
/* One row (id), or none: unknown. Again is fine. */
void keys_add_revoke(struct db_tx *tx, const char *id);
