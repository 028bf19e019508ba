/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_send - one writev a turn: the rest of a frame that is half sent, then control messages, then runs of frames, one chunk of each
 * process in turn. Only the last piece of a writev can be cut short; if that is inside a frame, its view becomes `partial`.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include "agent/procs/link_internal.h"
#include "agent/procs/procs.h"
#include "common/base/mem.h"
#include "common/net/stream.h"

enum { SEND_PIECES_MAX = 32, SEND_BYTES_A_TURN = 2 * MIB };

struct piece {
    struct link_view *view; /* NULL: control messages */
    size_t len;
};

struct batch {
    struct iovec iov[SEND_PIECES_MAX];
    struct piece pieces[SEND_PIECES_MAX];
    int count;
    size_t bytes;
};

int link_put(struct link *l, const struct link_msg *m)
{
    int r = link_encode(&l->out, m);

    link_kick(l);
    return r;
}

/* ---- views ---- */

struct link_view *link_view_get(struct link *l, struct proc *p, uint64_t next)
{
    struct link_view *v;

    LIST_FOR_EACH(n, &p->readers) {
        v = LIST_ENTRY(n, struct link_view, proc_node);
        if (v->link == l)
            return v;
    }
    v = xnew(struct link_view);
    v->link = l;
    v->proc = p;
    frames_reader_init(&v->at, next);
    list_append(&l->views, &v->link_node);
    list_append(&p->readers, &v->proc_node);
    return v;
}

void link_view_ready(struct link_view *v)
{
    if (!list_linked(&v->ready_node))
        list_append(&v->link->ready, &v->ready_node);
    link_kick(v->link);
}

static void link_view_synced(struct link_view *v)
{
    if (!v->sync_to)
        return;
    v->sync_to = 0;
    v->link->unsynced--;
    link_sync_check(v->link);
}

void link_view_free(struct link_view *v)
{
    assert(v->link->partial != v);
    list_del(&v->link_node);
    list_del(&v->proc_node);
    list_del(&v->ready_node);
    frames_reader_deinit(&v->at);
    link_view_synced(v);
    free(v);
}

void link_sync_check(struct link *l)
{
    const struct link_msg m = {.type = LINK_SYNCED};

    if (l->synced || l->unsynced)
        return;
    l->synced = true;
    if (link_put(l, &m) < 0)
        link_close(l);
}

static void view_rewind(struct link_view *v, uint64_t next)
{
    frames_reader_deinit(&v->at);
    frames_reader_init(&v->at, next);
    v->rewind = 0;
    link_view_ready(v);
}

void link_view_resend(struct link_view *v, uint64_t since)
{
    uint64_t next = since % 2 ? since + 2 : since + 1;

    if (v->at.skip)
        v->rewind = next;
    else
        view_rewind(v, next);
}

/* ---- a batch ---- */

static void batch_add(struct batch *b, struct link_view *v, const void *p, size_t len)
{
    b->iov[b->count] = (struct iovec){.iov_base = (void *) p, .iov_len = len};
    b->pieces[b->count++] = (struct piece){v, len};
    b->bytes += len;
}

/* false: the link broke a limit of ours */
static bool link_put_lost(struct link *l, const struct link_view *v, uint64_t from, uint64_t to)
{
    const struct link_msg m = {
        .type = LINK_LOST, .cursor = from, .cursor_to = to, .pid = v->proc->id, .pid_len = v->proc->frames.pid_len,
    };

    return link_put(l, &m) == 0;
}

/* The view's next run; a gap is told first (and its message goes out before the run: control messages do). */
static int view_next(struct link *l, struct link_view *v, const uint8_t **p, size_t *len)
{
    for (;;) {
        uint64_t from = v->at.next, to;
        int r = frames_read(&v->proc->frames, &v->at, p, len, &to);

        if (r != FRAMES_E_LOST)
            return r;
        if (!link_put_lost(l, v, from, to))
            return -ENOBUFS;
    }
}

