/* SPDX-License-Identifier: Apache-2.0 */
/* keys - statements of table api_keys. */
#include "control/db/keys.h"
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "control/db/tx.h"

enum { KEYS_LOOKUP, KEYS_TOUCH, KEYS_CREATE, KEYS_LIST, KEYS_REVOKE };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt keys_stmts[] = {
    /* One row a team; a key without any team has one row with a NULL team. */
    [KEYS_LOOKUP] = {"keys_lookup",
                     "SELECT k.secret_hash, k.scopes && '{read,write}', 'write' = ANY (k.scopes),"
                     " k.revoked_at IS NOT NULL OR u.disabled_at IS NOT NULL OR coalesce(k.expires_at <= now(), false),"
                     " coalesce(k.last_used_at < now() - interval '1 minute', true), k.user_id,"
                     " t.id, t.slug, coalesce(t.id = k.team_id, t.personal_user_id = k.user_id, false)"
                     " FROM api_keys k JOIN users u ON u.id = k.user_id"
                     " LEFT JOIN (team_members m JOIN teams t ON t.id = m.team_id)"
                     " ON m.user_id = k.user_id AND (k.team_id IS NULL OR t.id = k.team_id)"
                     " WHERE k.id = $1 ORDER BY t.id LIMIT 1000",
                     1},
    [KEYS_TOUCH] = {"keys_touch",
                    "UPDATE api_keys SET last_used_at = now()"
                    " WHERE id = $1 AND coalesce(last_used_at < now() - interval '1 minute', true)",
                    1},
    [KEYS_CREATE] = {"keys_create",
                     "INSERT INTO api_keys (id, secret_hash, user_id, team_id, name, scopes, expires_at)"
                     " SELECT $1, $2::bytea, u.id, t.id, $5, $6::text[], from_us(nullif($7::bigint, 0))"
                     " FROM users u LEFT JOIN (teams t JOIN team_members m ON m.team_id = t.id)"
                     " ON t.slug = $4::text AND m.user_id = u.id"
                     " WHERE lower(u.email) = lower($3) AND ($4::text IS NULL OR t.id IS NOT NULL) RETURNING id",
                     7},
    [KEYS_LIST] = {"keys_list",
                   "SELECT k.id, k.name, u.email, t.slug, array_to_string(k.scopes, ','), to_us(k.created_at),"
                   " to_us(k.expires_at), to_us(k.last_used_at), to_us(k.revoked_at)"
                   " FROM api_keys k JOIN users u ON u.id = k.user_id LEFT JOIN teams t ON t.id = k.team_id"
                   " WHERE $1::text IS NULL OR lower(u.email) = lower($1) ORDER BY k.created_at DESC, k.id LIMIT 1000",
                   1},
    [KEYS_REVOKE] = {"keys_revoke",
                     "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id", 1},
};
/* clang-format on */
const struct db_stmts db_keys_stmts = {keys_stmts, ARRAY_LEN(keys_stmts)};

void keys_add_lookup(struct db_tx *tx, const char *id)
{
    tx_add(tx, &keys_stmts[KEYS_LOOKUP]);
    tx_text(tx, id);
}

int keys_decode(const struct db_tx *tx, unsigned stmt, struct arena *a, struct key_row *out)
{
    int rows = tx_rows(tx, stmt);
    struct key_row k = {0};
    uint8_t *hash;
    size_t len;

    if (rows == 0)
        return -ENOENT;
    int r = tx_col_bytes(tx, stmt, 0, 0, a, &hash, &len);

    if (r < 0 || len != sizeof(k.secret_hash))
        return r < 0 ? r : -EINVAL;
    memcpy(k.secret_hash, hash, len);
    k.reads = tx_col_bool(tx, stmt, 0, 1);
    k.writes = tx_col_bool(tx, stmt, 0, 2);
    k.dead = tx_col_bool(tx, stmt, 0, 3);
    k.touch = tx_col_bool(tx, stmt, 0, 4);
    k.user_id = tx_col_i64(tx, stmt, 0, 5);
    struct key_team *teams = arena_alloc(a, (size_t)rows * sizeof(*teams));

    if (!teams)
        return -ENOMEM;
    if (!tx_col_null(tx, stmt, 0, 6))
        k.teams_count = (size_t)rows;
    k.home = k.teams_count;
    for (size_t i = 0; i < k.teams_count; i++) {
        teams[i].id = tx_col_i64(tx, stmt, (int)i, 6);
        teams[i].slug = tx_col_dup(tx, stmt, (int)i, 7, a);
        if (!teams[i].slug)
            return -ENOMEM;
        if (tx_col_bool(tx, stmt, (int)i, 8))
            k.home = i;
    }
    k.teams = teams;
    *out = k;
    return 0;
}

void keys_add_touch(struct db_tx *tx, const char *id)
{
    tx_add(tx, &keys_stmts[KEYS_TOUCH]);
    tx_text(tx, id);
}

void keys_add_create(struct db_tx *tx, const char *id, const uint8_t hash[32], const char *email,
                     const char *team_slug, const char *name, const char *const *scopes,
                     size_t scopes_count, int64_t expires_us)
{
    tx_add(tx, &keys_stmts[KEYS_CREATE]);
    tx_text(tx, id);
    tx_bytes(tx, hash, 32);
    tx_text(tx, email);
    tx_text(tx, team_slug);
    tx_text(tx, name);
    tx_texts(tx, scopes, scopes_count);
    tx_i64(tx, expires_us);
}

void keys_add_list(struct db_tx *tx, const char *email)
{
    tx_add(tx, &keys_stmts[KEYS_LIST]);
    tx_text(tx, email);
}

void keys_add_revoke(struct db_tx *tx, const char *id)
{
    tx_add(tx, &keys_stmts[KEYS_REVOKE]);
    tx_text(tx, id);
}
