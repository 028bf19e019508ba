/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - turns: wait for the event library's callbacks, then due timers, then deferred calls, then the reaper.
 * Work that is deferred by deferred work runs in the next turn, which then does not wait.
 */
#include "common/loop/loop.h"
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/loop_internal.h"

static void loop_run_deferred(struct loop *l);
static void loop_run_reaper(struct loop *l);

int loop_new(struct loop **out)
{
    struct event_config *conf = event_config_new();
    struct loop *l;
    int r;

    if (!conf)
        return -ENOMEM;
    l = xnew(struct loop);
    l->timer_fd = -1;
    l->work_threads = 4;
    list_init(&l->deferred);
    /* No library locks, no cached clock: timers are ours. */
    event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(conf, EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_set_flag(conf, EVENT_BASE_FLAG_IGNORE_ENV);
    errno = 0;
    l->base = event_base_new_with_config(conf);
    event_config_free(conf);
    if (!l->base) {
        r = errno ? -errno : -ENOMEM;
        free(l);
        return r;
    }
    r = loop_timers_init(l);
    if (r < 0) {
        loop_free(l);
        return r;
    }
    *out = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    work_pool_free(l->pool);
    l->pool = NULL;
    loop_run_deferred(l);
    loop_timers_deinit(l);
    loop_run_reaper(l);
    loop_signals_deinit(l);
    event_base_free(l->base);
    free(l->reap);
    free(l);
}

int loop_run(struct loop *l)
{
    while (!l->stopping) {
        int r = loop_turn(l, UINT32_MAX);

        if (r < 0)
            return r;
    }
    l->stopping = false;
    return 0;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

int loop_turn(struct loop *l, uint32_t wait_ms)
{
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
    bool busy = !list_empty(&l->deferred) || l->reap_count || l->stopping;

    if (wait_ms == 0 || busy)
        flags = EVLOOP_ONCE | EVLOOP_NONBLOCK; /* without ONCE it goes on while anything is ready: deferred work would starve */
    else
        loop_timers_arm(l, wait_ms == UINT32_MAX ? UINT64_MAX : (uint64_t) wait_ms * 1000000);
    l->now_ms = 0;
    errno = 0;
    if (event_base_loop(l->base, flags) < 0)
        return errno ? -errno : -EIO;
    loop_timers_run(l);
    loop_run_deferred(l);
    loop_run_reaper(l);
    return 0;
}

uint64_t loop_now_ms(const struct loop *l)
{
    if (l->now_ms == 0) /* first question of this turn */
        ((struct loop *) l)->now_ms = clock_mono_ms();
    return l->now_ms;
}

/* ---- deferred calls ---- */

void loop_defer(struct loop *l, struct defer *d, defer_fn *fn, void *arg)
{
    assert(fn);
    d->fn = fn;
    d->arg = arg;
    if (!list_linked(&d->node))
        list_append(&l->deferred, &d->node);
}

void defer_cancel(struct defer *d)
{
    list_del(&d->node);
}

static void loop_run_deferred(struct loop *l)
{
    struct list todo;

    if (list_empty(&l->deferred))
        return;
    /* Moved to a list of its own, so that what these calls defer waits for the next turn. */
    list_insert_(&todo, l->deferred.prev, &l->deferred);
    list_del(&l->deferred);
    list_init(&l->deferred);
    while (todo.next != &todo) {
        struct defer *d = LIST_ENTRY(todo.next, struct defer, node);

        list_del(&d->node);
        d->fn(d->arg);
    }
}

/* ---- reaper ---- */

void loop_reap(struct loop *l, void *object, void (*fn)(void *object))
{
    if (l->reap_count == l->reap_cap) {
        l->reap_cap = l->reap_cap ? l->reap_cap * 2 : 16;
        l->reap = xrealloc(l->reap, l->reap_cap * sizeof(*l->reap));
    }
    l->reap[l->reap_count++] = (struct reap_item){object, fn};
}

static void loop_run_reaper(struct loop *l)
{
    /* An object's end may reap what it held. */
    for (size_t i = 0; i < l->reap_count; i++) {
        struct reap_item item = l->reap[i];

        item.fn(item.object);
    }
    l->reap_count = 0;
    if (l->reap_cap > 4096) { /* after a burst */
        free(l->reap);
        l->reap = NULL;
        l->reap_cap = 0;
    }
}
