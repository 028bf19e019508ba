/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes - statements on table sandboxes for the API's reads and edits. */
#include "control/db/sandboxes.h"
#include <errno.h>
#include "common/base/arena.h"
#include "control/db/tx.h"

enum {
    SANDBOXES_GET,
    SANDBOXES_LIST_LIVE,
    SANDBOXES_LIST_STATES,
    SANDBOXES_PATCH,
    SANDBOXES_DEADLINE
};

/* SQL keeps its own lines. */
/* clang-format off */
/* Newest first over several teams: one short index scan a team, then merged. */
#define LIST_QUERY(condition)                                                                                          \
    "SELECT " SANDBOX_COLUMNS " FROM (SELECT x.* FROM unnest($1::bigint[]) AS u(team_id) CROSS JOIN LATERAL"           \
    " (SELECT * FROM sandboxes y WHERE y.team_id = u.team_id AND " condition                                           \
    " AND ($2::jsonb IS NULL OR y.metadata @> $2::jsonb) AND y.id < $3::bigint"                                        \
    " ORDER BY y.id DESC LIMIT $4::bigint) x ORDER BY x.id DESC LIMIT $4::bigint) s" SANDBOX_JOINS                     \
    " ORDER BY s.id DESC"

static const struct db_stmt sandboxes_stmts[] = {
    [SANDBOXES_GET] = {"sandboxes_get",
                       "SELECT " SANDBOX_COLUMNS " FROM sandboxes s" SANDBOX_JOINS
                       " WHERE s.id = $1 AND s.team_id = ANY ($2::bigint[])",
                       2},
    [SANDBOXES_LIST_LIVE] = {"sandboxes_list_live", LIST_QUERY("y.state NOT IN ('failed', 'destroyed')"), 4},
    [SANDBOXES_LIST_STATES] = {"sandboxes_list_states", LIST_QUERY("y.state = ANY ($5::text[])"), 5},
    [SANDBOXES_PATCH] = {"sandboxes_patch",
                         "WITH s AS (UPDATE sandboxes SET name = coalesce($3, name),"
                         " metadata = coalesce($4::jsonb, metadata), keep_hot = coalesce($5::boolean, keep_hot)"
                         " WHERE id = $1 AND team_id = ANY ($2::bigint[]) AND state NOT IN ('failed', 'destroyed')"
                         " RETURNING *) SELECT " SANDBOX_COLUMNS " FROM s" SANDBOX_JOINS,
                         5},
    [SANDBOXES_DEADLINE] =
        {"sandboxes_deadline",
         "WITH s AS (UPDATE sandboxes SET deadline_at = CASE WHEN $4::boolean"
         " THEN greatest(deadline_at, now() + coalesce(nullif($3::bigint, 0), timeout_s) * interval '1 second')"
         " ELSE now() + coalesce(nullif($3::bigint, 0), timeout_s) * interval '1 second' END,"
         " timeout_s = coalesce(nullif($3::bigint, 0), timeout_s)"
         " WHERE id = $1 AND team_id = ANY ($2::bigint[]) AND state = 'ready' AND deadline_at > now() RETURNING *)"
         " SELECT " SANDBOX_COLUMNS " FROM s" SANDBOX_JOINS,
         4},
};
/* clang-format on */
const struct db_stmts db_sandboxes_stmts = {sandboxes_stmts, ARRAY_LEN(sandboxes_stmts)};

int sandbox_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                   struct sandbox_row *out)
{
    int c = 0;
    struct sandbox_row s = {0};

    s.id = tx_col_i64(tx, stmt, row, c++);
    s.team_id = tx_col_i64(tx, stmt, row, c++);
    s.team = tx_col_dup(tx, stmt, row, c++, a);
    s.name = tx_col_dup(tx, stmt, row, c++, a);
    s.state = tx_col_dup(tx, stmt, row, c++, a);
    s.generation = tx_col_i64(tx, stmt, row, c++);
    s.host_id = tx_col_i64(tx, stmt, row, c++);
    s.on_host = tx_col_bool(tx, stmt, row, c++);
    s.template_id = tx_col_i64(tx, stmt, row, c++);
    s.version_id = tx_col_i64(tx, stmt, row, c++);
    s.template_slug = tx_col_dup(tx, stmt, row, c++, a);
    s.template_name = tx_col_dup(tx, stmt, row, c++, a);
    s.version = tx_col_dup(tx, stmt, row, c++, a);
    s.route_token = tx_col_dup(tx, stmt, row, c++, a);
    s.cpu_count = tx_col_i64(tx, stmt, row, c++);
    s.memory_mb = tx_col_i64(tx, stmt, row, c++);
    s.timeout_s = tx_col_i64(tx, stmt, row, c++);
    s.deadline_us = tx_col_i64(tx, stmt, row, c++);
    s.created_us = tx_col_i64(tx, stmt, row, c++);
    s.started_us = tx_col_i64(tx, stmt, row, c++);
    s.ended_us = tx_col_i64(tx, stmt, row, c++);
    s.on_timeout = tx_col_dup(tx, stmt, row, c++, a);
    s.auto_resume = tx_col_bool(tx, stmt, row, c++);
    s.keep_hot = tx_col_bool(tx, stmt, row, c++);
    s.metadata = tx_col_dup(tx, stmt, row, c++, a);
    s.network = tx_col_dup(tx, stmt, row, c++, a);
    s.end_reason = tx_col_dup(tx, stmt, row, c++, a);
    if (!s.team || !s.name || !s.state || !s.template_slug || !s.template_name || !s.version ||
        !s.route_token || !s.on_timeout || !s.metadata || !s.network)
        return -ENOMEM;
    *out = s;
    return 0;
}

void sandboxes_add_get(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count)
{
    tx_add(tx, &sandboxes_stmts[SANDBOXES_GET]);
    tx_i64(tx, id);
    tx_i64s(tx, teams, teams_count);
}

void sandboxes_add_list(struct db_tx *tx, const struct sandbox_filter *f)
{
    tx_add(tx, &sandboxes_stmts[f->states ? SANDBOXES_LIST_STATES : SANDBOXES_LIST_LIVE]);
    tx_i64s(tx, f->teams, f->teams_count);
    tx_text(tx, f->metadata);
    tx_i64(tx, f->before_id);
    tx_i64(tx, f->limit);
    if (f->states)
        tx_texts(tx, f->states, f->states_count);
}

void sandboxes_add_patch(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count,
                         const struct sandbox_patch *p)
{
    tx_add(tx, &sandboxes_stmts[SANDBOXES_PATCH]);
    tx_i64(tx, id);
    tx_i64s(tx, teams, teams_count);
    tx_text(tx, p->name);
    tx_text(tx, p->metadata);
    if (p->keep_hot)
        tx_bool(tx, *p->keep_hot);
    else
        tx_null(tx);
}

void sandboxes_add_deadline(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count,
                            int64_t timeout_s, bool extend_only)
{
    tx_add(tx, &sandboxes_stmts[SANDBOXES_DEADLINE]);
    tx_i64(tx, id);
    tx_i64s(tx, teams, teams_count);
    tx_i64(tx, timeout_s);
    tx_bool(tx, extend_only);
}
