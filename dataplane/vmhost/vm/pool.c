/* SPDX-License-Identifier: Apache-2.0 */
/* pool - see pool.h */
#include "dataplane/vmhost/vm/pool.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/priv.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pool_state {
    POOL_FREE,     /* nothing of it exists */
    POOL_MAKING,   /* the parent is asked */
    POOL_READY,
    POOL_USED,
    POOL_CLEANING, /* destroy is asked or will be asked again */
};
enum { SWEEP_MS = 30000, RETRY_FIRST_MS = 5, RETRY_MAX_MS = 1000, RETRY_MAKE_MS = 2000, REFILL_MS = 20, HOLD_MAX_MS = 2000 };

struct pool_slot {
    struct pool *pool;
    unsigned number;
    enum pool_state state;
    struct op *op;
    struct timer *retry;   /* owned, while cleaning */
    uint32_t retry_ms;
    bool warned;
    pool_released_fn *released;
    void *arg;
};

struct pool_waiter {
    struct op op;
    struct pool *pool;
    struct list node;
    pool_taken_fn *done;
    void *arg;
};

struct pool {
    struct host *host;
    unsigned count;          /* slots in use at all */
    struct pool_slot *slots; /* owned */
    struct list waiters;     /* struct pool_waiter */
    bool open;
    unsigned holds;
    struct timer *refill;    /* owned */
    struct timer *sweep;     /* owned */
    struct op *sweep_op;
    pool_swept_fn *swept;
    void *swept_arg;
    struct defer hand_out;
    char why[PRIV_TEXT_SIZE]; /* the last failure to make a slot */
    int why_code;
};

static void pool_fill(struct pool *p);
static void pool_clean(struct pool_slot *s);

static unsigned pool_count(const struct pool *p, enum pool_state state)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->count; i++)
        n += p->slots[i].state == state;
    return n;
}

unsigned pool_ready(const struct pool *p)
{
    return pool_count(p, POOL_READY);
}

unsigned pool_used(const struct pool *p)
{
    return pool_count(p, POOL_USED);
}

/* ---- taking ---- */

static struct pool_slot *pool_find(struct pool *p, enum pool_state state)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->slots[i].state == state)
            return &p->slots[i];
    return NULL;
}

static void pool_answer(struct pool_waiter *w, int r, unsigned slot, const char *text)
{
    pool_taken_fn *done = w->done;
    void *arg = w->arg;

    list_del(&w->node);
    op_finish(&w->op);
    free(w);
    done(arg, r, slot, text);
}

static void pool_hand_out(void *arg)
{
    struct pool *p = arg;

    while (!list_empty(&p->waiters)) {
        struct pool_slot *s = pool_find(p, POOL_READY);

        if (!s)
            break;
        s->state = POOL_USED;
        pool_answer(LIST_ENTRY(p->waiters.next, struct pool_waiter, node), 0, s->number, NULL);
    }
    pool_fill(p);
}

static void pool_fail_waiters(struct pool *p, int r, const char *text)
{
    while (!list_empty(&p->waiters))
        pool_answer(LIST_ENTRY(p->waiters.next, struct pool_waiter, node), r, 0, text);
}

static void pool_on_cancel(struct op *op)
{
    struct pool_waiter *w = CONTAINER_OF(op, struct pool_waiter, op);

    list_del(&w->node);
    free(w);
}

int pool_take(struct pool *p, struct op **op_slot, pool_taken_fn *done, void *arg)
{
    struct pool_waiter *w;

    if (!pool_find(p, POOL_READY) && !pool_find(p, POOL_MAKING) && !pool_find(p, POOL_FREE) && !pool_find(p, POOL_CLEANING))
        return -ENOSPC;
    w = xnew(struct pool_waiter);
    w->pool = p;
    w->done = done;
    w->arg = arg;
    list_append(&p->waiters, &w->node);
    op_begin(&w->op, op_slot, pool_on_cancel);
    loop_defer(p->host->loop, &p->hand_out, pool_hand_out, p);
    return 0;
}

bool pool_reserve(struct pool *p, unsigned slot)
{
    if (slot >= p->count || p->slots[slot].state != POOL_FREE)
        return false;
    p->slots[slot].state = POOL_USED;
    return true;
}

/* ---- making ---- */

static void pool_on_made(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct pool_slot *s = arg;
    struct pool *p = s->pool;

    (void) fds;
    assert(s->state == POOL_MAKING);
    if (r == 0) {
        s->state = POOL_READY;
        p->why_code = 0;
        pool_hand_out(p);
        return;
    }
    p->why_code = r;
    snprintf(p->why, sizeof(p->why), "%s", rep ? rep->text : "the parent has gone");
    if (rep)
        log_error(NULL, "slot cannot be made", "slot", LOG_U64(s->number), "error", p->why);
    pool_clean(s); /* may be half made */
    pool_fail_waiters(p, r, p->why);
    timer_set(p->refill, RETRY_MAKE_MS);
}

static void pool_make(struct pool_slot *s)
{
    int r = priv_slot(s->pool->host->priv, PRIV_SLOT_MAKE, s->number, &s->op, pool_on_made, s);

    if (r == 0)
        s->state = POOL_MAKING;
    else
        log_error(NULL, "slot cannot be asked for", "error", strerror(-r));
}

