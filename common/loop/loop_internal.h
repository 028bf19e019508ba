/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* loop_internal - what the files of this folder share; never included outside. */
#include <signal.h>
#include "common/loop/loop.h"

struct event;
struct event_base;
struct work_pool;

struct reap_item {
    void *object; /* owned until fn has run */
    void (*fn)(void *object);
};

struct loop {
    struct event_base *base; /* owned */
    bool stopping;
    uint64_t now_ms; /* 0: nobody has asked in this turn */
    struct list deferred; /* struct defer.node */
    struct reap_item *reap;
    size_t reap_count, reap_cap;
    /* timers: a binary heap in order of (key_ns, key_seq), woken by a timerfd */
    struct timer **heap;
    size_t heap_count, heap_cap;
    uint64_t timer_seq;
    int timer_fd;
    struct io *timer_io; /* owned */
    uint64_t armed_ns;   /* what timer_fd is set to; 0 = nothing */
    struct event *signals[_NSIG];
    struct work_pool *pool; /* owned; NULL until the first work */
    unsigned work_threads;
};

int loop_timers_init(struct loop *l) must_check;
void loop_timers_deinit(struct loop *l);
void loop_timers_arm(struct loop *l, uint64_t wait_ns); /* before waiting; UINT64_MAX = no limit but the timers */
void loop_timers_run(struct loop *l);

void loop_signals_deinit(struct loop *l);

void work_pool_free(struct work_pool *p); /* NULL is fine; completes what is left */
