/* SPDX-License-Identifier: Apache-2.0 */
/* quotas - statements of table team_quotas. */
#include "control/db/quotas.h"
#include <errno.h>
#include "control/db/tx.h"

enum { QUOTAS_GET, QUOTAS_SET, QUOTAS_AUDIT };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt quotas_stmts[] = {
    [QUOTAS_GET] = {"quotas_get",
                    "SELECT max_sandboxes, max_vcpus, max_memory_mb, used_sandboxes, used_vcpus, used_memory_mb"
                    " FROM team_quotas WHERE team_id = $1",
                    1},
    [QUOTAS_SET] = {"quotas_set",
                    "UPDATE team_quotas q SET max_sandboxes = coalesce(nullif($2::bigint, -1), max_sandboxes),"
                    " max_vcpus = coalesce(nullif($3::bigint, -1), max_vcpus),"
                    " max_memory_mb = coalesce(nullif($4::bigint, -1), max_memory_mb)"
                    " FROM teams t WHERE t.slug = $1 AND q.team_id = t.id RETURNING t.id",
                    4},
    [QUOTAS_AUDIT] =
        {"quotas_audit",
         "SELECT 'team', t.slug FROM team_quotas q JOIN teams t ON t.id = q.team_id"
         " LEFT JOIN (SELECT team_id, sum(sandbox_counts(state)) AS n, sum(sandbox_runs(state) * cpu_count) AS c,"
         " sum(sandbox_runs(state) * memory_mb) AS m FROM sandboxes GROUP BY team_id) s ON s.team_id = q.team_id"
         " WHERE (q.used_sandboxes, q.used_vcpus, q.used_memory_mb)"
         " <> (coalesce(s.n, 0), coalesce(s.c, 0), coalesce(s.m, 0))"
         " UNION ALL SELECT 'host', h.name FROM hosts h LEFT JOIN (SELECT host_id, count(*) AS n, sum(cpu_count) AS c,"
         " sum(memory_mb) AS m FROM sandboxes WHERE on_host GROUP BY host_id) s ON s.host_id = h.id"
         " WHERE (h.reserved_vms, h.reserved_vcpus, h.reserved_memory_mb)"
         " <> (coalesce(s.n, 0), coalesce(s.c, 0), coalesce(s.m, 0))",
         0},
};
/* clang-format on */
const struct db_stmts db_quotas_stmts = {quotas_stmts, ARRAY_LEN(quotas_stmts)};

void quotas_add_get(struct db_tx *tx, int64_t team_id)
{
    tx_add(tx, &quotas_stmts[QUOTAS_GET]);
    tx_i64(tx, team_id);
}

int quotas_decode(const struct db_tx *tx, unsigned stmt, struct quota_row *out)
{
    if (tx_rows(tx, stmt) == 0)
        return -ENOENT;
    *out = (struct quota_row){
        .max_sandboxes = tx_col_i64(tx, stmt, 0, 0),
        .max_vcpus = tx_col_i64(tx, stmt, 0, 1),
        .max_memory_mb = tx_col_i64(tx, stmt, 0, 2),
        .used_sandboxes = tx_col_i64(tx, stmt, 0, 3),
        .used_vcpus = tx_col_i64(tx, stmt, 0, 4),
        .used_memory_mb = tx_col_i64(tx, stmt, 0, 5),
    };
    return 0;
}

void quotas_add_set(struct db_tx *tx, const char *team_slug, int64_t sandboxes, int64_t vcpus,
                    int64_t memory_mb)
{
    tx_add(tx, &quotas_stmts[QUOTAS_SET]);
    tx_text(tx, team_slug);
    tx_i64(tx, sandboxes);
    tx_i64(tx, vcpus);
    tx_i64(tx, memory_mb);
}

void quotas_add_audit(struct db_tx *tx)
{
    tx_add(tx, &quotas_stmts[QUOTAS_AUDIT]);
}
