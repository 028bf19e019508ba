/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes_life - statements that begin, move and end sandboxes. */
#include "control/db/sandboxes_life.h"
#include <errno.h>
#include "common/base/arena.h"
#include "control/db/tx.h"

enum {
    LIFE_INSERT,
    LIFE_PLACE,
    LIFE_READY,
    LIFE_END,
    LIFE_REAP,
    LIFE_END_UNSURE,
    LIFE_DESTROY,
    LIFE_OFF_HOST,
    LIFE_OF_HOST,
    LIFE_MISSING,
    LIFE_SEEN,
    LIFE_EXPIRED,
    LIFE_OVERDUE,
};

/* SQL keeps its own lines. */
/* clang-format off */
#define LIFE_COLUMNS                                                                                                   \
    "s.id, s.generation, s.host_id, s.state, s.on_host, coalesce(s.lease_until < now(), false), to_us(s.deadline_at),"  \
    " coalesce((extract(epoch FROM now() - s.missing_since) * 1000)::bigint, -1), s.on_timeout"

static const struct db_stmt life_stmts[] = {
    [LIFE_INSERT] =
        {"life_insert",
         "INSERT INTO sandboxes (team_id, created_by_key, name, state, lease_until, host_id, on_host, template_id,"
         " template_version_id, route_token, cpu_count, memory_mb, timeout_s, deadline_at, on_timeout, auto_resume,"
         " keep_hot, metadata, network, env_box)"
         " VALUES ($1, $2, $3, 'creating', now() + $17::bigint * interval '1 millisecond', $4, true, $5, $6, $7, $8, $9,"
         " $10::integer, now() + $10::integer * interval '1 second', $11, $12, $13, $14::jsonb, $15::jsonb, $16::bytea)"
         " RETURNING id, to_us(created_at), to_us(deadline_at)",
         17},
    [LIFE_PLACE] = {"life_place",
                    "UPDATE sandboxes SET host_id = $3, on_host = true, generation = generation + 1, missing_since = NULL"
                    " WHERE id = $1 AND generation = $2 AND state = 'creating' RETURNING generation",
                    3},
    [LIFE_READY] = {"life_ready",
                    "UPDATE sandboxes SET state = 'ready', lease_until = NULL, missing_since = NULL,"
                    " started_at = coalesce(started_at, from_us($3::bigint))"
                    " WHERE id = $1 AND generation = $2 AND state IN ('creating', 'ready')",
                    3},
    [LIFE_END] = {"life_end",
                  "UPDATE sandboxes SET state = $3, lease_until = NULL, ended_at = now(), end_reason = $4, end_message = $5"
                  " WHERE id = $1 AND generation = $2 AND state NOT IN ('failed', 'destroyed')",
                  5},
    [LIFE_REAP] = {"life_reap",
                   "UPDATE sandboxes SET state = $3, lease_until = NULL, ended_at = now(), end_reason = $4, end_message = $5"
                   " WHERE id = $1 AND generation = $2"
                   " AND (lease_until < now() OR (state = 'ready' AND deadline_at < now()))",
                   5},
    [LIFE_END_UNSURE] = {"life_end_unsure",
                         "UPDATE sandboxes SET state = 'failed', lease_until = NULL, ended_at = now(), end_reason = $2,"
                         " end_message = $3 WHERE route_token = $1 AND state = 'creating'",
                         3},
    [LIFE_DESTROY] =
        {"life_destroy",
         "WITH old AS (SELECT id, state, host_id, generation, on_host FROM sandboxes"
         " WHERE id = $1 AND team_id = ANY ($2::bigint[]) FOR UPDATE),"
         " s AS (UPDATE sandboxes SET state = 'destroyed', lease_until = NULL, ended_at = coalesce(ended_at, now()),"
         " end_reason = coalesce(end_reason, 'killed') WHERE id = (SELECT id FROM old WHERE state <> 'destroyed'))"
         " SELECT state, host_id, generation, on_host FROM old",
         2},
    [LIFE_OFF_HOST] = {"life_off_host",
                       "UPDATE sandboxes SET on_host = false, missing_since = NULL"
                       " WHERE id = $1 AND generation = $2 AND on_host AND state IN ('failed', 'destroyed')",
                       2},
    [LIFE_OF_HOST] = {"life_of_host",
                      "SELECT " LIFE_COLUMNS " FROM sandboxes s WHERE s.on_host AND s.host_id ="
                      " (SELECT id FROM hosts WHERE name = $1) UNION ALL"
                      " SELECT " LIFE_COLUMNS " FROM sandboxes s WHERE s.id = ANY ($2::bigint[])"
                      " AND NOT (s.on_host AND s.host_id IS NOT DISTINCT FROM (SELECT id FROM hosts WHERE name = $1))",
                      2},
    [LIFE_MISSING] = {"life_missing",
                      "UPDATE sandboxes SET missing_since = now() WHERE id = ANY ($1::bigint[]) AND missing_since IS NULL",
                      1},
    [LIFE_SEEN] = {"life_seen",
                   "UPDATE sandboxes SET missing_since = NULL WHERE id = ANY ($1::bigint[]) AND missing_since IS NOT NULL",
                   1},
    [LIFE_EXPIRED] = {"life_expired",
                      "SELECT " LIFE_COLUMNS " FROM sandboxes s WHERE s.lease_until < now() ORDER BY s.lease_until LIMIT $1",
                      1},
    [LIFE_OVERDUE] = {"life_overdue",
                      "SELECT " LIFE_COLUMNS " FROM sandboxes s WHERE s.state = 'ready'"
                      " AND s.deadline_at < now() - $1::bigint * interval '1 millisecond' ORDER BY s.deadline_at LIMIT $2",
                      2},
};
/* clang-format on */
const struct db_stmts db_sandboxes_life_stmts = {life_stmts, ARRAY_LEN(life_stmts)};

