/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames - chunks come from mmap when they are full-size, with MADV_DONTFORK: children are forked often and must neither inherit nor
 * have to copy what users have printed. Small ones come from malloc and grow by four.
 */
#include "agent/procs/frames.h"
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "common/base/mem.h"

enum {
    FRAME_FIXED = 4 + 1 + 1 + 8 + 1, /* length, type, kind, cursor, length of pid */
    SPARE_MAX = 8,
    READ_MIN = 512,                  /* less room than this: a new chunk */
    FAIR_MIN = 16 * KIB,
    CHUNK_FULL = FRAMES_CHUNK_MAX - sizeof(struct frame_chunk),
};

void frames_budget_init(struct frames_budget *b, size_t bytes_max)
{
    memset(b, 0, sizeof(*b));
    b->bytes_max = bytes_max;
    list_init(&b->spare);
}

static size_t chunk_alloc_size(size_t cap)
{
    return sizeof(struct frame_chunk) + cap;
}

static bool chunk_is_mapped(size_t cap)
{
    return chunk_alloc_size(cap) >= FRAMES_CHUNK_MAX;
}

static void chunk_release(struct frame_chunk *c)
{
    if (chunk_is_mapped(c->cap))
        munmap(c, chunk_alloc_size(c->cap));
    else
        free(c);
}

void frames_budget_deinit(struct frames_budget *b)
{
    LIST_FOR_EACH_SAFE(n, tmp, &b->spare) {
        list_del(n);
        chunk_release(LIST_ENTRY(n, struct frame_chunk, node));
    }
    b->spare_count = 0;
}

static struct frame_chunk *chunk_new(struct frames_budget *b, size_t cap)
{
    struct frame_chunk *c;

