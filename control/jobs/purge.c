/* SPDX-License-Identifier: Apache-2.0 */
/* purge - the job that forgets kept answers after their time. */
#include "control/db/idempotency.h"
#include <errno.h>
#include <stdlib.h>
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "control/app.h"
#include "control/db/pool.h"
#include "control/db/tx.h"
#include "control/jobs/jobs.h"

struct purge {
    struct op op; /* the caller's */
    struct app *app;
    struct op *db;
    job_done_fn *done;
    void *arg;
};

static void purge_cancel(struct op *o)
{
    struct purge *x = CONTAINER_OF(o, struct purge, op);

    op_cancel(&x->db);
    loop_reap(x->app->loop, x, free);
}

static void purge_on_done(void *arg, int r, const struct db_tx *tx)
{
    struct purge *x = arg;

    (void)tx;
    op_finish(&x->op);
    x->done(x->arg, r == DB_OK ? 0 : -EAGAIN);
    loop_reap(x->app->loop, x, free);
}

static void purge_run(struct app *app, struct op **slot, job_done_fn *done, void *arg)
{
    struct purge *x = xnew(struct purge);
    struct db_tx *tx = tx_new();

    x->app = app;
    x->done = done;
    x->arg = arg;
    op_begin(&x->op, slot, purge_cancel);
    idempotency_add_purge(tx);
    db_run(app->db, tx, 0, &x->db, purge_on_done, x);
}

const struct job_kind job_idempotency = {
    .name = "idempotency", .every_ms = 60000, .run = purge_run};
