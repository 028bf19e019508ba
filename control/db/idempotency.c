/* SPDX-License-Identifier: Apache-2.0 */
/* idempotency - statements of table idempotency_keys. */
#include "control/db/idempotency.h"
#include <errno.h>
#include <string.h>
#include "control/db/tx.h"

enum { IDEM_BEGIN, IDEM_BIND, IDEM_FINISH, IDEM_DROP, IDEM_DROP_TOKEN, IDEM_GET, IDEM_PURGE };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt idem_stmts[] = {
    [IDEM_BEGIN] = {"idempotency_begin",
                    "INSERT INTO idempotency_keys (team_id, key, request_hash, expires_at)"
                    " VALUES ($1, $2, $3::bytea, now() + $4::bigint * interval '1 second')",
                    4},
    [IDEM_BIND] = {"idempotency_bind",
                   "UPDATE idempotency_keys SET sandbox_id = currval('sandboxes_id_seq')"
                   " WHERE team_id = $1 AND key = $2 AND answer_box IS NULL",
                   2},
    [IDEM_FINISH] = {"idempotency_finish",
                     "UPDATE idempotency_keys SET status = $3, answer_box = $4::bytea"
                     " WHERE team_id = $1 AND key = $2 AND answer_box IS NULL",
                     4},
    [IDEM_DROP] = {"idempotency_drop", "DELETE FROM idempotency_keys k USING sandboxes s WHERE k.sandbox_id = $1 AND k.answer_box IS NULL"
                   " AND s.id = k.sandbox_id AND s.state IN ('failed', 'destroyed')",
                   1},
    [IDEM_DROP_TOKEN] = {"idempotency_drop_token",
                         "DELETE FROM idempotency_keys k USING sandboxes s WHERE s.route_token = $1 AND k.sandbox_id = s.id"
                         " AND k.answer_box IS NULL AND s.state IN ('failed', 'destroyed')",
                         1},
    [IDEM_GET] = {"idempotency_get",
                  "SELECT request_hash, status, answer_box FROM idempotency_keys WHERE team_id = $1 AND key = $2", 2},
    [IDEM_PURGE] = {"idempotency_purge",
                    "DELETE FROM idempotency_keys WHERE (team_id, key) IN (SELECT team_id, key FROM idempotency_keys"
                    " WHERE expires_at < now() LIMIT 1000 FOR UPDATE SKIP LOCKED)",
                    0},
};
/* clang-format on */
const struct db_stmts db_idempotency_stmts = {idem_stmts, ARRAY_LEN(idem_stmts)};

void idempotency_add_begin(struct db_tx *tx, int64_t team_id, const char *key,
                           const uint8_t hash[32], int64_t keep_s)
{
    tx_add(tx, &idem_stmts[IDEM_BEGIN]);
    tx_i64(tx, team_id);
    tx_text(tx, key);
    tx_bytes(tx, hash, 32);
    tx_i64(tx, keep_s);
}

void idempotency_add_bind_new_sandbox(struct db_tx *tx, int64_t team_id, const char *key)
{
    tx_add(tx, &idem_stmts[IDEM_BIND]);
    tx_i64(tx, team_id);
    tx_text(tx, key);
}

void idempotency_add_finish(struct db_tx *tx, int64_t team_id, const char *key, int64_t status,
                            const void *box, size_t len)
{
    tx_add(tx, &idem_stmts[IDEM_FINISH]);
    tx_i64(tx, team_id);
    tx_text(tx, key);
    tx_i64(tx, status);
    tx_bytes(tx, box, len);
}

void idempotency_add_drop_of_sandbox(struct db_tx *tx, int64_t sandbox_id)
{
    tx_add(tx, &idem_stmts[IDEM_DROP]);
    tx_i64(tx, sandbox_id);
}

void idempotency_add_drop_of_token(struct db_tx *tx, const char *route_token)
{
    tx_add(tx, &idem_stmts[IDEM_DROP_TOKEN]);
    tx_text(tx, route_token);
}

void idempotency_add_get(struct db_tx *tx, int64_t team_id, const char *key)
{
    tx_add(tx, &idem_stmts[IDEM_GET]);
    tx_i64(tx, team_id);
    tx_text(tx, key);
}

int idempotency_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                       struct idempotency_row *out)
{
    struct idempotency_row row = {0};
    uint8_t *p;
    size_t len;

    if (tx_rows(tx, stmt) == 0)
        return -ENOENT;
    int r = tx_col_bytes(tx, stmt, 0, 0, a, &p, &len);

    if (r < 0 || len != sizeof(row.request_hash))
        return r < 0 ? r : -EINVAL;
    memcpy(row.request_hash, p, len);
    row.status = tx_col_i64(tx, stmt, 0, 1);
    if (row.status) {
        r = tx_col_bytes(tx, stmt, 0, 2, a, &p, &len);
        if (r < 0)
            return r;
        row.answer_box = p;
        row.answer_len = len;
    }
    *out = row;
    return 0;
}

void idempotency_add_purge(struct db_tx *tx)
{
    tx_add(tx, &idem_stmts[IDEM_PURGE]);
}
