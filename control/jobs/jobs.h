/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jobs - periodic work that any replica may do and one does at a time: claimed in table jobs,
 * leased, repeated. The kinds are a table.
 */
#include <stdint.h>
#include "common/base/attr.h"

struct app;
struct jobs;
struct op;

/* r: 0 done; < 0: failed, tried again later with back-off. Must end within JOB_LEASE_MS. */
typedef void job_done_fn(void *arg, int r);
struct job_kind {
    const char *name;
    int64_t every_ms;
    /* Begins the work; *slot cancels it. */
    void (*run)(struct app *app, struct op **slot, job_done_fn *done, void *arg);
};
enum { JOB_LEASE_MS = 60000 };

struct jobs *jobs_new(struct app *app);
void jobs_free(struct jobs *j); /* what is under way is cut; its lease ends */

/* ---- the kinds ---- */
extern const struct job_kind job_leases, job_deadlines, job_idempotency;
