/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/retain.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "dataplane/gateway/stream/cursor.h"

static uint64_t retain_segment_cost(const struct retain *r)
{
    uint64_t n = r->limit / 64;

    return n < RETAIN_SEGMENT_MIN ? RETAIN_SEGMENT_MIN : n;
}

void retain_init(struct retain *r, uint64_t limit)
{
    memset(r, 0, sizeof(*r));
    r->limit = limit;
    r->hold = RETAIN_NO_HOLD;
    r->first = CURSOR_STARTED;
}

void retain_deinit(struct retain *r)
{
    free(r->marks);
    r->marks = NULL;
    r->mark_count = r->mark_cap = 0;
}

void retain_copy(struct retain *to, const struct retain *from)
{
    *to = *from;
    to->marks = NULL;
    to->mark_cap = from->mark_count;
    if (from->mark_count == 0)
        return;
    to->marks = xmalloc(from->mark_count * sizeof(*to->marks));
    memcpy(to->marks, from->marks, from->mark_count * sizeof(*to->marks));
}

uint64_t retain_total(const struct retain *r)
{
    return r->stdout_bytes + r->stderr_bytes + r->pty_bytes;
}

uint64_t retain_kept(const struct retain *r)
{
    uint64_t n = r->open_bytes;

    for (size_t i = 0; i < r->mark_count; i++)
        n += r->marks[i].bytes;
    return n;
}

uint64_t retain_kept_cost(const struct retain *r)
{
    uint64_t n = r->open_cost;

    for (size_t i = 0; i < r->mark_count; i++)
        n += r->marks[i].cost;
    return n;
}

/* Halves the number of marks by joining neighbours: only after the limit was configured much larger. */
static void retain_join(struct retain *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->mark_count; i += 2, n++) {
        r->marks[n] = r->marks[i];
        if (i + 1 < r->mark_count) {
            r->marks[n].last = r->marks[i + 1].last;
            r->marks[n].bytes += r->marks[i + 1].bytes;
            r->marks[n].cost += r->marks[i + 1].cost;
        }
    }
    r->mark_count = n;
}

static void retain_push(struct retain *r, uint64_t last, uint64_t bytes, uint64_t cost)
{
    if (r->mark_count == RETAIN_MARKS_MAX)
        retain_join(r);
    if (r->mark_count == r->mark_cap) {
        r->mark_cap = r->mark_cap ? r->mark_cap * 2 : 8;
        r->marks = xrealloc(r->marks, r->mark_cap * sizeof(*r->marks));
    }
    r->marks[r->mark_count++] = (struct retain_mark){.last = last, .bytes = bytes, .cost = cost};
}

uint64_t retain_bytes_from(const struct retain *r, uint64_t cursor)
{
    uint64_t n = r->open_bytes;

    for (size_t i = r->mark_count; i > 0 && r->marks[i - 1].last >= cursor; i--)
        n += r->marks[i - 1].bytes;
    return n;
}

void retain_trim(struct retain *r)
{
    uint64_t kept = retain_kept_cost(r);
    size_t n = 0;

    while (n < r->mark_count && kept > r->limit) {
        if (r->marks[n].last >= r->hold && kept <= r->limit + RETAIN_HOLD_MAX)
            break;
        kept -= r->marks[n].cost;
        r->first = cursor_after(r->marks[n].last);
        n++;
    }
    if (n == 0)
        return;
    r->mark_count -= n;
    memmove(r->marks, r->marks + n, r->mark_count * sizeof(*r->marks));
}

int retain_add(struct retain *r, uint64_t cursor, enum link_kind kind, size_t len)
{
    uint64_t bytes = 0;

    assert(cursor > r->last);
    r->last = cursor;
    switch (kind) {
    case LINK_STDOUT:
        r->stdout_bytes += bytes = len;
        break;
    case LINK_STDERR:
        r->stderr_bytes += bytes = len;
        break;
    case LINK_PTY:
        r->pty_bytes += bytes = len;
        break;
    case LINK_STARTED:
    case LINK_EXIT:
        break;
    }
    r->open_bytes += bytes;
    r->open_cost += len + RETAIN_FRAME_COST;
    if (r->open_cost < retain_segment_cost(r))
        return 0;
    retain_push(r, cursor, r->open_bytes, r->open_cost);
    r->open_bytes = r->open_cost = 0;
    retain_trim(r);
    return 1;
}

