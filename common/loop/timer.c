/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - one-shot timers in a binary heap, in the order of their times and, for equal times, in the order they were set.
 * Setting a pending timer to a later time (idle deadlines, on every read) only notes the time; the heap learns it when the old key
 * comes up. A timerfd wakes the loop; it is set only when the earliest key moves forward.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/loop_internal.h"

#define NS_PER_MS UINT64_C(1000000)
#define TIMER_MS_MAX (UINT64_C(10) * 365 * 24 * 3600 * 1000) /* ten years: no overflow */
#define NOT_PENDING ((size_t) -1)

struct timer {
    struct loop *loop;
    timer_fn *fn;
    void *arg;
    uint64_t due_ns, seq;     /* what was asked */
    uint64_t key_ns, key_seq; /* place in the heap; never later than what was asked */
    size_t index;             /* in the heap, or NOT_PENDING */
};

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->key_ns != b->key_ns ? a->key_ns < b->key_ns : a->key_seq < b->key_seq;
}

static void heap_put(struct loop *l, size_t i, struct timer *t)
{
    l->heap[i] = t;
    t->index = i;
}

static void heap_up(struct loop *l, size_t i)
{
    struct timer *t = l->heap[i];

    while (i > 0 && timer_before(t, l->heap[(i - 1) / 2])) {
        heap_put(l, i, l->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
    struct timer *t = l->heap[i];

    for (size_t child; (child = 2 * i + 1) < l->heap_count; i = child) {
        if (child + 1 < l->heap_count && timer_before(l->heap[child + 1], l->heap[child]))
            child++;
        if (!timer_before(l->heap[child], t))
            break;
        heap_put(l, i, l->heap[child]);
    }
    heap_put(l, i, t);
}

static void heap_remove(struct timer *t)
{
    struct loop *l = t->loop;
    size_t i = t->index;
    struct timer *last = l->heap[--l->heap_count];

    t->index = NOT_PENDING;
    if (last == t)
        return;
    heap_put(l, i, last);
    heap_up(l, i);
    heap_down(l, last->index);
}

static void heap_insert(struct timer *t)
{
    struct loop *l = t->loop;

    if (l->heap_count == l->heap_cap) {
        l->heap_cap = l->heap_cap ? l->heap_cap * 2 : 64;
        l->heap = xrealloc(l->heap, l->heap_cap * sizeof(*l->heap));
    }
    heap_put(l, l->heap_count, t);
    heap_up(l, l->heap_count++);
}

struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg)
{
    struct timer *t = xnew(struct timer);

    assert(fn);
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    t->index = NOT_PENDING;
    return t;
}

void timer_set(struct timer *t, uint64_t after_ms)
{
    if (after_ms > TIMER_MS_MAX)
        after_ms = TIMER_MS_MAX;
    t->due_ns = clock_mono_ns() + after_ms * NS_PER_MS;
    t->seq = t->loop->timer_seq++;
    if (t->index != NOT_PENDING && t->due_ns >= t->key_ns)
        return;
    t->key_ns = t->due_ns;
    t->key_seq = t->seq;
    if (t->index == NOT_PENDING)
        heap_insert(t);
    else
        heap_up(t->loop, t->index);
}

void timer_cancel(struct timer *t)
{
    if (t && t->index != NOT_PENDING)
        heap_remove(t);
}

bool timer_pending(const struct timer *t)
{
    return t && t->index != NOT_PENDING;
}

void timer_free(struct timer *t)
{
    timer_cancel(t);
    free(t);
}

/* ---- for the loop ---- */

static void timers_on_wake(void *arg, unsigned events)
{
    struct loop *l = arg;
    uint64_t count;

    (void) events;
    l->armed_ns = 0;
    if (read(l->timer_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

int loop_timers_init(struct loop *l)
{
    int r;

    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->timer_fd < 0)
        return -errno;
    r = io_open(&l->timer_io, l, l->timer_fd, timers_on_wake, l);
    if (r < 0)
        return r;
    io_want(l->timer_io, IO_READ);
    return 0;
}

void loop_timers_deinit(struct loop *l)
{
    io_close(l->timer_io);
    if (l->timer_fd >= 0)
        close(l->timer_fd);
    for (size_t i = 0; i < l->heap_count; i++)
        l->heap[i]->index = NOT_PENDING; /* their owners may still free them */
    l->heap_count = 0;
    free(l->heap);
    l->heap = NULL;
}

void loop_timers_arm(struct loop *l, uint64_t wait_ns)
{
    uint64_t now, wake, rest;
    struct itimerspec spec = {0};

    if (!l->heap_count && wait_ns == UINT64_MAX)
        return; /* an earlier setting may still wake us once for nothing */
    now = clock_mono_ns();
    wake = wait_ns == UINT64_MAX ? UINT64_MAX : now + wait_ns;
    if (l->heap_count && l->heap[0]->key_ns < wake)
        wake = l->heap[0]->key_ns;
    if (l->armed_ns && l->armed_ns <= wake && l->armed_ns > now)
        return;
    rest = wake > now ? wake - now : 1; /* 0 would switch it off */
    spec.it_value.tv_sec = (time_t) (rest / (1000 * NS_PER_MS));
    spec.it_value.tv_nsec = (long) (rest % (1000 * NS_PER_MS));
    if (timerfd_settime(l->timer_fd, 0, &spec, NULL) < 0)
        abort(); /* EINVAL, EBADF: our bug */
    l->armed_ns = wake;
}

void loop_timers_run(struct loop *l)
{
    uint64_t now, first_new_seq = l->timer_seq;

    if (!l->heap_count)
        return;
    now = clock_mono_ns();
    while (l->heap_count) {
        struct timer *t = l->heap[0];

        if (t->key_ns > now)
            return;
        if (t->key_seq != t->seq) { /* it was set again, to a later time */
            t->key_ns = t->due_ns;
            t->key_seq = t->seq;
            heap_down(l, 0);
            continue;
        }
        if (t->seq >= first_new_seq)
            return; /* set by a callback of this turn: the next turn's */
        heap_remove(t);
        t->fn(t->arg);
    }
}
