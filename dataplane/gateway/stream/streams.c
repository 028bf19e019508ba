/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stats.h"
#include "dataplane/gateway/stream/pstream.h"

enum {
    STREAMS_TICK_MS = 1000,
    STREAMS_LINK_HEAD_MS = 10000,
    STREAMS_LINK_SILENCE_MS = 90000, /* asked after each third: rarely enough to let an idle guest sleep */
    STREAMS_UNACKED_BYTES = 8 * 1024 * 1024,
    STREAMS_RETENTION_MIN = 256 * 1024,
    STREAMS_FINISHED_MAX = 1000,
    STREAMS_SHED = 16, /* outputs that go at a time when the store is full */
    STREAMS_ENDING_MS = 10000,
};

/* Kept output of a process that has ended: dropped when the sandbox keeps too much. */
struct finished {
    struct list node;
    char pid[LINK_PID_MAX + 1];
    uint64_t cost, at_ms;
    char *totals; /* owned: the accounting once it is dropped */
};

/* ---- memory ---- */

static bool streams_over(const struct streams *s, unsigned part)
{
    const struct stream_limits *l = &s->env->limits;

    return s->pending_bytes > l->sandbox_pending_bytes / part ||
           (s->env->pending_bytes > l->total_pending_bytes / part && s->pending_bytes > 0);
}

void streams_pending(struct streams *s, size_t added, size_t removed)
{
    s->pending_bytes += added;
    s->pending_bytes -= removed;
    s->env->pending_bytes += added;
    s->env->pending_bytes -= removed;
    if (!s->link)
        return;
    if (added && streams_over(s, 1))
        alink_pause(s->link, true);
    else if (removed && !streams_over(s, 2))
        alink_pause(s->link, false);
}

void streams_unacked(struct streams *s, size_t added, size_t removed)
{
    s->unacked_bytes += added;
    s->unacked_bytes -= removed;
}

bool streams_must_ack(const struct streams *s)
{
    return s->unacked_bytes > STREAMS_UNACKED_BYTES;
}

/* Many processes at once share what a sandbox may keep. */
uint64_t streams_retention(const struct streams *s)
{
    const struct stream_limits *l = &s->env->limits;
    uint64_t share = l->sandbox_retention_bytes / (s->live ? s->live : 1);

    if (share < STREAMS_RETENTION_MIN)
        share = STREAMS_RETENTION_MIN;
    return share < l->retention_bytes ? share : l->retention_bytes;
}

static void finished_free(struct streams *s, struct finished *f)
{
    list_del(&f->node);
    s->finished_cost -= f->cost;
    s->finished_count--;
    free(f->totals);
    free(f);
}

static struct finished *streams_oldest(const struct streams *s)
{
    return LIST_ENTRY(s->finished.next, struct finished, node);
}

/* Drops the output of the oldest; false when the store is down. */
static bool streams_drop_oldest(struct streams *s)
{
    struct finished *f = streams_oldest(s);

    if (store_drop_output(s->env->redis, s->sandbox->id, f->pid, f->totals, strlen(f->totals)) < 0)
        return false;
    finished_free(s, f);
    return true;
}

static void streams_forget_finished(struct streams *s)
{
    const struct stream_limits *l = &s->env->limits;
    uint64_t now = loop_now_ms(s->env->loop);

    while (s->finished_count > 0 && now - streams_oldest(s)->at_ms > l->frames_ttl_ms)
        finished_free(s, streams_oldest(s));
    while (s->finished_count > 0 && (s->finished_cost > l->sandbox_retention_bytes || s->finished_count > STREAMS_FINISHED_MAX)) {
        if (!streams_drop_oldest(s))
            return; /* at the next tick */
    }
}

void streams_env_shed(struct stream_env *env)
{
    for (int i = 0; i < STREAMS_SHED; i++) {
        struct streams *oldest = NULL;

        LIST_FOR_EACH(n, &env->all) {
            struct streams *s = LIST_ENTRY(n, struct streams, node);

            if (s->finished_count > 0 && (!oldest || streams_oldest(s)->at_ms < streams_oldest(oldest)->at_ms))
                oldest = s;
        }
        if (!oldest || !streams_drop_oldest(oldest))
            return;
    }
}