/* One at a time: whoever waits gets the next one soonest. */
static void pool_fill(struct pool *p)
{
    unsigned ready = pool_ready(p);
    struct pool_slot *s;

    if (!p->open || pool_find(p, POOL_MAKING) || (list_empty(&p->waiters) && ready >= (unsigned) p->host->conf->pool_slots))
        return;
    if (p->why_code && timer_pending(p->refill))
        return; /* it failed a moment ago */
    if (list_empty(&p->waiters) && p->holds) {
        timer_set(p->refill, HOLD_MAX_MS);
        return;
    }
    s = pool_find(p, POOL_FREE);
    if (s)
        pool_make(s);
}

static void pool_on_refill(void *arg)
{
    struct pool *p = arg;
    unsigned holds = p->holds;

    p->holds = 0; /* held long enough */
    pool_fill(p);
    p->holds = holds;
}

void pool_hold(struct pool *p, bool hold)
{
    if (hold) {
        p->holds++;
    } else {
        assert(p->holds > 0);
        p->holds--;
        if (p->holds == 0 && p->open && !p->why_code)
            timer_set(p->refill, REFILL_MS);
    }
}

/* ---- cleaning ---- */

static void pool_on_cleaned(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct pool_slot *s = arg;
    pool_released_fn *released = s->released;

    (void) fds;
    if (r < 0) {
        if (!rep)
            return; /* the parent has gone, and soon we */
        s->retry_ms = s->retry_ms ? (s->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->retry_ms * 2) : RETRY_FIRST_MS;
        if (r != -EAGAIN && !s->warned) {
            log_error(NULL, "slot cannot be cleaned, trying on", "slot", LOG_U64(s->number), "error", rep->text);
            s->warned = true;
        }
        timer_set(s->retry, s->retry_ms);
        return;
    }
    timer_free(s->retry);
    s->retry = NULL;
    s->released = NULL;
    s->state = POOL_FREE;
    if (released)
        released(s->arg);
    pool_fill(s->pool);
}

static void pool_ask_clean(void *arg)
{
    struct pool_slot *s = arg;

    if (priv_slot(s->pool->host->priv, PRIV_SLOT_DESTROY, s->number, &s->op, pool_on_cleaned, s) < 0)
        timer_set(s->retry, RETRY_MAX_MS);
}

static void pool_clean(struct pool_slot *s)
{
    s->state = POOL_CLEANING;
    s->retry_ms = 0;
    s->warned = false;
    if (!s->retry)
        s->retry = timer_new(s->pool->host->loop, pool_ask_clean, s);
    pool_ask_clean(s);
}

void pool_release(struct pool *p, unsigned slot, pool_released_fn *done, void *arg)
{
    struct pool_slot *s = &p->slots[slot];

    assert(slot < p->count && s->state == POOL_USED);
    s->released = done;
    s->arg = arg;
    pool_clean(s);
}

void pool_cancel_release(struct pool *p, unsigned slot)
{
    assert(slot < p->count);
    p->slots[slot].released = NULL;
}

/* ---- sweeping ---- */

static void pool_on_leftovers(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct pool *p = arg;
    pool_swept_fn *swept = p->swept;

    (void) fds;
    for (unsigned i = 0; r == 0 && i < p->count; i++) {
        if (!(rep->slots[i / 8] & (1u << (i % 8))) || p->slots[i].state != POOL_FREE)
            continue;
        log_warn(NULL, "removing what belongs to no virtual machine", "slot", LOG_U64(i));
        pool_clean(&p->slots[i]);
    }
    if (p->open)
        timer_set(p->sweep, SWEEP_MS);
    p->swept = NULL;
    if (swept)
        swept(p->swept_arg, r);
}

void pool_sweep(struct pool *p, pool_swept_fn *done, void *arg)
{
    union priv_message m = {.head.op = PRIV_LEFTOVERS};
    int r;

    op_cancel(&p->sweep_op);
    p->swept = done;
    p->swept_arg = arg;
    r = priv_call(p->host->priv, &m, NULL, 0, &p->sweep_op, pool_on_leftovers, p);
    if (r < 0) {
        log_error(NULL, "leftovers cannot be asked for", "error", strerror(-r));
        timer_set(p->sweep, SWEEP_MS);
    }
}

static void pool_on_sweep(void *arg)
{
    pool_sweep(arg, NULL, NULL);
}

/* ---- life ---- */

int pool_new(struct pool **out, struct host *h)
{
    struct pool *p = xnew(struct pool);

    p->host = h;
    p->count = PRIV_SLOTS_MAX; /* all are looked after: the limit of VMs may have been higher before */
    p->slots = xcalloc(p->count, sizeof(*p->slots));
    for (unsigned i = 0; i < p->count; i++)
        p->slots[i] = (struct pool_slot){.pool = p, .number = i};
    list_init(&p->waiters);
    p->refill = timer_new(h->loop, pool_on_refill, p);
    p->sweep = timer_new(h->loop, pool_on_sweep, p);
    *out = p;
    return 0;
}

void pool_open(struct pool *p)
{
    p->open = true;
    timer_set(p->sweep, SWEEP_MS);
    pool_fill(p);
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pool_fail_waiters(p, -ECANCELED, "stopping");
    op_cancel(&p->sweep_op);
    for (unsigned i = 0; i < p->count; i++) {
        op_cancel(&p->slots[i].op);
        timer_free(p->slots[i].retry);
    }
    defer_cancel(&p->hand_out);
    timer_free(p->refill);
    timer_free(p->sweep);
    free(p->slots);
    free(p);
}
