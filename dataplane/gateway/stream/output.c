/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/render.h"
#include "dataplane/gateway/stream/retain.h"

struct output_event {
    struct list node;
    uint64_t cursor;
    enum link_kind kind;
    size_t off, len; /* data + off is what is left of a cut event */
    uint8_t data[];
};

int output_mode_parse(const char *s, enum output_mode *out)
{
    if (strcmp(s, "forward") == 0)
        *out = OUTPUT_FORWARD;
    else if (strcmp(s, "tail") == 0)
        *out = OUTPUT_TAIL;
    else if (strcmp(s, "head_tail") == 0)
        *out = OUTPUT_HEAD_TAIL;
    else
        return -EINVAL;
    return 0;
}

static uint64_t output_cap(uint64_t v)
{
    return v > OUTPUT_LIMIT_MAX ? OUTPUT_LIMIT_MAX : v;
}

static void output_limits(struct output *o, const struct output_query *q)
{
    uint64_t limit = output_cap(q->limit_bytes ? q->limit_bytes : OUTPUT_LIMIT_DEFAULT);
    uint64_t num = q->ratio_num, den = q->ratio_den;

    switch (q->mode) {
    case OUTPUT_FORWARD:
        o->head_max = limit;
        return;
    case OUTPUT_TAIL:
        o->tail_max = q->has_tail ? output_cap(q->tail_bytes) : limit;
        return;
    case OUTPUT_HEAD_TAIL:
        break;
    }
    if (den == 0 || num > den || num > UINT32_MAX) {
        num = 3;
        den = 10;
    }
    o->head_max = q->has_head ? output_cap(q->head_bytes) : limit * num / den;
    if (q->has_tail)
        o->tail_max = output_cap(q->tail_bytes);
    else
        o->tail_max = limit > o->head_max ? limit - o->head_max : 0;
}

uint64_t output_limit(const struct output_query *q)
{
    struct output o = {0};

    output_limits(&o, q);
    return o.head_max + o.tail_max;
}

void output_init(struct output *o, const struct output_query *q)
{
    memset(o, 0, sizeof(*o));
    o->query = *q;
    list_init(&o->head);
    list_init(&o->tail);
    output_limits(o, q);
    o->head_full = o->head_max == 0;
    o->expected = cursor_replay_from(q->since);
}

static void output_list_free(struct list *l)
{
    LIST_FOR_EACH_SAFE(n, tmp, l) {
        list_del(n);
        free(LIST_ENTRY(n, struct output_event, node));
    }
}

void output_deinit(struct output *o)
{
    output_list_free(&o->head);
    output_list_free(&o->tail);
}

static void output_append(struct list *l, uint64_t cursor, enum link_kind k, const void *p, size_t len)
{
    struct output_event *e = xmalloc(sizeof(*e) + len);

    e->cursor = cursor;
    e->kind = k;
    e->off = 0;
    e->len = len;
    memcpy(e->data, p, len);
    list_append(l, &e->node);
}

/* How many of the first `want` bytes make whole characters; want itself when that would be nothing. */
static size_t output_cut_front(const uint8_t *p, size_t want)
{
    size_t n = want - utf8_incomplete_tail(p, want);

    return n ? n : want;
}

/* Where a character begins at or after `off`, within three bytes; off itself if the bytes are no UTF-8. */
static size_t output_cut_back(const uint8_t *p, size_t len, size_t off)
{
    size_t i = off;

    while (i < len && i < off + 3 && (p[i] & 0xC0) == 0x80)
        i++;
    return i < len && (p[i] & 0xC0) != 0x80 ? i : off;
}

/* Takes what fits in the head; returns how many bytes that were. */
static size_t output_feed_head(struct output *o, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len)
{
    uint64_t room = o->head_max - o->head_bytes;
    size_t n = len;

    if (len > room) {
        o->head_full = true;
        n = room ? output_cut_front(p, (size_t) room) : 0;
    }
    if (n > 0)
        output_append(&o->head, cursor, k, p, n);
    o->head_bytes += n;
    if (o->head_bytes == o->head_max)
        o->head_full = true;
    return n;
}

static void output_trim_tail(struct output *o)
{
    while (o->tail_bytes > o->tail_max) {
        struct output_event *e = LIST_ENTRY(o->tail.next, struct output_event, node);
        uint64_t over = o->tail_bytes - o->tail_max;

        if (over < e->len) {
            size_t cut = output_cut_back(e->data + e->off, e->len, (size_t) over);

            e->off += cut;
            e->len -= cut;
            o->tail_bytes -= cut;
            return;
        }
        o->tail_bytes -= e->len;
        list_del(&e->node);
        free(e);
    }
}

static bool output_feed_forward(struct output *o, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len)
{
    if (!list_empty(&o->head) && o->head_bytes + len > o->head_max) {
        o->head_full = true;
        return false;
    }
    output_append(&o->head, cursor, k, p, len);
    o->head_bytes += len;
    o->last_cursor = cursor;
    return true;
}

