/* SPDX-License-Identifier: Apache-2.0 */
/* procs - the table: who is in it, who has to leave, the clock that lets acknowledged frames go. */
#include "agent/procs/procs.h"
#include <stdlib.h>
#include "agent/init/reaper.h"
#include "agent/procs/session.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum { TICK_MS = 1000, TICK_PAUSED_MS = 100, TICK_EVICT_MS = 60000, INPUT_ALL_BYTES_MIN = 8 * MIB };

static void procs_on_tick(void *arg);

int procs_new(struct procs **out, const struct procs_conf *conf)
{
    struct procs *t = xnew(struct procs);

    t->conf = *conf;
    list_init(&t->all);
    t->by_id = map_new();
    idset_init(&t->used);
    frames_budget_init(&t->budget, conf->budget_bytes);
    t->input_budget.bytes_max = conf->budget_bytes > INPUT_ALL_BYTES_MIN ? conf->budget_bytes : INPUT_ALL_BYTES_MIN;
    detached_init(&t->detached, conf->loop);
    t->tick = timer_new(conf->loop, procs_on_tick, t);
    *out = t;
    return 0;
}

void procs_set_ops(struct procs *t, const struct procs_ops *ops, void *arg)
{
    t->ops = *ops;
    t->ops_arg = arg;
}

static void procs_remove(struct procs *t, struct proc *p)
{
    if (t->ops.on_gone)
        t->ops.on_gone(t->ops_arg, p);
    list_del(&p->node);
    map_del(t->by_id, p->id);
    if (p->state == PROC_FINISHED)
        t->finished--;
    else
        t->active--;
    proc_free(p);
}

void procs_free(struct procs *t)
{
    if (!t)
        return;
    LIST_FOR_EACH_SAFE(n, tmp, &t->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        if (!p->exited)
            reaper_forget(t->conf.reaper, p->os_pid);
        procs_remove(t, p);
    }
    timer_free(t->tick);
    detached_deinit(&t->detached);
    map_free(t->by_id);
    idset_deinit(&t->used);
    frames_budget_deinit(&t->budget);
    free(t);
}

struct proc *procs_find(const struct procs *t, const void *id, size_t len)
{
    return map_get_n(t->by_id, id, len);
}

void procs_kill_all(struct procs *t, int signo)
{
    LIST_FOR_EACH(n, &t->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        if (!p->exited)
            session_kill(p->os_pid, signo, true);
    }
}

/* ---- those that have ended ---- */

static bool proc_is_stored(const struct proc *p)
{
    return p->frames.acked == frames_last(&p->frames);
}

void procs_evict(struct procs *t)
{
    uint64_t now = loop_now_ms(t->conf.loop);

    LIST_FOR_EACH_SAFE(n, tmp, &t->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);
        bool old = p->state == PROC_FINISHED && now >= p->finished_ms + PROCS_FINISHED_KEEP_MS;
        bool many = p->state == PROC_FINISHED && t->finished > PROCS_FINISHED_MAX && proc_is_stored(p);

        if (old || many)
            procs_remove(t, p);
    }
}

/* An idle machine should stay idle: there is a clock only as long as something waits for it. */
static void procs_tick_in(struct procs *t, uint64_t ms)
{
    uint64_t due = loop_now_ms(t->conf.loop) + ms;

    if (t->tick_ms && t->tick_ms <= due)
        return;
    t->tick_ms = due;
    timer_set(t->tick, ms);
}

void procs_tick_soon(struct procs *t)
{
    procs_tick_in(t, t->paused ? TICK_PAUSED_MS : TICK_MS);
}

void procs_finished(struct procs *t, struct proc *p)
{
    p->finished_ms = loop_now_ms(t->conf.loop);
    t->active--;
    t->finished++;
    procs_tick_in(t, TICK_EVICT_MS);
}

static void procs_on_tick(void *arg)
{
    struct procs *t = arg;
    uint64_t now = loop_now_ms(t->conf.loop);
    bool again = false;

    t->tick_ms = 0;
    LIST_FOR_EACH(n, &t->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        again |= frames_trim(&p->frames, now);
        proc_resume(p);
    }
    if (t->finished)
        procs_evict(t);
    if (again || t->paused)
        procs_tick_soon(t);
    else if (t->finished)
        procs_tick_in(t, TICK_EVICT_MS);
}