void life_add_insert(struct db_tx *tx, const struct sandbox_new *s)
{
    tx_add(tx, &life_stmts[LIFE_INSERT]);
    tx_i64(tx, s->team_id);
    tx_text(tx, s->key_id);
    tx_text(tx, s->name);
    tx_i64(tx, s->host_id);
    tx_i64(tx, s->template_id);
    tx_i64(tx, s->version_id);
    tx_text(tx, s->route_token);
    tx_i64(tx, s->cpu_count);
    tx_i64(tx, s->memory_mb);
    tx_i64(tx, s->timeout_s);
    tx_text(tx, s->on_timeout);
    tx_bool(tx, s->auto_resume);
    tx_bool(tx, s->keep_hot);
    tx_text(tx, s->metadata);
    tx_text(tx, s->network);
    tx_bytes(tx, s->env_box, s->env_len);
    tx_i64(tx, s->lease_ms);
}

void life_add_place(struct db_tx *tx, int64_t id, int64_t generation, int64_t host_id)
{
    tx_add(tx, &life_stmts[LIFE_PLACE]);
    tx_i64(tx, id);
    tx_i64(tx, generation);
    tx_i64(tx, host_id);
}

void life_add_ready(struct db_tx *tx, int64_t id, int64_t generation, int64_t started_us)
{
    tx_add(tx, &life_stmts[LIFE_READY]);
    tx_i64(tx, id);
    tx_i64(tx, generation);
    tx_i64(tx, started_us);
}

static void life_add_ending(struct db_tx *tx, const struct db_stmt *how, int64_t id,
                            int64_t generation, const char *state, const char *reason,
                            const char *message)
{
    tx_add(tx, how);
    tx_i64(tx, id);
    tx_i64(tx, generation);
    tx_text(tx, state);
    tx_text(tx, reason);
    tx_text(tx, message);
}

void life_add_end(struct db_tx *tx, int64_t id, int64_t generation, const char *state,
                  const char *reason, const char *message)
{
    life_add_ending(tx, &life_stmts[LIFE_END], id, generation, state, reason, message);
}

void life_add_reap(struct db_tx *tx, int64_t id, int64_t generation, const char *state,
                   const char *reason, const char *message)
{
    life_add_ending(tx, &life_stmts[LIFE_REAP], id, generation, state, reason, message);
}

void life_add_end_unsure(struct db_tx *tx, const char *route_token, const char *reason,
                         const char *message)
{
    tx_add(tx, &life_stmts[LIFE_END_UNSURE]);
    tx_text(tx, route_token);
    tx_text(tx, reason);
    tx_text(tx, message);
}

void life_add_destroy(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count)
{
    tx_add(tx, &life_stmts[LIFE_DESTROY]);
    tx_i64(tx, id);
    tx_i64s(tx, teams, teams_count);
}

void life_add_off_host(struct db_tx *tx, int64_t id, int64_t generation)
{
    tx_add(tx, &life_stmts[LIFE_OFF_HOST]);
    tx_i64(tx, id);
    tx_i64(tx, generation);
}

void life_add_of_host(struct db_tx *tx, const char *host, const int64_t *ids, size_t ids_count)
{
    tx_add(tx, &life_stmts[LIFE_OF_HOST]);
    tx_text(tx, host);
    tx_i64s(tx, ids, ids_count);
}

int life_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                struct life_row *out)
{
    struct life_row s = {
        .id = tx_col_i64(tx, stmt, row, 0),
        .generation = tx_col_i64(tx, stmt, row, 1),
        .host_id = tx_col_i64(tx, stmt, row, 2),
        .state = tx_col_dup(tx, stmt, row, 3, a),
        .on_host = tx_col_bool(tx, stmt, row, 4),
        .lease_expired = tx_col_bool(tx, stmt, row, 5),
        .deadline_us = tx_col_i64(tx, stmt, row, 6),
        .missing_ms = tx_col_i64(tx, stmt, row, 7),
        .on_timeout = tx_col_dup(tx, stmt, row, 8, a),
    };

    if (!s.state || !s.on_timeout)
        return -ENOMEM;
    *out = s;
    return 0;
}

void life_add_missing(struct db_tx *tx, const int64_t *ids, size_t ids_count, bool missing)
{
    tx_add(tx, &life_stmts[missing ? LIFE_MISSING : LIFE_SEEN]);
    tx_i64s(tx, ids, ids_count);
}

void life_add_expired(struct db_tx *tx, int64_t limit)
{
    tx_add(tx, &life_stmts[LIFE_EXPIRED]);
    tx_i64(tx, limit);
}

void life_add_overdue(struct db_tx *tx, int64_t grace_ms, int64_t limit)
{
    tx_add(tx, &life_stmts[LIFE_OVERDUE]);
    tx_i64(tx, grace_ms);
    tx_i64(tx, limit);
}