bool output_feed(struct output *o, uint64_t cursor, enum link_kind k, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t n = 0;

    if (cursor <= o->query.since)
        return true;
    o->missing |= cursor > o->expected;
    o->expected = cursor + 2;
    if (k == LINK_STARTED || k == LINK_EXIT) {
        o->last_cursor = cursor;
        return true;
    }
    o->fed_bytes += len;
    if (o->query.mode == OUTPUT_FORWARD)
        return output_feed_forward(o, cursor, k, p, len);
    o->last_cursor = cursor;
    if (!o->head_full)
        n = output_feed_head(o, cursor, k, p, len);
    if (n < len && o->tail_max > 0) {
        output_append(&o->tail, cursor, k, p + n, len - n);
        o->tail_bytes += len - n;
        output_trim_tail(o);
    }
    return true;
}

void output_skip(struct output *o, uint64_t bytes, uint64_t next)
{
    o->fed_bytes += bytes;
    o->expected = next;
}

void output_end(struct output *o, uint64_t last)
{
    o->missing |= o->expected <= last;
    if (last > o->query.since && last > o->last_cursor)
        o->last_cursor = last;
}

/* One event again where head and tail met inside it and nothing lies between. */
static void output_join(struct output *o)
{
    struct output_event *a, *b, *both;

    if (list_empty(&o->head) || list_empty(&o->tail) || o->fed_bytes != o->head_bytes + o->tail_bytes)
        return;
    a = LIST_ENTRY(o->head.prev, struct output_event, node);
    b = LIST_ENTRY(o->tail.next, struct output_event, node);
    if (a->cursor != b->cursor)
        return;
    both = xrealloc(a, sizeof(*both) + a->off + a->len + b->len);
    memcpy(both->data + both->off + both->len, b->data + b->off, b->len);
    both->len += b->len;
    both->node.prev->next = both->node.next->prev = &both->node;
    list_del(&b->node);
    free(b);
}

static void output_write_events(const struct list *l, struct json_writer *w)
{
    LIST_FOR_EACH(n, l) {
        const struct output_event *e = LIST_ENTRY(n, struct output_event, node);

        jw_object(w);
        jw_ku64(w, "cursor", e->cursor);
        jw_kstr(w, "type", render_kind_text(e->kind));
        jw_key(w, "data");
        jw_base64(w, e->data + e->off, e->len);
        jw_object_end(w);
    }
}

/* Output bytes that the answer leaves out: what retention took, and what tail and head_tail passed over. */
static uint64_t output_omitted(const struct output *o, const struct retain *r, bool trimmed)
{
    uint64_t returned = o->head_bytes + o->tail_bytes, n = 0;

    if (o->query.mode != OUTPUT_FORWARD && o->fed_bytes > returned)
        n = o->fed_bytes - returned;
    if (trimmed && retain_total(r) > retain_kept(r))
        n += retain_total(r) - retain_kept(r);
    return n;
}

void output_write(struct output *o, const char *pid, const struct meta *m, const struct retain *r, struct json_writer *w)
{
    bool trimmed = o->missing || cursor_replay_from(o->query.since) < r->first;
    uint64_t omitted = output_omitted(o, r, trimmed);
    bool more = o->query.mode == OUTPUT_FORWARD && o->head_full;

    output_join(o);
    jw_object(w);
    jw_kstr(w, "pid", pid);
    jw_kstr(w, "status", meta_status(m));
    meta_write_end(m, w);
    jw_ku64(w, "next_cursor", o->last_cursor ? o->last_cursor + 1 : o->query.since);
    jw_kbool(w, "truncated_before_cursor", trimmed);
    jw_kbool(w, "truncated_by_retention", trimmed);
    jw_kbool(w, "truncated", trimmed || omitted > 0 || more);
    jw_ku64(w, "total_bytes", retain_total(r));
    jw_ku64(w, "total_bytes_observed", retain_total(r));
    jw_ku64(w, "retained_bytes", retain_kept(r));
    jw_ku64(w, "returned_bytes", o->head_bytes + o->tail_bytes);
    jw_ku64(w, "omitted_bytes", omitted);
    if (r->first <= r->last) {
        jw_ku64(w, "first_retained_cursor", r->first);
        jw_ku64(w, "last_retained_cursor", r->last);
    } else {
        jw_knull(w, "first_retained_cursor");
        jw_knull(w, "last_retained_cursor");
    }
    jw_kobject(w, "stream_totals");
    jw_ku64(w, "stdout", r->stdout_bytes);
    jw_ku64(w, "stderr", r->stderr_bytes);
    jw_ku64(w, "pty", r->pty_bytes);
    jw_object_end(w);
    jw_karray(w, "events");
    output_write_events(&o->head, w);
    output_write_events(&o->tail, w);
    jw_array_end(w);
    jw_object_end(w);
}
