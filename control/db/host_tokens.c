/* SPDX-License-Identifier: Apache-2.0 */
/* host_tokens - statements of table host_tokens. */
#include "control/db/host_tokens.h"
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "control/db/tx.h"

enum { TOKENS_LOOKUP, TOKENS_TOUCH, TOKENS_CREATE, TOKENS_LIST, TOKENS_REVOKE };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt tokens_stmts[] = {
    [TOKENS_LOOKUP] = {"host_tokens_lookup",
                       "SELECT secret_hash, host_name, revoked_at IS NOT NULL OR coalesce(expires_at <= now(), false)"
                       " FROM host_tokens WHERE id = $1",
                       1},
    [TOKENS_TOUCH] = {"host_tokens_touch",
                      "UPDATE host_tokens SET last_used_at = now()"
                      " WHERE id = $1 AND coalesce(last_used_at < now() - interval '1 minute', true)",
                      1},
    [TOKENS_CREATE] = {"host_tokens_create",
                       "INSERT INTO host_tokens (id, secret_hash, host_name, expires_at)"
                       " VALUES ($1, $2::bytea, $3, from_us(nullif($4::bigint, 0)))",
                       4},
    [TOKENS_LIST] = {"host_tokens_list",
                     "SELECT id, host_name, to_us(created_at), to_us(expires_at), to_us(last_used_at), to_us(revoked_at)"
                     " FROM host_tokens ORDER BY created_at DESC, id LIMIT 1000",
                     0},
    [TOKENS_REVOKE] = {"host_tokens_revoke",
                       "UPDATE host_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id", 1},
};
/* clang-format on */
const struct db_stmts db_host_tokens_stmts = {tokens_stmts, ARRAY_LEN(tokens_stmts)};

void host_tokens_add_lookup(struct db_tx *tx, const char *id)
{
    tx_add(tx, &tokens_stmts[TOKENS_LOOKUP]);
    tx_text(tx, id);
    tx_add(tx, &tokens_stmts[TOKENS_TOUCH]);
    tx_text(tx, id);
}

int host_tokens_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                       struct host_token_row *out)
{
    struct host_token_row t = {0};
    uint8_t *hash;
    size_t len;

    if (tx_rows(tx, stmt) == 0)
        return -ENOENT;
    int r = tx_col_bytes(tx, stmt, 0, 0, a, &hash, &len);

    if (r < 0 || len != sizeof(t.secret_hash))
        return r < 0 ? r : -EINVAL;
    memcpy(t.secret_hash, hash, len);
    t.host_name = tx_col_dup(tx, stmt, 0, 1, a);
    if (!t.host_name)
        return -ENOMEM;
    t.dead = tx_col_bool(tx, stmt, 0, 2);
    *out = t;
    return 0;
}

void host_tokens_add_create(struct db_tx *tx, const char *id, const uint8_t hash[32],
                            const char *host_name, int64_t expires_us)
{
    tx_add(tx, &tokens_stmts[TOKENS_CREATE]);
    tx_text(tx, id);
    tx_bytes(tx, hash, 32);
    tx_text(tx, host_name);
    tx_i64(tx, expires_us);
}

void host_tokens_add_list(struct db_tx *tx)
{
    tx_add(tx, &tokens_stmts[TOKENS_LIST]);
}

void host_tokens_add_revoke(struct db_tx *tx, const char *id)
{
    tx_add(tx, &tokens_stmts[TOKENS_REVOKE]);
    tx_text(tx, id);
}
