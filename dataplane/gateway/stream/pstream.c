/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/pstream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stats.h"
#include "dataplane/gateway/stream/batch.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/frame.h"
#include "dataplane/gateway/stream/streams.h"

enum {
    PSTREAM_UNACKED_BYTES = 1024 * 1024, /* more than this is acknowledged before it has settled */
    PSTREAM_HELD_BYTES = 8 * 1024 * 1024, /* a decent watcher may be so far behind before the process has to wait for it */
    PSTREAM_LOOK_MS = 100,
    PSTREAM_GAPS_MAX = 16,
    PSTREAM_META_KEEP = 8 * 1024,        /* longer command lines are in the store only */
};

static void pstream_pump(struct pstream *p);
static void pstream_load(struct pstream *p);

static struct log_ctx pstream_ctx(const struct pstream *p)
{
    return (struct log_ctx){.sandbox = p->streams->sandbox->id};
}

static bool pstream_over(const struct pstream *p)
{
    return p->state == PSTREAM_ENDED || p->state == PSTREAM_LOST;
}

static void pstream_set_state(struct pstream *p, enum pstream_state state)
{
    bool was_over = pstream_over(p);

    p->state = state;
    if (was_over && !pstream_over(p))
        p->streams->live++;
    else if (!was_over && pstream_over(p))
        p->streams->live--;
}

/* ---- queue ---- */

static void pstream_pop(struct pstream *p)
{
    struct frame *f = LIST_ENTRY(p->queue.next, struct frame, node);

    list_del(&f->node);
    p->queue_bytes -= frame_cost(f);
    streams_pending(p->streams, 0, frame_cost(f));
    free(f);
}

static void pstream_drop_queue(struct pstream *p)
{
    while (!list_empty(&p->queue))
        pstream_pop(p);
    p->inflight = 0;
    p->exit_queued = false;
}

static struct frame *pstream_head(const struct pstream *p)
{
    return list_empty(&p->queue) ? NULL : LIST_ENTRY(p->queue.next, struct frame, node);
}

static void pstream_push(struct pstream *p, struct frame *f)
{
    list_append(&p->queue, &f->node);
    p->queue_bytes += frame_cost(f);
    streams_pending(p->streams, frame_cost(f), 0);
    p->received = f->cursor;
    p->resend = false;
}

/* ---- watchers ---- */

struct watcher_view pstream_view(const struct pstream *p)
{
    return (struct watcher_view){.pid = p->pid, .meta = &p->meta, .first = p->kept.first, .stored = p->stored};
}

void pstream_watch(struct pstream *p, struct watcher *w)
{
    struct watcher_view v = pstream_view(p);

    pstream_pin(p);
    list_append(&p->watchers, &w->node);
    p->watcher_count++;
    watcher_kick(w, &v);
}

void pstream_unwatch(struct pstream *p, struct watcher *w)
{
    if (!w->node.next)
        return;
    list_del(&w->node);
    p->watcher_count--;
    pstream_unpin(p);
}

static void pstream_kick_watchers(struct pstream *p)
{
    struct watcher_view v = pstream_view(p);

    LIST_FOR_EACH_SAFE(n, tmp, &p->watchers)
        watcher_kick(LIST_ENTRY(n, struct watcher, node), &v);
}

/* A frame is stored: everybody may see it. */
static void pstream_show(struct pstream *p, const struct frame *f)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(0);
    struct watcher_view v;

    p->stored = f->cursor;
    if (f->kind == LINK_STARTED && !p->meta.os_pid && meta_set_started(&p->meta, f->data, f->len) < 0)
        return; /* checked when it came */
    if (f->kind == LINK_EXIT && meta_set_exit(&p->meta, f->data, f->len) == 0)
        pstream_set_state(p, PSTREAM_ENDED);
    v = pstream_view(p);
    LIST_FOR_EACH_SAFE(n, tmp, &p->watchers) {
        struct watcher *w = LIST_ENTRY(n, struct watcher, node);

        if (f->kind == 0)
            watcher_gap(w, f->cursor);
        else
            watcher_frame(w, &v, f->cursor, f->kind, f->data, f->len, &text);
    }
}

/* ---- acknowledging ---- */

static void pstream_ack(struct pstream *p, uint64_t cursor)
{
    struct alink *link = p->streams->link;

    if (cursor <= p->acked || !link || !alink_up(alink_state(link)))
        return;
    p->acked = cursor;
    alink_ack(link, p->pid, cursor);
    if (cursor == p->stored) {
        streams_unacked(p->streams, 0, p->unacked_bytes);
        p->unacked_bytes = 0;
    }
}

