/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandboxes_life - the statements that begin, move and end sandboxes. Each changes a row only from
 * the state it expects, so that a late or repeated call changes nothing. Ending a row leaves
 * on_host as it is: the room on the host is free once the host says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_sandboxes_life_stmts;

struct sandbox_new {
    int64_t team_id;
    const char *key_id, *name;
    int64_t host_id, template_id, version_id;
    const char *route_token;
    int64_t cpu_count, memory_mb, timeout_s;
    const char *on_timeout;
    bool auto_resume, keep_hot;
    const char *metadata, *network; /* JSON objects */
    const void *env_box;            /* NULL: no environment */
    size_t env_len;
    int64_t lease_ms;
};
/* State creating, generation 1, on its host. One row: id, created_us, deadline_us. Raises
 * DB_STATE_QUOTA, DB_STATE_HOST_FULL. */
void life_add_insert(struct db_tx *tx, const struct sandbox_new *s);
/* A creating one goes to another host with the next generation. One row (generation) or none: it is
 * not creating any more. */
void life_add_place(struct db_tx *tx, int64_t id, int64_t generation, int64_t host_id);
/* creating -> ready (again is fine). Affects one row, or none: it was ended meanwhile. */
void life_add_ready(struct db_tx *tx, int64_t id, int64_t generation, int64_t started_us);
/* Any living state -> failed or destroyed. Affects one row, or none. */
void life_add_end(struct db_tx *tx, int64_t id, int64_t generation, const char *state,
                  const char *reason, const char *message);
/* As above, but only while its lease is over, or while it is ready and over its deadline: somebody
 * may have been quicker. */
void life_add_reap(struct db_tx *tx, int64_t id, int64_t generation, const char *state,
                   const char *reason, const char *message);
/* creating -> failed, of the row with this route token, if there is one. */
void life_add_end_unsure(struct db_tx *tx, const char *route_token, const char *reason,
                         const char *message);
/* A user's DELETE: one row (state before, host id or null, generation, on_host), or none: not
 * there. */
void life_add_destroy(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count);
/* The host has no VM of it any more (only of ended ones). */
void life_add_off_host(struct db_tx *tx, int64_t id, int64_t generation);

/* ---- reconcile ---- */
struct life_row {
    int64_t id, generation;
    int64_t host_id;   /* 0: none */
    const char *state; /* arena */
    bool on_host;
    bool lease_expired;
    int64_t deadline_us;
    int64_t missing_ms; /* since the host's reports do not show it; -1: they do */
    const char *on_timeout;
};
/* Rows of the host of that name, and those whose ids are given (a report may name VMs that belong
 * elsewhere or nowhere). */
void life_add_of_host(struct db_tx *tx, const char *host, const int64_t *ids, size_t ids_count);
int life_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                struct life_row *out) must_check;
/* Marks or clears the begin of absence. */
void life_add_missing(struct db_tx *tx, const int64_t *ids, size_t ids_count, bool missing);
/* Transitional rows whose lease is over, and ready ones that are over their deadline by grace_ms:
 * oldest first, struct life_row. */
void life_add_expired(struct db_tx *tx, int64_t limit);
void life_add_overdue(struct db_tx *tx, int64_t grace_ms, int64_t limit);