void streams_finished(struct streams *s, const struct pstream *p)
{
    cleanup(buf_deinit) struct buf totals = BUF_INIT(0);
    struct retain dropped;
    struct finished *f;

    LIST_FOR_EACH(n, &s->finished) {
        if (strcmp(LIST_ENTRY(n, struct finished, node)->pid, p->pid) == 0)
            return;
    }
    f = xnew(struct finished);
    memcpy(f->pid, p->pid, sizeof(f->pid));
    f->cost = retain_kept_cost(&p->kept);
    f->at_ms = loop_now_ms(s->env->loop);
    retain_copy(&dropped, &p->kept);
    retain_drop_all(&dropped);
    if (retain_write_totals(&dropped, &totals) == 0 && buf_cstr(&totals))
        f->totals = xstrdup(buf_cstr(&totals));
    else
        f->totals = xstrdup("");
    retain_deinit(&dropped);
    list_append(&s->finished, &f->node);
    s->finished_cost += f->cost;
    s->finished_count++;
    streams_forget_finished(s);
}

/* ---- processes ---- */

struct pstream *streams_find(struct streams *s, const char *pid)
{
    return map_get(s->procs, pid);
}

struct pstream *streams_open(struct streams *s, const char *pid)
{
    struct pstream *p = map_get(s->procs, pid);

    if (p || map_count(s->procs) >= s->env->limits.processes_per_sandbox)
        return p;
    p = pstream_new(s, pid);
    map_put(s->procs, p->pid, p);
    if (!timer_pending(s->tick))
        timer_set(s->tick, STREAMS_TICK_MS);
    return p;
}

/* ---- the link's events ---- */

static void streams_on_up(void *arg)
{
    struct streams *s = arg;
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    while ((p = map_next(s->procs, &it, NULL)))
        pstream_link_up(p);
    streams_kick(s);
}

static int streams_broken(struct streams *s, const char *what, const char *pid)
{
    static struct log_limit limit = LOG_LIMIT_INIT(30);
    struct log_ctx ctx = {.sandbox = s->sandbox->id};

    stats_link_broken();
    if (log_allow(&limit))
        log_warn(&ctx, "agent broke a rule of the link, cutting it", "rule", what, "pid", pid);
    return -EPROTO;
}

static int streams_on_frame(void *arg, const char *pid, enum link_kind k, uint64_t cursor, const uint8_t *data, size_t len)
{
    struct streams *s = arg;
    struct pstream *p = streams_open(s, pid);

    if (!p)
        return streams_broken(s, "too many processes", pid);
    return pstream_frame(p, k, cursor, data, len) < 0 ? streams_broken(s, "frames", pid) : 0;
}

static int streams_on_lost(void *arg, const char *pid, uint64_t from, uint64_t to)
{
    struct streams *s = arg;
    struct pstream *p = streams_find(s, pid);

    if (!p)
        return 0;
    return pstream_frames_lost(p, from, to) < 0 ? streams_broken(s, "lost frames", pid) : 0;
}

static void streams_on_synced(void *arg)
{
    struct streams *s = arg;

    s->synced_once = true;
    streams_sync(s);
    streams_kick(s);
}

static void streams_on_down(void *arg, int r)
{
    struct streams *s = arg;

    (void) r; /* the link has logged it */
    op_cancel(&s->sync_op);
    streams_kick(s);
}

/* ---- waiters ---- */

void streams_wait(struct streams *s, struct streams_waiter *w)
{
    list_append(&s->waiters, &w->node);
}

void streams_wait_end(struct streams_waiter *w)
{
    list_del(&w->node);
}

/* A waiter may end others' waits too, so each round begins anew from a list of its own. */
void streams_kick(struct streams *s)
{
    struct list round;

    list_init(&round);
    while (!list_empty(&s->waiters)) {
        struct list *n = s->waiters.next;

        list_del(n);
        list_append(&round, n);
    }
    while (!list_empty(&round)) {
        struct list *n = round.next;

        list_del(n);
        list_append(&s->waiters, n);
        LIST_ENTRY(n, struct streams_waiter, node)->fn(LIST_ENTRY(n, struct streams_waiter, node));
    }
}

/* ---- life ---- */

static void streams_each_proc(struct streams *s, void (*fn)(struct pstream *p))
{
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    while ((p = map_next(s->procs, &it, NULL)))
        fn(p);
}

static bool streams_tick_procs(struct streams *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;
    bool settled = true;

    while ((p = map_next(s->procs, &it, NULL))) {
        if (!pstream_tick(p)) {
            map_del(s->procs, p->pid);
            pstream_free(p);
        } else {
            settled = settled && pstream_settled(p);
        }
    }
    return settled;
}

