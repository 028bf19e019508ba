/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sandboxes - reading sandboxes and changing what users may change. Life and death are in
 * sandboxes_life.h. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_sandboxes_stmts;

struct sandbox_row { /* strings in the arena */
    int64_t id, team_id;
    const char *team, *name, *state;
    int64_t generation;
    int64_t host_id; /* 0: none */
    bool on_host;
    int64_t template_id, version_id;
    const char *template_slug, *template_name, *version;
    const char *route_token;
    int64_t cpu_count, memory_mb, timeout_s;
    int64_t deadline_us, created_us;
    int64_t started_us, ended_us; /* 0: not yet */
    const char *on_timeout;
    bool auto_resume, keep_hot;
    const char *metadata, *network; /* JSON objects */
    const char *end_reason;         /* NULL while it lives */
};

/* clang-format off */
/* The columns of struct sandbox_row from sandboxes s, teams t, templates p, template_versions v. */
#define SANDBOX_COLUMNS                                                                                                \
    "s.id, s.team_id, t.slug, s.name, s.state, s.generation, s.host_id, s.on_host, p.id, v.id, p.slug, p.name, v.version," \
    " s.route_token, s.cpu_count, s.memory_mb, s.timeout_s, to_us(s.deadline_at), to_us(s.created_at),"                \
    " to_us(s.started_at), to_us(s.ended_at), s.on_timeout, s.auto_resume, s.keep_hot, s.metadata, s.network, s.end_reason"
#define SANDBOX_JOINS                                                                                                  \
    " JOIN teams t ON t.id = s.team_id JOIN templates p ON p.id = s.template_id"                                       \
    " JOIN template_versions v ON v.id = s.template_version_id"
/* clang-format on */

int sandbox_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                   struct sandbox_row *out) must_check;

/* One row, or none: not there, or of another team. Destroyed ones are found as well. */
void sandboxes_add_get(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count);

struct sandbox_filter {
    const int64_t *teams;
    size_t teams_count;
    const char *const *states; /* NULL: all that live */
    size_t states_count;
    const char *metadata; /* JSON object that must be contained, or NULL */
    int64_t before_id;    /* only older ones; INT64_MAX: from the newest */
    int64_t limit;
};
void sandboxes_add_list(struct db_tx *tx, const struct sandbox_filter *f);

struct sandbox_patch {
    const char *name;     /* NULL: as it is */
    const char *metadata; /* JSON object; NULL: as it is */
    const bool *keep_hot; /* NULL: as it is */
};
/* One row as for get (the new one), or none. Ended ones are not changed and not found. */
void sandboxes_add_patch(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count,
                         const struct sandbox_patch *p);
/*
 * Deadline = now + timeout_s (0: the sandbox's own), of a ready sandbox. extend_only: never earlier
 * than it is. One row (the new one) or none: not there or not ready.
 */
void sandboxes_add_deadline(struct db_tx *tx, int64_t id, const int64_t *teams, size_t teams_count,
                            int64_t timeout_s, bool extend_only);