uint64_t pstream_floor(const struct pstream *p)
{
    uint64_t floor = RETAIN_NO_HOLD;

    LIST_FOR_EACH(n, &p->watchers) {
        const struct watcher *w = LIST_ENTRY(n, struct watcher, node);

        if (w->paced && w->next < floor)
            floor = w->next;
    }
    return floor;
}

/*
 * A client that reads as fast as it can is not to lose output because the process is faster still: then the agent's memory fills, and the
 * process waits. One that does not read, or too slowly, counts for nothing after two looks.
 */
static bool pstream_held(const struct pstream *p)
{
    uint64_t floor = pstream_floor(p);

    return floor <= p->stored && retain_bytes_from(&p->kept, floor) > PSTREAM_HELD_BYTES;
}

static void pstream_ack_early(struct pstream *p)
{
    if (p->unacked_bytes <= PSTREAM_UNACKED_BYTES && !streams_must_ack(p->streams))
        return;
    if (!pstream_held(p))
        pstream_ack(p, p->stored);
    else if (!timer_pending(p->look))
        timer_set(p->look, PSTREAM_LOOK_MS);
}

static void pstream_on_look(void *arg)
{
    struct pstream *p = arg;
    struct watcher_view v = pstream_view(p);

    LIST_FOR_EACH(n, &p->watchers)
        watcher_look(LIST_ENTRY(n, struct watcher, node), &v);
    pstream_ack_early(p);
    if (p->watcher_count > 0 && p->unacked_bytes > 0)
        timer_set(p->look, PSTREAM_LOOK_MS);
}

void pstream_moved(struct pstream *p)
{
    pstream_ack_early(p);
}

/*
 * Redis syncs its log once a second and may lose what came last, so frames are acknowledged when they have been stored for two ticks.
 * A process that prints much is acknowledged earlier: the agent's memory is worth more then, and it keeps frames a while longer.
 */
static void pstream_stored_more(struct pstream *p, size_t bytes)
{
    p->unacked_bytes += bytes;
    streams_unacked(p->streams, bytes, 0);
    pstream_ack_early(p);
}

/* ---- appending ---- */

static void pstream_finish_batch(struct pstream *p)
{
    size_t bytes = 0;
    bool ended = false;

    retain_deinit(&p->kept);
    p->kept = p->next_kept;
    p->next_kept.marks = NULL;
    p->next_kept.mark_count = p->next_kept.mark_cap = 0;
    p->rebuild = false;
    stats_frames_stored(p->inflight);
    for (; p->inflight > 0; p->inflight--) {
        bytes += pstream_head(p)->len;
        pstream_show(p, pstream_head(p));
        ended |= p->state == PSTREAM_ENDED;
        pstream_pop(p);
    }
    if (p->meta.started_len > PSTREAM_META_KEEP)
        meta_deinit(&p->meta);
    pstream_stored_more(p, bytes);
    if (ended)
        streams_finished(p->streams, p);
}

static void pstream_on_appended(void *arg, int r, const struct redisReply *reply)
{
    static struct log_limit limit = LOG_LIMIT_INIT(10);
    struct pstream *p = arg;
    struct log_ctx ctx = pstream_ctx(p);
    uint64_t last = 0;

    if (r < 0) {
        p->inflight = 0; /* it may be stored or not: the store is asked when it is back */
        return;
    }
    switch (store_append_reply(reply, &last)) {
    case STORE_APPEND_OK:
        pstream_finish_batch(p);
        pstream_pump(p);
        return;
    case STORE_APPEND_GAP:
        p->inflight = 0;
        if (log_allow(&limit))
            log_warn(&ctx, "the store has lost frames, asking the agent", "pid", p->pid, "last", LOG_U64(last));
        pstream_load(p);
        return;
    default:
        p->inflight = 0;
        p->retry = true;
        stats_store_refused();
        if (str_starts(reply_error(reply), "OOM"))
            streams_env_shed(p->streams->env);
        if (log_allow(&limit))
            log_warn(&ctx, "the store refuses frames, retrying", "reply", reply_error(reply));
    }
}

/* ---- the end without an exit ---- */

static void pstream_on_lost_stored(void *arg, int r, const struct redisReply *reply)
{
    (void) arg;
    (void) r;
    (void) reply; /* if it failed, the next comparison with the agent's list finds it again */
}

