/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * launch - the making of a sandbox, from the wish to the row that is ready; undone backwards when a
 * step fails. It lives by itself: a client that goes does not stop it. Steps and their round trips
 * to the database:
 *
 *     place     a host from the fleet
 *     insert    1: idempotency key, quota, row (creating, leased), room on the host
 *     start     the host starts the VM; no room there: another host with the next generation (one
 * more trip) ready     2: row ready, answer kept for the idempotency key undo      row failed, key
 * free again; the VM is ended in the background unsure    the insert got no answer: the client has
 * its 503, the row is looked for and failed
 *
 * A crash in between leaves a row whose lease ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/json/json.h"

struct boxes;
struct buf;
struct db;
struct ender;
struct fleet;
struct host_clients;
struct launch;
struct launches;
struct loop;
struct sandbox_row;

enum {
    LAUNCH_OK,
    LAUNCH_E_QUOTA,
    LAUNCH_E_KEY_USED,    /* the idempotency key stands for another request, running or answered */
    LAUNCH_E_NO_CAPACITY, /* no host has room or the template */
    LAUNCH_E_AWAY,        /* the database */
    LAUNCH_E_TIMEOUT,
    LAUNCH_E_FAILED, /* the host could not */
    LAUNCH_E_ENDED,  /* somebody deleted it while it was made */
};

struct launch_spec { /* all borrowed; copied by launch_start() */
    int64_t team_id;
    const char *team;      /* its id as text: what hosts and gateways see */
    const char *team_slug; /* what users see */
    const char *key_id, *request_id, *actor;
    const char *name;
    int64_t template_id, version_id;
    const char *template_slug, *template_name, *version;
    int64_t cpu_count, memory_mb, timeout_s;
    const char *on_timeout;
    bool auto_resume, keep_hot;
    const char *metadata, *network; /* JSON objects */
    const struct json_map *env;
    const char *idempotency_key; /* NULL: none */
    uint8_t request_hash[32];
};

struct launches_conf {
    struct loop *loop;
    struct db *db;
    struct fleet *fleet;
    struct host_clients *clients;
    struct ender *ender;
    const struct boxes *boxes;
    uint32_t total_ms, start_ms;
    int64_t idempotency_keep_s;
    /* Writes the answer (a JSON object) for the row that becomes ready. Returns < 0 when it cannot.
     */
    int (*compose)(void *app, const struct sandbox_row *row, struct buf *out);
    void *app;
};
struct launches *launches_new(const struct launches_conf *conf);
void launches_free(struct launches *l); /* cuts what is under way; leases clean up; NULL is fine */
unsigned launches_count(const struct launches *l);

/* answer: the composed JSON when outcome is LAUNCH_OK. Borrowed during the callback, which comes
 * exactly once unless launch_forget(). */
typedef void launch_done_fn(void *arg, int outcome, const struct buf *answer);
struct launch *launch_start(struct launches *l, const struct launch_spec *spec,
                            launch_done_fn *done, void *arg);
/* Nobody waits any more. With an idempotency key it goes on (the answer is kept), without one it is
 * undone. */
void launch_forget(struct launch *x);

/* What an idempotency key's answer is sealed to. */
void launch_answer_bound(int64_t team_id, const char *key, char out[320]);
