/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* command - what the operator's commands share: their table, their options, their way to the
 * database and their output. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/json/json.h"

struct arena;
struct db;
struct db_tx;
struct err;

struct admin_options { /* NULL: not given */
    const char *config;
    const char *email, *name, *slug, *team, *role, *scopes, *expires, *host, *manifest;
    const char *sandboxes, *vcpus, *memory_mb;
    const char *id; /* the argument without a name: an id or a host's name */
};

struct admin {
    struct arena *arena;
    struct db *db;
    struct admin_options opt;
    bool json;             /* a JSON object on stdout instead of text */
    struct json_writer *w; /* of that object; open while a command runs with json */
};

struct admin_command {
    const char *noun, *verb;
    const char *usage; /* the arguments */
    const char *help;  /* one sentence */
    const char
        *required; /* names of options, spaces between; "id" is the argument without a name */
    const char *optional;
    int (*run)(struct admin *x, struct err *e);
};

/* Ends with a NULL noun. */
extern const struct admin_command admin_people[], admin_keys[], admin_hosts[], admin_templates[];

/* Runs tx; 0 or an error in words. *out is released with tx_release(). */
int admin_run(struct admin *x, struct db_tx *tx, struct db_tx **out, struct err *e) must_check;
/* As above; a violated constraint of that name is `taken`'s words. */
int admin_run_unique(struct admin *x, struct db_tx *tx, const char *const (*taken)[2],
                     struct db_tx **out, struct err *e) must_check;
/* "2026-12-31T00:00:00Z", or "30d" / "12h" from now; NULL: 0. */
int admin_expiry(const char *text, int64_t *us, struct err *e) must_check;
/* A time for people: RFC 3339, or "-" for 0. */
const char *admin_time(int64_t us, char out[32]);
void admin_json_time(struct admin *x, const char *key, int64_t us); /* null for 0 */