/* The sandbox has gone: frames are stored first, then what is running is lost. True when nothing is left to do. */
static bool streams_tick_ending(struct streams *s, bool settled)
{
    struct stream_env *env = s->env;
    bool late = loop_now_ms(env->loop) - s->ending_ms >= STREAMS_ENDING_MS;

    if (!redis_is_up(env->redis) || (!s->purge && !settled && !late))
        return false;
    if (s->purge)
        return store_purge(env->redis, s->sandbox->id) == 0;
    return store_lose_all(env->redis, s->sandbox->id, env->limits.frames_ttl_ms, env->limits.proc_ttl_ms) == 0;
}

static void streams_on_tick(void *arg)
{
    struct streams *s = arg;
    bool settled = streams_tick_procs(s);

    if (s->ending && streams_tick_ending(s, settled)) {
        streams_free(s);
        return;
    }
    if (redis_is_up(s->env->redis))
        streams_forget_finished(s);
    if (s->link && s->eager && s->sandbox->state == SANDBOX_RUNNING)
        alink_want(s->link, true);
    if (s->ending || map_count(s->procs) > 0 || s->finished_count > 0)
        timer_set(s->tick, STREAMS_TICK_MS);
}

struct streams *streams_new(struct stream_env *env, struct sandbox *sb, struct http_pool *pool)
{
    static const struct alink_ops ops = {
        .on_up = streams_on_up,
        .on_frame = streams_on_frame,
        .on_lost = streams_on_lost,
        .on_synced = streams_on_synced,
        .on_down = streams_on_down,
    };
    struct streams *s = xnew(struct streams);
    struct alink_conf conf = {.pool = pool, .token = &sb->agent_token, .sandbox = sb->id, .head_ms = STREAMS_LINK_HEAD_MS,
                              .silence_ms = STREAMS_LINK_SILENCE_MS};

    s->env = env;
    s->sandbox = sandbox_ref(sb);
    s->pool = pool;
    s->link = alink_new(env->loop, &conf, &ops, s);
    s->procs = map_new();
    list_init(&s->waiters);
    list_init(&s->finished);
    list_append(&env->all, &s->node);
    s->eager = env->workers <= 1 || strtoull(sb->id, NULL, 10) % env->workers == env->worker;
    s->tick = timer_new(env->loop, streams_on_tick, s);
    /* Many routes come at once when a gateway starts: their links are spread over a second. */
    timer_set(s->tick, random_u64() % STREAMS_TICK_MS);
    return s;
}

void streams_free(struct streams *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    if (!s)
        return;
    op_cancel(&s->sync_op);
    alink_free(s->link);
    s->link = NULL;
    while ((p = map_next(s->procs, &it, NULL)))
        pstream_free(p);
    map_free(s->procs);
    while (s->finished_count > 0)
        finished_free(s, streams_oldest(s));
    list_del(&s->node);
    timer_free(s->tick);
    sandbox_unref(s->sandbox);
    free(s);
}

void streams_end(struct streams *s, bool purge)
{
    struct alink *link = s->link;

    op_cancel(&s->sync_op);
    s->ending = true;
    s->purge = purge;
    s->ending_ms = loop_now_ms(s->env->loop);
    alink_free(link); /* fails what is under way while everything is still there */
    s->link = NULL;
    if (!purge)
        streams_each_proc(s, pstream_lose);
    timer_set(s->tick, 0);
}

void streams_run(struct streams *s, bool running)
{
    if (!running)
        alink_want(s->link, false);
    else if (s->eager || s->live > 0)
        alink_want(s->link, true);
}

void streams_restarted(struct streams *s, struct http_pool *pool)
{
    op_cancel(&s->sync_op);
    s->pool = pool;
    s->synced_once = false;
    alink_reset(s->link, pool);
}

void streams_need_link(struct streams *s)
{
    if (s->link && s->sandbox->state == SANDBOX_RUNNING)
        alink_want(s->link, true);
}

void streams_env_store_up(struct stream_env *env)
{
    LIST_FOR_EACH(n, &env->all) {
        struct streams *s = LIST_ENTRY(n, struct streams, node);

        streams_each_proc(s, pstream_store_up);
        if (s->sync_wanted)
            streams_sync(s);
        streams_kick(s);
    }
}

void streams_env_store_down(struct stream_env *env)
{
    LIST_FOR_EACH(n, &env->all)
        streams_each_proc(LIST_ENTRY(n, struct streams, node), pstream_store_down);
}
