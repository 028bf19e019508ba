/* SPDX-License-Identifier: Apache-2.0 */
/* flow - see flow.h */
#include "dataplane/vmhost/vm/flow.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void flow_turn(void *arg);

static void flow_schedule(struct flow *f)
{
    loop_defer(f->loop, &f->defer, flow_turn, f);
}

void flow_start(struct flow *f, struct loop *l, const struct flow_step *steps, flow_done_fn *done, void *arg)
{
    void (*on_step)(void *, const char *, uint64_t) = f->on_step;

    assert(!f->running);
    memset(f, 0, sizeof(*f));
    f->loop = l;
    f->steps = steps;
    f->running = true;
    f->done = done;
    f->arg = arg;
    f->on_step = on_step;
    f->step_began_ns = clock_mono_ns();
    flow_schedule(f);
}

static void flow_end(struct flow *f)
{
    f->running = false;
    f->done(f->arg, f->error, &f->why);
}

static void flow_step_done(struct flow *f)
{
    uint64_t now = clock_mono_ns();

    if (f->on_step)
        f->on_step(f->arg, f->steps[f->at].name, now - f->step_began_ns);
    f->step_began_ns = now;
    f->at++;
}

static void flow_turn_back(struct flow *f, int r)
{
    f->error = r;
    f->why.code = r;
    f->undoing = true;
}

/* One step forward or back. Returns whether to go on at once. */
static bool flow_one(struct flow *f)
{
    const struct flow_step *s = &f->steps[f->at];
    int r;

    f->in_step = true;
    f->signalled = false;
    if (f->undoing)
        r = s->undo ? s->undo(f, f->arg) : FLOW_NEXT;
    else
        r = s->run(f, f->arg, &f->why);
    f->in_step = false;
    if (r < 0) {
        flow_turn_back(f, r);
        return true;
    }
    if (r == FLOW_WAIT && !f->signalled)
        return false;
    if (f->error && !f->undoing) { /* flow_fail() from inside the step */
        f->undoing = true;
        return true;
    }
    if (!f->undoing) {
        flow_step_done(f);
        return true;
    }
    if (f->at == 0) {
        flow_end(f);
        return false;
    }
    f->at--;
    return true;
}

static void flow_turn(void *arg)
{
    struct flow *f = arg;

    while (f->running) {
        if (f->undoing && f->working)
            return; /* the end of the job goes on */
        if (!f->undoing && !f->steps[f->at].name) {
            flow_end(f);
            return;
        }
        if (!flow_one(f))
            return;
    }
}

void flow_next(struct flow *f)
{
    assert(f->running);
    f->signalled = true;
    if (f->in_step)
        return;
    if (!f->undoing) {
        flow_step_done(f);
    } else if (f->at == 0) {
        flow_end(f);
        return;
    } else {
        f->at--;
    }
    flow_schedule(f);
}

int flow_fail(struct flow *f, int r, const char *fmt, ...)
{
    va_list ap;

    assert(r < 0);
    if (!f->running || f->undoing || f->error)
        return r;
    va_start(ap, fmt);
    vsnprintf(f->why.text, sizeof(f->why.text), fmt, ap);
    va_end(ap);
    f->error = r;
    f->why.code = r;
    f->signalled = true;
    if (f->in_step)
        return r;
    f->undoing = true;
    flow_schedule(f);
    return r;
}

struct flow_job {
    struct flow *flow;
    flow_work_fn *fn;
    void *arg;
    struct err e;
};

static int flow_job_run(void *arg)
{
    struct flow_job *j = arg;

    return j->fn(j->arg, &j->e);
}

static void flow_job_done(void *arg, int r)
{
    struct flow_job *j = arg;
    struct flow *f = j->flow;
    bool was_undo = f->work_undoes;

    f->working = f->work_undoes = false;
    if (f->running) {
        if (was_undo || (!f->undoing && r >= 0))
            flow_next(f);
        else if (f->undoing)
            flow_schedule(f);
        else
            flow_fail(f, r, "%s", err_text(&j->e, r));
    }
    free(j);
}

int flow_work(struct flow *f, flow_work_fn *fn, void *arg)
{
    struct flow_job *j = xnew(struct flow_job);
    int r;

    assert(!f->working);
    j->flow = f;
    j->fn = fn;
    j->arg = arg;
    f->working = true;
    f->work_undoes = f->undoing;
    r = loop_work(f->loop, flow_job_run, flow_job_done, j);
    if (r < 0) {
        f->working = f->work_undoes = false;
        free(j);
    }
    return r;
}

bool flow_running(const struct flow *f)
{
    return f->running;
}

bool flow_undoing(const struct flow *f)
{
    return f->running && f->undoing;
}

void flow_drop(struct flow *f)
{
    f->running = false;
    if (f->loop)
        defer_cancel(&f->defer);
}
