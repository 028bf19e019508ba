/* SPDX-License-Identifier: Apache-2.0 */
/* jobs - statements of table jobs. */
#include "control/db/jobs.h"
#include "common/base/attr.h"
#include "control/db/tx.h"

enum { JOBS_PERIODIC, JOBS_CLAIM, JOBS_DONE_ONCE, JOBS_DONE_PERIODIC, JOBS_FAILED };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt jobs_stmts[] = {
    [JOBS_PERIODIC] = {"jobs_periodic",
                       "INSERT INTO jobs (kind, every_ms) VALUES ($1, $2)"
                       " ON CONFLICT (kind, subject) DO UPDATE SET every_ms = excluded.every_ms"
                       " WHERE jobs.every_ms <> excluded.every_ms",
                       2},
    [JOBS_CLAIM] = {"jobs_claim",
                    "UPDATE jobs SET lease_until = now() + $2::bigint * interval '1 millisecond', claim = claim + 1"
                    " WHERE id = (SELECT id FROM jobs WHERE run_at <= now() AND kind = ANY ($1::text[])"
                    " AND (lease_until IS NULL OR lease_until < now()) ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
                    " RETURNING id, kind, subject, claim",
                    2},
    [JOBS_DONE_ONCE] = {"jobs_done_once", "DELETE FROM jobs WHERE id = $1 AND claim = $2 AND every_ms IS NULL", 2},
    [JOBS_DONE_PERIODIC] = {"jobs_done_periodic",
                            "UPDATE jobs SET run_at = now() + every_ms * interval '1 millisecond', lease_until = NULL,"
                            " failures = 0, last_error = NULL WHERE id = $1 AND claim = $2 AND every_ms IS NOT NULL",
                            2},
    [JOBS_FAILED] = {"jobs_failed",
                     "UPDATE jobs SET run_at = now() + least(60, 2 ^ least(failures, 6)) * interval '1 second',"
                     " lease_until = NULL, failures = failures + 1, last_error = $3 WHERE id = $1 AND claim = $2",
                     3},
};
/* clang-format on */
const struct db_stmts db_jobs_stmts = {jobs_stmts, ARRAY_LEN(jobs_stmts)};

void jobs_add_periodic(struct db_tx *tx, const char *kind, int64_t every_ms)
{
    tx_add(tx, &jobs_stmts[JOBS_PERIODIC]);
    tx_text(tx, kind);
    tx_i64(tx, every_ms);
}

void jobs_add_claim(struct db_tx *tx, const char *const *kinds, size_t kinds_count,
                    int64_t lease_ms)
{
    tx_add(tx, &jobs_stmts[JOBS_CLAIM]);
    tx_texts(tx, kinds, kinds_count);
    tx_i64(tx, lease_ms);
}

void jobs_add_done(struct db_tx *tx, int64_t id, int64_t claim)
{
    tx_add(tx, &jobs_stmts[JOBS_DONE_ONCE]);
    tx_i64(tx, id);
    tx_i64(tx, claim);
    tx_add(tx, &jobs_stmts[JOBS_DONE_PERIODIC]);
    tx_i64(tx, id);
    tx_i64(tx, claim);
}

void jobs_add_failed(struct db_tx *tx, int64_t id, int64_t claim, const char *error)
{
    tx_add(tx, &jobs_stmts[JOBS_FAILED]);
    tx_i64(tx, id);
    tx_i64(tx, claim);
    tx_text(tx, error);
}
