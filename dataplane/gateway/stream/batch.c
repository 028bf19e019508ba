/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/batch.h"

#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/frame.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"

enum { BATCH_FRAMES = 512, BATCH_BYTES = 512 * 1024 };
#define BATCH_RUNNING_TTL_MS (UINT64_C(7) * 24 * 3600 * 1000)

static const struct frame *batch_head(const struct pstream *p)
{
    return list_empty(&p->queue) ? NULL : LIST_ENTRY(p->queue.next, struct frame, node);
}

void batch_plan(struct pstream *p, struct batch *b)
{
    memset(b, 0, sizeof(*b));
    b->first = p->stored + 2 - (p->stored == 0);
    retain_deinit(&p->next_kept);
    retain_copy(&p->next_kept, &p->kept);
    p->next_kept.limit = streams_retention(p->streams);
    p->next_kept.hold = pstream_floor(p);
    if (list_empty(&p->queue)) {
        retain_trim(&p->next_kept);
        b->marks = true;
    }
    LIST_FOR_EACH(n, &p->queue) {
        const struct frame *f = LIST_ENTRY(n, struct frame, node);

        if (f->kind == 0 && b->frames > 0)
            return;
        if (b->frames == BATCH_FRAMES || (b->frames > 0 && b->bytes + f->len > BATCH_BYTES))
            return;
        b->frames++;
        b->bytes += f->len;
        if (f->kind == 0) {
            b->gap = true;
            b->first = f->cursor + 2;
            retain_skip(&p->next_kept, f->cursor);
            return;
        }
        b->appended++;
        b->marks |= retain_add(&p->next_kept, f->cursor, f->kind, f->len) > 0;
        b->started |= f->kind == LINK_STARTED;
        if (f->kind == LINK_EXIT)
            b->exited = meta_set_exit(&b->exit, f->data, f->len) == 0;
    }
}

static const struct frame *batch_started(const struct pstream *p)
{
    const struct frame *f = batch_head(p);

    return f && f->kind == LINK_STARTED ? f : NULL;
}

static void batch_describe(struct pstream *p, const struct batch *b, struct store_append *a)
{
    const struct stream_limits *l = &p->streams->env->limits;
    uint64_t now = loop_now_ms(p->streams->env->loop);

    *a = (struct store_append){.sandbox = p->streams->sandbox->id, .pid = p->pid, .first = b->first, .jump = b->gap,
                               .frames = b->appended, .finished_ms = -1};
    if (p->next_kept.first > p->kept.first)
        a->trim_before = p->next_kept.first;
    if (b->exited) {
        a->frames_ttl_ms = l->frames_ttl_ms;
        a->proc_ttl_ms = l->proc_ttl_ms;
        a->finished_ms = clock_real_ms();
        a->forget_before_ms = clock_real_ms() - (int64_t) l->proc_ttl_ms;
    } else if (p->state != PSTREAM_ENDED && (b->started || p->rebuild || now - p->touched_ms >= PSTREAM_TOUCH_MS)) {
        a->frames_ttl_ms = a->proc_ttl_ms = BATCH_RUNNING_TTL_MS;
        a->finished_ms = 0;
        p->touched_ms = now;
    }
}

static void batch_add_meta(struct pstream *p, const struct batch *b, struct store_cmd *c)
{
    const struct frame *f = b->started ? batch_started(p) : NULL;
    char exit[96];

    if (f)
        store_append_field(c, "started", f->data, f->len);
    else if (p->rebuild && p->meta.started)
        store_append_field(c, "started", p->meta.started, p->meta.started_len);
    if (b->exited) {
        meta_exit_text(&b->exit, exit, sizeof(exit));
        store_append_field(c, "exit", exit, strlen(exit));
    }
}

static unsigned batch_meta_fields(const struct pstream *p, const struct batch *b)
{
    return (b->started || (p->rebuild && p->meta.started) ? 1 : 0) + (b->exited ? 1 : 0);
}

int batch_send(struct pstream *p, const struct batch *b, redis_done_fn *done)
{
    cleanup(buf_deinit) struct buf totals = BUF_INIT(0);
    cleanup(buf_deinit) struct buf marks = BUF_INIT(0);
    bool with_marks = b->marks || p->rebuild;
    unsigned left = b->appended;
    struct store_append a;
    struct store_cmd c;

    batch_describe(p, b, &a);
    a.fields = 1 + with_marks + batch_meta_fields(p, b);
    if (retain_write_totals(&p->next_kept, &totals) < 0 || retain_write_marks(&p->next_kept, &marks) < 0)
        return -ENOBUFS;
    store_append_begin(&c, p->streams->env->redis, &a);
    store_append_field(&c, "totals", buf_data(&totals), totals.len);
    if (with_marks)
        store_append_field(&c, "marks", buf_data(&marks), marks.len);
    batch_add_meta(p, b, &c);
    for (struct list *n = p->queue.next; left > 0; n = n->next, left--) {
        const struct frame *f = LIST_ENTRY(n, struct frame, node);

        store_append_frame(&c, f->kind, f->data, f->len);
    }
    return store_append_send(&c, p->streams->env->redis, &p->store_op, done, p);
}
