/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reap - jobs that end rows which nobody ends: leases that ran out (their worker died) and
 * deadlines that passed (their host is silent). Rows are read in a batch and ended one by one, each
 * in its own transaction.
 */
#include <errno.h>
#include <stdlib.h>
#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "control/app.h"
#include "control/db/idempotency.h"
#include "control/db/pool.h"
#include "control/db/sandboxes_life.h"
#include "control/db/tx.h"
#include "control/jobs/jobs.h"
#include "control/life/ender.h"

enum { REAP_BATCH = 100 };

struct reap_kind {
    const char *actor, *state, *reason, *message;
    bool drop_keys; /* an unanswered idempotency key may be used again */
};

static const struct reap_kind reap_leases = {
    .actor = "job:leases",
    .state = "failed",
    .reason = "lease_expired",
    .message = "who worked on it has vanished",
    .drop_keys = true,
};
static const struct reap_kind reap_deadlines = {
    .actor = "job:deadlines",
    .state = "destroyed",
    .reason = "timeout",
};

struct reap {
    struct op op; /* the caller's */
    struct app *app;
    const struct reap_kind *kind;
    struct op *db;
    struct arena *arena; /* owned; the rows */
    struct life_row *rows;
    size_t count, next;
    job_done_fn *done;
    void *arg;
};

static void reap_free(void *object)
{
    struct reap *x = object;

    arena_free(x->arena);
    free(x);
}

static void reap_cancel(struct op *o)
{
    struct reap *x = CONTAINER_OF(o, struct reap, op);

    op_cancel(&x->db);
    loop_reap(x->app->loop, x, reap_free);
}

static void reap_finish(struct reap *x, int r)
{
    op_finish(&x->op);
    x->done(x->arg, r);
    loop_reap(x->app->loop, x, reap_free);
}

static int reap_result(int r)
{
    return r == DB_OK ? 0 : r == DB_E_REFUSED ? -EINVAL : -EAGAIN;
}

static void reap_next(struct reap *x);

static void reap_on_ended(void *arg, int r, const struct db_tx *tx)
{
    struct reap *x = arg;
    const struct life_row *row = &x->rows[x->next];

    if (r != DB_OK) {
        reap_finish(x, reap_result(r));
        return;
    }
    if (tx_affected(tx, 0)) { /* else somebody else was quicker */
        log_info(NULL, "sandbox taken back", "sandbox", LOG_I64(row->id), "was", row->state,
                 "reason", x->kind->reason);
        if (row->on_host)
            ender_end(x->app->ender, row->host_id, row->id, row->generation, x->kind->actor);
    }
    x->next++;
    reap_next(x);
}

static void reap_next(struct reap *x)
{
    if (x->next == x->count) {
        reap_finish(x, 0);
        return;
    }
    const struct life_row *row = &x->rows[x->next];
    struct db_tx *tx = tx_new();

    tx_actor(tx, x->kind->actor, NULL);
    life_add_reap(tx, row->id, row->generation, x->kind->state, x->kind->reason, x->kind->message);
    if (x->kind->drop_keys)
        idempotency_add_drop_of_sandbox(tx, row->id);
    db_run(x->app->db, tx, 0, &x->db, reap_on_ended, x);
}

static void reap_on_rows(void *arg, int r, const struct db_tx *tx)
{
    struct reap *x = arg;

    if (r != DB_OK) {
        reap_finish(x, reap_result(r));
        return;
    }
    x->rows = arena_alloc(x->arena, (size_t)tx_rows(tx, 0) * sizeof(*x->rows));
    if (!x->rows) {
        reap_finish(x, -ENOMEM);
        return;
    }
    for (int i = 0; i < tx_rows(tx, 0); i++) {
        if (life_decode(tx, 0, i, x->arena, &x->rows[x->count]) == 0)
            x->count++;
    }
    reap_next(x);
}

static void reap_begin(struct app *app, const struct reap_kind *kind, struct db_tx *tx,
                       struct op **slot, job_done_fn *done, void *arg)
{
    struct reap *x = xnew(struct reap);

    x->app = app;
    x->kind = kind;
    x->arena = arena_new(MIB);
    x->done = done;
    x->arg = arg;
    op_begin(&x->op, slot, reap_cancel);
    db_run(app->db, tx, 0, &x->db, reap_on_rows, x);
}

static void leases_run(struct app *app, struct op **slot, job_done_fn *done, void *arg)
{
    struct db_tx *tx = tx_new();

    life_add_expired(tx, REAP_BATCH);
    reap_begin(app, &reap_leases, tx, slot, done, arg);
}

static void deadlines_run(struct app *app, struct op **slot, job_done_fn *done, void *arg)
{
    struct db_tx *tx = tx_new();

    life_add_overdue(tx, app->conf.deadline_grace_ms, REAP_BATCH);
    reap_begin(app, &reap_deadlines, tx, slot, done, arg);
}

const struct job_kind job_leases = {.name = "leases", .every_ms = 2000, .run = leases_run};
const struct job_kind job_deadlines = {.name = "deadlines", .every_ms = 2000, .run = deadlines_run};
