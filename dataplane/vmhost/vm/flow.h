/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * flow - a piece of work with waits as a table of steps. A step does its part at once or starts something and waits; when one fails,
 * the undo functions of the steps that were begun run backwards (the failed one first), and then the flow is done with the error.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/err.h"
#include "common/loop/loop.h"

struct flow;
enum { FLOW_NEXT, FLOW_WAIT };

struct flow_step {
    const char *name;
    /* FLOW_NEXT, FLOW_WAIT (flow_next() or flow_fail() follows from the loop) or < 0 with the text set. */
    int (*run)(struct flow *f, void *arg, struct err *e);
    /* FLOW_NEXT or FLOW_WAIT; NULL = nothing to undo. Must cope with a step that was only half done. */
    int (*undo)(struct flow *f, void *arg);
};

typedef void flow_done_fn(void *arg, int r, const struct err *e);

struct flow { /* embedded in its object */
    struct loop *loop;
    const struct flow_step *steps; /* ends with a NULL name */
    unsigned at;
    bool running, undoing, in_step;
    bool working, work_undoes;     /* a job of flow_work() is under way; it was started by an undo */
    bool signalled;                /* flow_next() came while the step was still on the stack */
    int error;
    struct err why;
    uint64_t step_began_ns;
    void (*on_step)(void *arg, const char *name, uint64_t ns); /* may be NULL: timings */
    flow_done_fn *done;
    void *arg;
    struct defer defer;
};

/* done is called from the loop, never from inside. on_step may be set before or after. */
void flow_start(struct flow *f, struct loop *l, const struct flow_step *steps, flow_done_fn *done, void *arg);
void flow_next(struct flow *f);
int flow_fail(struct flow *f, int r, const char *fmt, ...) printf_like(3, 4); /* r < 0; returns r; ignored while undoing */
/*
 * Runs fn on a worker thread as (the rest of) this step: return FLOW_WAIT after it. In a step its failure fails the flow; in an undo it is
 * the job's own affair. If the flow fails meanwhile, the undo waits for the job. fn touches only arg.
 */
typedef int flow_work_fn(void *arg, struct err *e);
int flow_work(struct flow *f, flow_work_fn *fn, void *arg) must_check;
bool flow_running(const struct flow *f);
bool flow_undoing(const struct flow *f);
void flow_drop(struct flow *f); /* stops without undo and without done: the process ends */