void retain_skip(struct retain *r, uint64_t to)
{
    if (to > r->last)
        r->last = to;
}

void retain_drop_all(struct retain *r)
{
    r->mark_count = 0;
    r->open_bytes = r->open_cost = 0;
    r->first = cursor_after(r->last);
}

uint64_t retain_page_end(const struct retain *r, uint64_t cursor)
{
    for (size_t i = 0; i < r->mark_count; i++) {
        if (r->marks[i].last >= cursor)
            return r->marks[i].last;
    }
    return r->last > cursor ? r->last : cursor;
}

uint64_t retain_tail_from(const struct retain *r, uint64_t bytes, uint64_t *before)
{
    uint64_t n = r->open_bytes;
    size_t i = r->mark_count;

    while (i > 0 && n < bytes)
        n += r->marks[--i].bytes;
    *before = retain_kept(r) - n;
    return i > 0 ? cursor_after(r->marks[i - 1].last) : r->first;
}

int retain_write_totals(const struct retain *r, struct buf *out)
{
    return buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                      r->first, r->last, r->stdout_bytes, r->stderr_bytes, r->pty_bytes, r->open_bytes,
                      r->open_cost);
}

int retain_write_marks(const struct retain *r, struct buf *out)
{
    int e = 0;

    for (size_t i = 0; i < r->mark_count && e == 0; i++) {
        const struct retain_mark *m = &r->marks[i];

        e = buf_printf(out, "%s%" PRIu64 ":%" PRIu64 ":%" PRIu64, i ? " " : "", m->last, m->bytes, m->cost);
    }
    return e;
}

/* Reads a number and steps over it and one separator. Values stay below 2^53, so sums cannot overflow. */
static int retain_number(const char **p, const char *end, char separator, uint64_t *out)
{
    const char *s = *p;

    while (*p < end && **p >= '0' && **p <= '9')
        (*p)++;
    if (str_to_u64_n(s, (size_t) (*p - s), 10, out) < 0 || *out > CURSOR_MAX)
        return -EINVAL;
    if (*p == end)
        return 0;
    if (**p != separator)
        return -EINVAL;
    (*p)++;
    return 0;
}

static int retain_read_totals(struct retain *r, const char *p, const char *end)
{
    uint64_t *fields[] = {&r->first, &r->last, &r->stdout_bytes, &r->stderr_bytes, &r->pty_bytes, &r->open_bytes,
                          &r->open_cost};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (retain_number(&p, end, ' ', fields[i]) < 0)
            return -EINVAL;
    }
    return p == end && r->first <= r->last + 2 ? 0 : -EINVAL;
}

static int retain_read_marks(struct retain *r, const char *p, const char *end)
{
    uint64_t before = 0;

    while (p < end) {
        struct retain_mark m;

        if (retain_number(&p, end, ':', &m.last) < 0 || retain_number(&p, end, ':', &m.bytes) < 0 ||
            retain_number(&p, end, ' ', &m.cost) < 0)
            return -EINVAL;
        if (m.last <= before || m.last > r->last || r->mark_count == RETAIN_MARKS_MAX)
            return -EINVAL;
        before = m.last;
        retain_push(r, m.last, m.bytes, m.cost);
    }
    return 0;
}

int retain_read(struct retain *r, const char *totals, size_t totals_len, const char *marks, size_t marks_len)
{
    uint64_t limit = r->limit;
    int e = retain_read_totals(r, totals, totals + totals_len);

    if (e == 0)
        e = retain_read_marks(r, marks, marks + marks_len);
    if (e < 0) {
        retain_deinit(r);
        retain_init(r, limit);
    }
    return e;
}