static void batch_partial(struct link *l, struct batch *b)
{
    struct link_view *v = l->partial;
    const uint8_t *p;
    size_t len;
    uint64_t to;
    int r = frames_read(&v->proc->frames, &v->at, &p, &len, &to);

    assert(r == FRAMES_E_OK && v->at.skip);
    batch_add(b, v, p, v->rewind ? frames_rest(&v->at) : len);
}

static int batch_views(struct link *l, struct batch *b)
{
    LIST_FOR_EACH_SAFE(n, tmp, &l->ready) {
        struct link_view *v = LIST_ENTRY(n, struct link_view, ready_node);
        const uint8_t *p;
        size_t len;

        if (b->count == SEND_PIECES_MAX || b->bytes >= SEND_BYTES_A_TURN)
            break;
        if (v == l->partial)
            continue;
        int r = view_next(l, v, &p, &len);

        if (r < 0)
            return r;
        if (r == FRAMES_E_OK)
            batch_add(b, v, p, len);
        else
            list_del(&v->ready_node);
    }
    return 0;
}

/*
 * Gaps are found while views are looked at, and their LOST messages must precede the runs behind them: so the views come first
 * here, and the control messages are put before them afterwards.
 */
static int batch_fill(struct link *l, struct batch *b)
{
    struct batch views = {.count = 0};
    int r;

    b->count = 0;
    b->bytes = 0;
    if (l->partial)
        batch_partial(l, b);
    r = batch_views(l, &views);
    if (r < 0)
        return r;
    if (l->out.len)
        batch_add(b, NULL, buf_data(&l->out), l->out.len);
    for (int i = 0; i < views.count && b->count < SEND_PIECES_MAX; i++)
        batch_add(b, views.pieces[i].view, views.iov[i].iov_base, views.iov[i].iov_len);
    return 0;
}

/* `bytes` of this piece have gone out. */
static void piece_sent(struct link *l, const struct piece *piece, size_t bytes)
{
    struct link_view *v = piece->view;

    if (!v) {
        buf_consume(&l->out, bytes);
        return;
    }
    if (!bytes)
        return;
    frames_advance(&v->at, bytes);
    l->partial = v->at.skip ? v : NULL;
    if (!v->at.skip && v->rewind)
        view_rewind(v, v->rewind);
    /* to the end of the line, so that each process has its turn */
    list_del(&v->ready_node);
    if (v->at.next < v->proc->frames.next)
        list_append(&l->ready, &v->ready_node);
    if (v->sync_to && v->at.next >= v->sync_to)
        link_view_synced(v); /* may close the link */
}

static void batch_sent(struct link *l, const struct batch *b, size_t bytes)
{
    for (int i = 0; i < b->count && bytes && l->stream; i++) {
        size_t one = bytes < b->pieces[i].len ? bytes : b->pieces[i].len;

        piece_sent(l, &b->pieces[i], one);
        bytes -= one;
    }
}

static void link_update_want(struct link *l)
{
    bool more = l->out.len || l->partial || !list_empty(&l->ready);
    unsigned want = l->out.len < LINK_OUT_BYTES_HIGH ? STREAM_READ : 0;

    stream_want(l->stream, want | (l->blocked && more ? STREAM_WRITE : 0));
    if (more && !l->blocked)
        link_kick(l);
}

void link_send(struct link *l)
{
    struct batch b;

    if (!l->stream)
        return;
    if (batch_fill(l, &b) < 0) {
        link_close(l);
        return;
    }
    if (b.count) {
        ssize_t n = stream_writev(l->stream, b.iov, b.count);

        if (n == -EAGAIN) {
            l->blocked = true;
        } else if (n < 0) {
            link_close(l);
            return;
        } else {
            l->blocked = (size_t) n < b.bytes;
            batch_sent(l, &b, (size_t) n);
        }
    } else {
        l->blocked = false;
    }
    if (l->stream)
        link_update_want(l);
}

static void link_on_turn(void *arg)
{
    link_send(arg);
    link_go_on(arg);
}

void link_kick(struct link *l)
{
    if (l->stream && !l->blocked)
        loop_defer(l->owner->loop, &l->turn, link_on_turn, l);
}
