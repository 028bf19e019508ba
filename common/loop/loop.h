/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * loop - one event loop, one thread. The only door to the event library. Nothing here is thread safe except work_*'s worker side.
 * No object may be freed inside its own callback: close it (idempotent) and the loop frees it after this turn.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "common/base/list.h"

struct loop;

int loop_new(struct loop **out) must_check;
/* NULL is fine. Waits for work that runs; work that waits is reported with -ECANCELED. Close what is open before. */
void loop_free(struct loop *l);
int loop_run(struct loop *l) must_check; /* until loop_stop() */
void loop_stop(struct loop *l);
/* One turn; waits for events at most wait_ms (0 = none). For tests and shutdown. */
int loop_turn(struct loop *l, uint32_t wait_ms) must_check;
/* Monotonic, as of the begin of this turn: cheap. */
uint64_t loop_now_ms(const struct loop *l);

/* ---- readiness of a descriptor ---- */
enum { IO_READ = 1, IO_WRITE = 2 };
struct io;
typedef void io_fn(void *arg, unsigned events);
/* Borrows fd; level-triggered; wants nothing at first. */
int io_open(struct io **out, struct loop *l, int fd, io_fn *fn, void *arg) must_check;
void io_want(struct io *io, unsigned events); /* replaces the set; cheap when unchanged */
void io_close(struct io *io);                 /* NULL is fine; no callback after it; close the fd afterwards */

/* ---- timers ---- */
struct timer;
typedef void timer_fn(void *arg);
struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg);
void timer_set(struct timer *t, uint64_t after_ms); /* one shot; replaces */
void timer_cancel(struct timer *t);                 /* NULL is fine */
bool timer_pending(const struct timer *t);
void timer_free(struct timer *t);                   /* NULL is fine; allowed in its own callback */

/* ---- run something after this turn's callbacks ---- */
typedef void defer_fn(void *arg);
struct defer {
    struct list node; /* private */
    defer_fn *fn;
    void *arg;
};
void loop_defer(struct loop *l, struct defer *d, defer_fn *fn, void *arg); /* embedded, zeroed at first; at most once pending */
void defer_cancel(struct defer *d);
/* The reaper: calls fn(object) after this turn and after deferred work; used by x_close() to free later. */
void loop_reap(struct loop *l, void *object, void (*fn)(void *object));

/* ---- signals (SIGTERM, SIGINT, SIGHUP, SIGCHLD); one loop of a process takes them ---- */
typedef void signal_fn(void *arg, int signo);
int loop_signal(struct loop *l, int signo, signal_fn *fn, void *arg) must_check; /* for the loop's life */

/* ---- blocking work on a small thread pool ---- */
struct work;
typedef int work_fn(void *arg);              /* worker thread; touches only arg */
typedef void work_done_fn(void *arg, int r); /* loop thread */
/* At most `threads` run at once (set once, default 4); the queue is unbounded: callers limit themselves. */
void loop_work_threads(struct loop *l, unsigned threads);
int loop_work(struct loop *l, work_fn *fn, work_done_fn *done, void *arg) must_check;