static void pstream_finish_losing(struct pstream *p)
{
    static struct log_limit limit = LOG_LIMIT_INIT(60);
    const struct stream_limits *l = &p->streams->env->limits;
    struct log_ctx ctx = pstream_ctx(p);

    if (!redis_is_up(p->streams->env->redis) || store_lost(p->streams->env->redis, p->streams->sandbox->id, p->pid, l->frames_ttl_ms,
                                                           l->proc_ttl_ms, clock_real_ms(), pstream_on_lost_stored, NULL) < 0)
        return;
    p->losing = false;
    p->meta.lost = true;
    pstream_set_state(p, PSTREAM_LOST);
    if (log_allow(&limit))
        log_info(&ctx, "process lost", "pid", p->pid);
    streams_finished(p->streams, p);
    pstream_kick_watchers(p);
}

void pstream_lose(struct pstream *p)
{
    if (pstream_over(p) || p->state == PSTREAM_UNKNOWN)
        return;
    p->losing = true;
    pstream_pump(p);
}

/* Nothing to store, but expiry must be pushed back, or what was kept for a watcher be dropped. */
static bool pstream_touch_due(const struct pstream *p)
{
    bool over = p->kept.mark_count > 0 && retain_kept_cost(&p->kept) > p->kept.limit && pstream_floor(p) == RETAIN_NO_HOLD;
    bool old = p->state == PSTREAM_LIVE && loop_now_ms(p->streams->env->loop) - p->touched_ms >= PSTREAM_TOUCH_MS;

    return p->stored > 0 && (over || old);
}

static void pstream_pump(struct pstream *p)
{
    struct batch b;

    if (p->store_op || p->retry || !redis_is_up(p->streams->env->redis))
        return;
    if (!p->verified) {
        pstream_load(p);
        return;
    }
    if (p->state != PSTREAM_LIVE && !(p->state == PSTREAM_ENDED && pstream_touch_due(p)))
        return;
    if (list_empty(&p->queue) && p->losing) {
        pstream_finish_losing(p);
        return;
    }
    if (list_empty(&p->queue) && !pstream_touch_due(p))
        return;
    batch_plan(p, &b);
    if (batch_send(p, &b, pstream_on_appended) == 0)
        p->inflight = b.frames;
}

static void pstream_on_pump(void *arg)
{
    pstream_pump(arg);
}

static void pstream_pump_later(struct pstream *p)
{
    loop_defer(p->streams->env->loop, &p->pump, pstream_on_pump, p);
}

bool pstream_settled(const struct pstream *p)
{
    return list_empty(&p->queue) && !p->store_op && !p->losing && p->state != PSTREAM_LOADING;
}

/* ---- what the store knows ---- */

static void pstream_apply_record(struct pstream *p, const struct store_proc *rec)
{
    retain_deinit(&p->kept);
    retain_init(&p->kept, streams_retention(p->streams));
    if (rec->totals.p && retain_read(&p->kept, rec->totals.p, rec->totals.len, rec->marks.p ? rec->marks.p : "", rec->marks.len) < 0) {
        struct log_ctx ctx = pstream_ctx(p);

        log_warn(&ctx, "stored accounting makes no sense, starting anew", "pid", p->pid);
    }
    retain_skip(&p->kept, rec->last);
    if (rec->started.p && !p->meta.os_pid && meta_set_started(&p->meta, rec->started.p, rec->started.len) == 0 &&
        p->meta.started_len > PSTREAM_META_KEEP)
        meta_deinit(&p->meta);
    p->meta.exited = rec->exit.p && meta_read_exit(&p->meta, rec->exit.p, rec->exit.len) == 0;
    p->meta.lost = rec->lost && !p->meta.exited;
}

/* Frames in the queue that turn out to be stored are shown; a queue that does not continue the store is asked for again. */
static void pstream_apply_queue(struct pstream *p, uint64_t last)
{
    while (pstream_head(p) && pstream_head(p)->cursor <= last) {
        if (p->state == PSTREAM_LIVE && pstream_head(p)->cursor > p->stored)
            pstream_show(p, pstream_head(p));
        pstream_pop(p);
    }
    if (pstream_head(p) && pstream_head(p)->from > last + 2) {
        pstream_drop_queue(p);
        p->resend = true;
    }
    if (list_empty(&p->queue)) {
        p->resend |= p->received > last;
        p->received = last;
        p->exit_queued = false;
    }
    p->stored = last;
}

