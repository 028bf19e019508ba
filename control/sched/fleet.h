/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fleet - what this replica knows of hosts and templates: a copy of the database's tables, at most
 * about a second old. Decisions made from it are checked again by the database (room, draining)
 * when they are written down.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/sched/catalog.h"
#include "control/sched/sched.h"

struct db;
struct fleet;
struct loop;
struct op;

struct fleet_host {
    int64_t id;
    const char *name, *api_url; /* valid until the next turn of the loop: copy what is kept */
};

struct fleet *fleet_new(struct loop *l, struct db *db, uint32_t fresh_ms);
void fleet_free(struct fleet *f); /* NULL is fine */

/* Whether the tables were read at least once. */
bool fleet_loaded(const struct fleet *f);
const struct catalog *fleet_catalog(const struct fleet *f);
unsigned fleet_hosts_fresh(const struct fleet *f);
/* By id; false: unknown. */
bool fleet_host(const struct fleet *f, int64_t id, struct fleet_host *out) must_check;
/* Chooses a host and counts the room as taken here until the next reading. false: none fits. */
bool fleet_pick(struct fleet *f, const char *slug, const char *version,
                const struct sched_need *need, const int64_t *except, size_t except_count,
                struct fleet_host *out) must_check;

/* Reads the tables now. r: as db_run(). */
typedef void fleet_done_fn(void *arg, int r);
void fleet_refresh(struct fleet *f, struct op **slot, fleet_done_fn *done, void *arg);
void fleet_refresh_soon(struct fleet *f); /* nobody waits */
