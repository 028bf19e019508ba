/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/watcher.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/render.h"

enum { CLOSE_NORMAL = 1000, CLOSE_FAILED = 1011, CLOSE_TRY_AGAIN = 1012 };

void watcher_init(struct watcher *w, uint64_t since, size_t queue_max, const struct watcher_ops *ops, void *arg)
{
    memset(w, 0, sizeof(*w));
    w->ops = *ops;
    w->arg = arg;
    w->next = cursor_replay_from(since);
    w->queue_max = queue_max;
    w->paced = true;
}

void watcher_end(struct watcher *w, int close_code, const char *code, const char *message)
{
    if (w->state == WATCHER_ENDED)
        return;
    w->state = WATCHER_ENDED;
    w->ops.end(w->arg, close_code, code, message);
}

static void watcher_end_behind(struct watcher *w)
{
    watcher_end(w, CLOSE_TRY_AGAIN, "output_truncated",
                "output was dropped before this client took it; the stream is closed, attach again to go on behind the gap");
}

static void watcher_send(struct watcher *w, const void *p, size_t len)
{
    w->sent_bytes += len;
    if (w->ops.send(w->arg, p, len) > w->queue_max)
        w->congested = true;
}

/* ---- single messages ---- */

static void watcher_send_started(struct watcher *w, const struct watcher_view *v)
{
    cleanup(buf_deinit) struct buf b = BUF_INIT(0);

    w->state = WATCHER_REPLAY;
    if (render_started(&b, v->pid, v->meta, w->truncated) == 0)
        watcher_send(w, buf_data(&b), b.len);
}

static void watcher_send_exit(struct watcher *w, const struct watcher_view *v, uint64_t cursor, const struct meta *m)
{
    cleanup(buf_deinit) struct buf b = BUF_INIT(0);

    if (render_exit(&b, v->pid, cursor, m) == 0)
        watcher_send(w, buf_data(&b), b.len);
    watcher_end(w, CLOSE_NORMAL, NULL, NULL);
}

static void watcher_send_frame(struct watcher *w, const struct watcher_view *v, uint64_t cursor, enum link_kind k, const uint8_t *p,
                               size_t len, struct buf *text)
{
    struct meta exit = {0};

    w->next = cursor + 2;
    if (k == LINK_EXIT) {
        if (meta_set_exit(&exit, p, len) == 0)
            watcher_send_exit(w, v, cursor, &exit);
        else
            watcher_end(w, CLOSE_FAILED, "internal", "the stored end of this process cannot be read");
        return;
    }
    if (text->len == 0 && render_output(text, v->pid, k, cursor, p, len) < 0)
        return;
    watcher_send(w, buf_data(text), text->len);
}

/* ---- what to do next ---- */

/* Everything that is stored was sent. */
static void watcher_caught_up(struct watcher *w, const struct watcher_view *v)
{
    if (w->state == WATCHER_NEW)
        watcher_send_started(w, v);
    if (v->meta->exited)
        watcher_send_exit(w, v, v->stored, v->meta);
    else if (v->meta->lost)
        watcher_end(w, CLOSE_FAILED, "process_lost", "the machine ended before this process was seen to exit");
    else
        w->state = WATCHER_LIVE;
}

void watcher_kick(struct watcher *w, const struct watcher_view *v)
{
    if (w->state == WATCHER_ENDED || w->reading || w->congested)
        return;
    if (v->stored == 0 && !meta_finished(v->meta))
        return; /* not even `started` yet */
    w->failed = false;
    if (w->next > v->stored) {
        watcher_caught_up(w, v);
        return;
    }
    if (w->state == WATCHER_LIVE)
        w->state = WATCHER_REPLAY;
    w->reading = true;
    w->ops.read(w->arg, w->next > v->first ? w->next : v->first);
}

void watcher_frame(struct watcher *w, const struct watcher_view *v, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len,
                   struct buf *text)
{
    if (w->state != WATCHER_LIVE) {
        watcher_kick(w, v);
        return;
    }
    if (cursor < w->next && k != LINK_EXIT)
        return;
    watcher_send_frame(w, v, cursor, k, p, len, text);
    if (w->congested && w->state == WATCHER_LIVE)
        w->state = WATCHER_REPLAY;
}

void watcher_gap(struct watcher *w, uint64_t to)
{
    if (w->state == WATCHER_LIVE && w->next <= to)
        watcher_end_behind(w);
}

void watcher_page_frame(struct watcher *w, const struct watcher_view *v, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len,
                        struct buf *scratch)
{
    if (w->state == WATCHER_ENDED || cursor < w->next)
        return;
    if (w->state == WATCHER_NEW) {
        w->truncated = w->truncated || cursor > w->next;
        watcher_send_started(w, v);
    } else if (cursor > w->next) {
        watcher_end_behind(w);
        return;
    }
    buf_clear(scratch);
    watcher_send_frame(w, v, cursor, k, p, len, scratch);
}

void watcher_page_end(struct watcher *w, const struct watcher_view *v, uint64_t to, bool whole)
{
    w->reading = false;
    if (w->state == WATCHER_ENDED)
        return;
    /* The store may have lost its end since the page was asked for: that comes again. */
    if (to > v->stored)
        to = v->stored;
    if (whole && w->next <= to) {
        /* Wanted, once stored, and gone. */
        if (w->state != WATCHER_NEW) {
            watcher_end_behind(w);
            return;
        }
        w->truncated = true;
        w->next = cursor_after(to);
    }
    watcher_kick(w, v);
}

void watcher_read_failed(struct watcher *w)
{
    w->reading = false;
    w->failed = true;
}

void watcher_look(struct watcher *w, const struct watcher_view *v)
{
    w->paced = w->next > v->stored || w->sent_bytes - w->looked_bytes >= WATCHER_PACE_BYTES;
    w->looked_bytes = w->sent_bytes;
}

void watcher_drain(struct watcher *w, const struct watcher_view *v)
{
    w->congested = false;
    watcher_kick(w, v);
}