static enum pstream_state pstream_state_of(const struct pstream *p, bool found)
{
    if (p->meta.exited)
        return PSTREAM_ENDED;
    if (p->meta.lost)
        return PSTREAM_LOST;
    if (found || p->state == PSTREAM_LIVE || pstream_over(p) || !list_empty(&p->queue) || p->resend)
        return PSTREAM_LIVE;
    return PSTREAM_UNKNOWN;
}

static void pstream_apply(struct pstream *p, const struct store_proc *rec)
{
    bool was_over = pstream_over(p), was_lost = p->state == PSTREAM_LOST;

    p->rebuild = !rec->found && p->stored > 0;
    p->inflight = 0;
    pstream_apply_record(p, rec);
    pstream_apply_queue(p, rec->last);
    pstream_set_state(p, pstream_state_of(p, rec->found));
    if (was_lost && p->state == PSTREAM_LIVE)
        p->losing = true; /* the store has forgotten it */
    if (p->state == PSTREAM_UNKNOWN || pstream_over(p))
        p->losing = false;
    if (!was_over && pstream_over(p))
        streams_finished(p->streams, p);
    p->settle[0] = p->settle[1] = p->acked < p->stored ? p->acked : p->stored;
    p->verified = true;
    if (p->resend)
        pstream_probe(p);
    pstream_kick_watchers(p);
    pstream_pump(p);
    streams_kick(p->streams);
}

static void pstream_on_loaded(void *arg, int r, const struct redisReply *reply)
{
    static struct log_limit limit = LOG_LIMIT_INIT(10);
    struct pstream *p = arg;
    struct store_proc rec;

    if (r < 0)
        return; /* down: again when it is up */
    if (store_load_reply(reply, &rec) < 0) {
        struct log_ctx ctx = pstream_ctx(p);

        p->retry = true;
        if (log_allow(&limit))
            log_warn(&ctx, "cannot read a process from the store, retrying", "pid", p->pid, "reply", reply_error(reply));
        return;
    }
    pstream_apply(p, &rec);
}

static void pstream_load(struct pstream *p)
{
    struct stream_env *env = p->streams->env;

    p->verified = false;
    if (p->store_op || !redis_is_up(env->redis))
        return;
    if (store_load(env->redis, p->streams->sandbox->id, p->pid, &p->store_op, pstream_on_loaded, p) < 0)
        p->verified = false; /* down: again when it is up */
}

void pstream_store_up(struct pstream *p)
{
    p->retry = false;
    pstream_load(p);
}

void pstream_store_down(struct pstream *p)
{
    p->verified = false;
    p->inflight = 0;
}

/* ---- frames ---- */

static int pstream_check_json(enum link_kind k, const uint8_t *data, size_t len)
{
    struct meta m = {0};
    int r = 0;

    if (k == LINK_STARTED)
        r = meta_set_started(&m, data, len);
    else if (k == LINK_EXIT)
        r = meta_set_exit(&m, data, len);
    meta_deinit(&m);
    return r < 0 ? -EPROTO : 0;
}

static int pstream_accept(struct pstream *p, enum link_kind k, uint64_t cursor, const uint8_t *data, size_t len)
{
    if (p->exit_queued || pstream_check_json(k, data, len) < 0)
        return -EPROTO;
    p->exit_queued = k == LINK_EXIT;
    pstream_push(p, frame_new(cursor, k, data, len));
    pstream_pump_later(p);
    return 0;
}

/* The agent is ahead of what we have: another worker may have stored the rest, so the store is asked first, then the agent. */
static int pstream_gap(struct pstream *p)
{
    if (p->resend)
        return 0; /* was asked for already; this was under way before */
    if (++p->gaps > PSTREAM_GAPS_MAX)
        return -EPROTO;
    p->resend = true;
    pstream_load(p);
    return 0;
}

int pstream_frame(struct pstream *p, enum link_kind k, uint64_t cursor, const uint8_t *data, size_t len)
{
    bool follows = cursor == p->received + 2 || (cursor == CURSOR_STARTED && p->received == 0);

    switch (p->state) {
    case PSTREAM_LOADING:
        if (list_empty(&p->queue) || follows)
            return pstream_accept(p, k, cursor, data, len);
        p->resend |= cursor > p->received;
        return 0;
    case PSTREAM_UNKNOWN:
        pstream_set_state(p, PSTREAM_LIVE);
        break;
    case PSTREAM_LIVE:
        break;
    case PSTREAM_ENDED:
        return cursor <= p->stored ? 0 : -EPROTO;
    case PSTREAM_LOST:
        /* It was given up with good reason; the agent need not keep it. */
        alink_ack(p->streams->link, p->pid, cursor);
        return 0;
    }
    if (cursor <= p->received)
        return 0; /* sent again on a new link */
    return follows ? pstream_accept(p, k, cursor, data, len) : pstream_gap(p);
}