    if (!chunk_is_mapped(cap)) {
        c = xmalloc(chunk_alloc_size(cap));
    } else if (b->spare_count && cap == CHUNK_FULL) {
        struct list *n = b->spare.next;

        list_del(n);
        b->spare_count--;
        c = LIST_ENTRY(n, struct frame_chunk, node);
    } else {
        c = mmap(NULL, chunk_alloc_size(cap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (c == MAP_FAILED)
            abort(); /* as the other allocators do */
        (void) madvise(c, chunk_alloc_size(cap), MADV_DONTFORK);
    }
    memset(c, 0, sizeof(*c));
    c->cap = cap;
    c->refs = 1;
    c->budget = b;
    b->bytes += cap;
    return c;
}

static void chunk_unref(struct frame_chunk *c)
{
    assert(c->refs > 0);
    if (--c->refs == 0)
        chunk_release(c);
}

/* Out of the log; readers may still hold it. */
static void chunk_drop(struct frames *f, struct frame_chunk *c)
{
    struct frames_budget *b = c->budget;

    list_del(&c->node);
    f->bytes -= c->cap;
    b->bytes -= c->cap;
    c->budget = NULL;
    if (c->refs == 1 && c->cap == CHUNK_FULL && b->spare_count < SPARE_MAX) {
        list_prepend(&b->spare, &c->node);
        b->spare_count++;
        return;
    }
    chunk_unref(c);
}

void frames_init(struct frames *f, struct frames_budget *b, const char *pid)
{
    size_t len = strlen(pid);

    assert(len >= 1 && len <= LINK_PID_MAX);
    memset(f, 0, sizeof(*f));
    f->budget = b;
    list_init(&f->chunks);
    f->next = 1;
    f->pid_len = (uint8_t) len;
    memcpy(f->pid, pid, len);
}

void frames_deinit(struct frames *f)
{
    LIST_FOR_EACH_SAFE(n, tmp, &f->chunks)
        chunk_drop(f, LIST_ENTRY(n, struct frame_chunk, node));
}

static struct frame_chunk *frames_tail(const struct frames *f)
{
    return list_empty(&f->chunks) ? NULL : LIST_ENTRY(f->chunks.prev, struct frame_chunk, node);
}

static size_t frames_head_bytes(const struct frames *f)
{
    return FRAME_FIXED + f->pid_len;
}

static struct frame_chunk *frames_grow(struct frames *f, size_t want)
{
    struct frame_chunk *tail = frames_tail(f);
    size_t full = CHUNK_FULL;
    size_t cap = tail ? tail->cap * 4 : FRAMES_CHUNK_MIN;

    while (cap < want + frames_head_bytes(f))
        cap *= 4;
    if (cap > full / 2)
        cap = want + frames_head_bytes(f) > full ? want + frames_head_bytes(f) : full;
    struct frame_chunk *c = chunk_new(f->budget, cap);

    c->first = f->next;
    f->bytes += cap;
    list_append(&f->chunks, &c->node);
    return c;
}

uint8_t *frames_reserve(struct frames *f, size_t want, size_t *room)
{
    struct frame_chunk *c = frames_tail(f);
    size_t head = frames_head_bytes(f);
    size_t need = want < READ_MIN ? want : READ_MIN;

    if (!c || c->cap - c->len < head + need)
        c = frames_grow(f, want);
    *room = c->cap - c->len - head;
    if (*room > LINK_DATA_MAX)
        *room = LINK_DATA_MAX;
    return c->data + c->len + head;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

void frames_commit(struct frames *f, enum link_kind kind, size_t len)
{
    struct frame_chunk *c = frames_tail(f);
    size_t head = frames_head_bytes(f);
    uint8_t *p;

    assert(c && head - 4 + len <= LINK_MESSAGE_MAX && c->cap - c->len >= head + len);
    p = put_u32(c->data + c->len, (uint32_t) (head - 4 + len));
    *p++ = LINK_FRAME;
    *p++ = (uint8_t) kind;
    p = put_u64(p, f->next);
    *p++ = f->pid_len;
    memcpy(p, f->pid, f->pid_len);
    c->len += head + len;
    if (c->len == head + len)
        c->first = f->next;
    c->last = f->next;
    c->acked_ms = 0;
    f->next += 2;
}

void frames_append(struct frames *f, enum link_kind kind, const void *p, size_t len)
{
    struct frame_chunk *c = frames_tail(f);
    size_t head = frames_head_bytes(f);

    if (!c || c->cap - c->len < head + len)
        c = frames_grow(f, len);
    memcpy(c->data + c->len + head, p, len);
    frames_commit(f, kind, len);
}

uint64_t frames_last(const struct frames *f)
{
    return f->next == 1 ? 0 : f->next - 2;
}

uint64_t frames_first(const struct frames *f)
{
    if (list_empty(&f->chunks))
        return f->next;
    return LIST_ENTRY(f->chunks.next, struct frame_chunk, node)->first;
}

/* All its frames are acknowledged; an empty one has none that are not. */
static bool chunk_acked(const struct frames *f, const struct frame_chunk *c)
{
    return c->len > 0 && c->last <= f->acked;
}

bool frames_ack(struct frames *f, uint64_t cursor, uint64_t now_ms)
{
    if (cursor % 2 == 0 || cursor >= f->next)
        return false;
    if (cursor <= f->acked)
        return true;
    f->acked = cursor;
    LIST_FOR_EACH(n, &f->chunks) {
        struct frame_chunk *c = LIST_ENTRY(n, struct frame_chunk, node);

        if (!chunk_acked(f, c))
            break;
        if (!c->acked_ms)
            c->acked_ms = now_ms ? now_ms : 1;
    }
    return true;
}

bool frames_trim(struct frames *f, uint64_t now_ms)
{
    LIST_FOR_EACH_SAFE(n, tmp, &f->chunks) {
        struct frame_chunk *c = LIST_ENTRY(n, struct frame_chunk, node);

        if (c->len == 0) { /* was reserved, nothing came */
            chunk_drop(f, c);
            continue;
        }
        if (!chunk_acked(f, c))
            return false;
        if (now_ms < c->acked_ms + FRAMES_KEEP_MS)
            return true;
        chunk_drop(f, c);
    }
    return false;
}

size_t frames_drop_acked(struct frames *f, size_t bytes)
{
    size_t freed = 0;

    LIST_FOR_EACH_SAFE(n, tmp, &f->chunks) {
        struct frame_chunk *c = LIST_ENTRY(n, struct frame_chunk, node);

        if (freed >= bytes || !chunk_acked(f, c))
            break;
        freed += c->cap;
        chunk_drop(f, c);
    }
    return freed;
}

bool frames_full(struct frames *f, unsigned active)
{
    struct frames_budget *b = f->budget;
    size_t fair = b->bytes_max / (4 * (size_t) (active ? active : 1));

    if (fair < FAIR_MIN)
        fair = FAIR_MIN;
    if (f->bytes >= FRAMES_BYTES_MAX)
        frames_drop_acked(f, f->bytes - FRAMES_BYTES_MAX + FRAMES_CHUNK_MAX);
    if (f->bytes >= FRAMES_BYTES_MAX)
        return true;
    if (b->bytes >= b->bytes_max && f->bytes >= fair)
        frames_drop_acked(f, f->bytes - fair + 1);
    return b->bytes >= b->bytes_max && f->bytes >= fair;
}

/* ---- readers ---- */

void frames_reader_init(struct frames_reader *r, uint64_t next)
{
    *r = (struct frames_reader){.next = next};
}

static void reader_leave(struct frames_reader *r)
{
    if (r->chunk)
        chunk_unref(r->chunk);
    r->chunk = NULL;
    r->off = 0;
}

void frames_reader_deinit(struct frames_reader *r)
{
    reader_leave(r);
    r->skip = 0;
}

static size_t frame_bytes(const struct frame_chunk *c, size_t off)
{
    uint32_t len;

    memcpy(&len, c->data + off, sizeof(len));
    return 4 + (size_t) le32toh(len);
}

/* The chunk that holds the cursor, or the first one behind it. Readers are mostly near the end. */
static struct frame_chunk *reader_find(const struct frames *f, uint64_t next)
{
    struct frame_chunk *found = NULL;

    for (struct list *n = f->chunks.prev; n != &f->chunks; n = n->prev) {
        struct frame_chunk *c = LIST_ENTRY(n, struct frame_chunk, node);

        if (c->len == 0)
            continue;
        if (c->last < next)
            break;
        found = c;
    }
    return found;
}

static void reader_enter(struct frames_reader *r, struct frame_chunk *c)
{
    uint64_t at = c->first;

    c->refs++;
    r->chunk = c;
    r->off = 0;
    if (r->hint_first == c->first) {
        r->off = r->hint_off;
        at = r->next;
    }
    for (; at < r->next; at += 2)
        r->off += frame_bytes(c, r->off);
    assert(r->off < c->len && at == r->next);
}

int frames_read(const struct frames *f, struct frames_reader *r, const uint8_t **p, size_t *len, uint64_t *lost_to)
{
    if (!r->chunk) {
        struct frame_chunk *c;

        if (r->next >= f->next)
            return FRAMES_E_NONE;
        c = reader_find(f, r->next);
        if (!c || c->first > r->next) {
            *lost_to = (c ? c->first : f->next) - 2;
            r->next = *lost_to + 2;
            r->hint_first = 0;
            return FRAMES_E_LOST;
        }
        reader_enter(r, c);
    }
    *p = r->chunk->data + r->off + r->skip;
    *len = r->chunk->len - r->off - r->skip;
    return FRAMES_E_OK;
}

size_t frames_rest(const struct frames_reader *r)
{
    return r->skip ? frame_bytes(r->chunk, r->off) - r->skip : 0;
}

void frames_advance(struct frames_reader *r, size_t bytes)
{
    struct frame_chunk *c = r->chunk;
    size_t left = r->skip + bytes;

    while (r->off < c->len) {
        size_t one = frame_bytes(c, r->off);

        if (left < one)
            break;
        left -= one;
        r->off += one;
        r->next += 2;
    }
    r->skip = left;
    if (r->off < c->len)
        return;
    assert(left == 0);
    r->hint_first = c->first;
    r->hint_off = r->off;
    reader_leave(r);
}
