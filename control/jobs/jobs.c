/* SPDX-License-Identifier: Apache-2.0 */
/* jobs - the runner. See jobs.h. */
#include "control/jobs/jobs.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "control/app.h"
#include "control/db/jobs.h"
#include "control/db/pool.h"
#include "control/db/tx.h"

enum { JOBS_POLL_MS = 1000, JOBS_POLL_JITTER_MS = 200 };

static const struct job_kind *const job_kinds[] = {&job_leases, &job_deadlines, &job_idempotency};

struct jobs {
    struct app *app;
    struct timer *poll;
    struct op *op;     /* the database's, or the running job's */
    bool announced;    /* the periodic rows are there */
    int64_t id, claim; /* of the running one */
    const struct job_kind *kind;
};

static struct metric jobs_done = {.name = "bivouac_control_jobs_total",
                                  .labels = "outcome=\"ok\"",
                                  .help = "Jobs by outcome.",
                                  .kind = METRIC_COUNTER};
static struct metric jobs_failed = {.name = "bivouac_control_jobs_total",
                                    .labels = "outcome=\"failed\"",
                                    .help = "Jobs by outcome.",
                                    .kind = METRIC_COUNTER};

static void jobs_claim(struct jobs *j);

static void jobs_sleep(struct jobs *j)
{
    timer_set(j->poll, JOBS_POLL_MS + random_u64() % JOBS_POLL_JITTER_MS);
}

static void jobs_on_recorded(void *arg, int r, const struct db_tx *tx)
{
    struct jobs *j = arg;

    (void)tx;
    if (r == DB_OK)
        jobs_claim(j); /* there may be another one due */
    else
        jobs_sleep(j); /* its lease ends */
}

static void jobs_on_done(void *arg, int r)
{
    struct jobs *j = arg;
    struct db_tx *tx = tx_new();

    metric_add(r < 0 ? &jobs_failed : &jobs_done, 1);
    if (r < 0) {
        log_warn(NULL, "a job failed; it is tried again", "kind", j->kind->name, "reason",
                 strerror(-r));
        jobs_add_failed(tx, j->id, j->claim, strerror(-r));
    } else {
        jobs_add_done(tx, j->id, j->claim);
    }
    db_run(j->app->db, tx, 0, &j->op, jobs_on_recorded, j);
}

static void jobs_on_claimed(void *arg, int r, const struct db_tx *tx)
{
    struct jobs *j = arg;

    j->kind = NULL;
    if (r != DB_OK || tx_rows(tx, 0) == 0) {
        jobs_sleep(j);
        return;
    }
    j->id = tx_col_i64(tx, 0, 0, 0);
    j->claim = tx_col_i64(tx, 0, 0, 3);
    for (size_t i = 0; i < ARRAY_LEN(job_kinds); i++) {
        if (str_eq(job_kinds[i]->name, tx_col(tx, 0, 0, 1)))
            j->kind = job_kinds[i];
    }
    if (j->kind)
        j->kind->run(j->app, &j->op, jobs_on_done, j);
    else
        jobs_sleep(j); /* cannot be: only our kinds are claimed */
}

static void jobs_claim(struct jobs *j)
{
    const char *names[ARRAY_LEN(job_kinds)];
    struct db_tx *tx = tx_new();

    for (size_t i = 0; i < ARRAY_LEN(job_kinds); i++)
        names[i] = job_kinds[i]->name;
    jobs_add_claim(tx, names, ARRAY_LEN(job_kinds), JOB_LEASE_MS);
    db_run(j->app->db, tx, 0, &j->op, jobs_on_claimed, j);
}

static void jobs_on_announced(void *arg, int r, const struct db_tx *tx)
{
    struct jobs *j = arg;

    (void)tx;
    j->announced = r == DB_OK;
    jobs_sleep(j);
}

static void jobs_on_poll(void *arg)
{
    struct jobs *j = arg;

    if (j->announced) {
        jobs_claim(j);
        return;
    }
    struct db_tx *tx = tx_new();

    for (size_t i = 0; i < ARRAY_LEN(job_kinds); i++)
        jobs_add_periodic(tx, job_kinds[i]->name, job_kinds[i]->every_ms);
    db_run(j->app->db, tx, 0, &j->op, jobs_on_announced, j);
}

struct jobs *jobs_new(struct app *app)
{
    struct jobs *j = xnew(struct jobs);

    j->app = app;
    j->poll = timer_new(app->loop, jobs_on_poll, j);
    timer_set(j->poll, 1);
    metrics_register(&jobs_done);
    metrics_register(&jobs_failed);
    return j;
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    op_cancel(&j->op);
    timer_free(j->poll);
    free(j);
}