int pstream_frames_lost(struct pstream *p, uint64_t from, uint64_t to)
{
    static struct log_limit limit = LOG_LIMIT_INIT(30);
    struct log_ctx ctx = pstream_ctx(p);
    struct frame *f;

    if (p->state != PSTREAM_LIVE || to <= p->received)
        return 0;
    if (p->exit_queued || from > p->received + 2)
        return -EPROTO;
    if (log_allow(&limit))
        log_warn(&ctx, "frames are lost", "pid", p->pid, "from", LOG_U64(p->received + 2), "to", LOG_U64(to));
    stats_frames_lost((to - p->received) / 2);
    f = frame_new(to, 0, NULL, 0);
    f->from = cursor_after(p->received);
    pstream_push(p, f);
    pstream_pump_later(p);
    return 0;
}

/* ---- life ---- */

struct pstream *pstream_new(struct streams *s, const char *pid)
{
    struct pstream *p = xnew(struct pstream);

    p->streams = s;
    str_copy(p->pid, sizeof(p->pid), pid);
    list_init(&p->queue);
    list_init(&p->watchers);
    retain_init(&p->kept, streams_retention(s));
    stdin_queue_init(&p->input, s->link, p->pid);
    p->look = timer_new(s->env->loop, pstream_on_look, p);
    s->live++;
    pstream_load(p);
    return p;
}

void pstream_begin(struct pstream *p)
{
    op_cancel(&p->store_op);
    pstream_set_state(p, PSTREAM_LIVE);
    p->verified = true;
    p->touched_ms = loop_now_ms(p->streams->env->loop);
}

void pstream_unbegin(struct pstream *p)
{
    if (p->state != PSTREAM_LIVE || p->received > 0)
        return;
    pstream_set_state(p, PSTREAM_UNKNOWN);
    LIST_FOR_EACH_SAFE(n, tmp, &p->watchers)
        watcher_end(LIST_ENTRY(n, struct watcher, node), 1000, "process_not_found", "the process could not be started");
}

void pstream_adopt(struct pstream *p, int64_t os_pid)
{
    if (p->state != PSTREAM_UNKNOWN)
        return;
    pstream_set_state(p, PSTREAM_LIVE);
    p->meta.os_pid = os_pid;
    p->resend = true;
    pstream_probe(p);
}

void pstream_free(struct pstream *p)
{
    assert(p->pins == 0);
    if (!pstream_over(p))
        p->streams->live--;
    op_cancel(&p->store_op);
    defer_cancel(&p->pump);
    timer_free(p->look);
    pstream_drop_queue(p);
    streams_unacked(p->streams, 0, p->unacked_bytes);
    stdin_queue_deinit(&p->input);
    retain_deinit(&p->kept);
    retain_deinit(&p->next_kept);
    meta_deinit(&p->meta);
    free(p);
}

void pstream_pin(struct pstream *p)
{
    p->pins++;
}

void pstream_unpin(struct pstream *p)
{
    assert(p->pins > 0);
    p->pins--;
}

void pstream_probe(struct pstream *p)
{
    struct alink *link = p->streams->link;

    if (p->verified && link && alink_up(alink_state(link)))
        alink_resend(link, p->pid, p->received);
}

void pstream_link_up(struct pstream *p)
{
    p->acked = 0;
    p->gaps = 0;
    if (p->resend)
        pstream_probe(p);
    stdin_queue_pump(&p->input);
}

bool pstream_tick(struct pstream *p)
{
    p->retry = false;
    if (p->verified && !pstream_held(p)) {
        pstream_ack(p, p->settle[1]);
        p->settle[1] = p->settle[0];
        p->settle[0] = p->stored;
    }
    pstream_pump(p);
    if (p->pins > 0 || !pstream_settled(p) || !p->verified)
        return true;
    if (p->state == PSTREAM_ENDED)
        return p->streams->link && p->acked < p->stored;
    return p->state == PSTREAM_LIVE;
}
