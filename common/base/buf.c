/* SPDX-License-Identifier: Apache-2.0 */
/* buf - see buf.h */
#include "common/base/buf.h"
#include "common/base/mem.h"
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_CAP_MIN = 256, BUF_MAX_DEFAULT = 1024 * MIB };

static size_t buf_limit(const struct buf *b)
{
    return b->max ? b->max : BUF_MAX_DEFAULT;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf) BUF_INIT(max);
}

void buf_deinit(struct buf *b)
{
    free(b->base);
    buf_init(b, b->max);
}

/* Room for `need` bytes after the valid ones, whatever the limit says. False when the system has no memory. */
static bool buf_grow(struct buf *b, size_t need)
{
    if (b->cap - b->off - b->len >= need)
        return true;
    /* Moving is cheap when what moves is small beside what was consumed: amortised over the consumed bytes. */
    if (b->cap - b->len >= need && b->off >= b->len) {
        memmove(b->base, b->base + b->off, b->len);
        b->off = 0;
        return true;
    }
    size_t want = b->len + need, cap = b->cap > BUF_CAP_MIN ? b->cap : BUF_CAP_MIN;

    while (cap < want)
        cap += cap / 2 + BUF_CAP_MIN;
    if (cap > buf_limit(b) + 1)
        cap = want > buf_limit(b) + 1 ? want : buf_limit(b) + 1;
    uint8_t *base = malloc(cap);

    if (!base)
        return false;
    if (b->len)
        memcpy(base, b->base + b->off, b->len);
    free(b->base);
    b->base = base;
    b->cap = cap;
    b->off = 0;
    return true;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    size_t limit = buf_limit(b);

    if (b->len > limit || len > limit - b->len || !buf_grow(b, len ? len : 1))
        return NULL;
    return b->base + b->off + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    assert(len <= b->cap - b->off - b->len);
    b->len += len;
}

int buf_append(struct buf *b, const void *p, size_t len)
{
    uint8_t *to = buf_reserve(b, len);

    if (!to)
        return -ENOBUFS;
    if (len)
        memcpy(to, p, len);
    b->len += len;
    return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    int r = 0;

    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);

    if (n < 0) {
        r = -EINVAL;
    } else if ((size_t) n < sizeof(small)) {
        r = buf_append(b, small, (size_t) n);
    } else {
        /* The terminator needs one byte that the limit does not count. */
        size_t limit = buf_limit(b);

        if (b->len > limit || (size_t) n > limit - b->len || !buf_grow(b, (size_t) n + 1))
            r = -ENOBUFS;
        else
            b->len += (size_t) vsnprintf((char *) b->base + b->off + b->len, (size_t) n + 1, fmt, again);
    }
    va_end(again);
    return r;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int r = buf_vprintf(b, fmt, ap);

    va_end(ap);
    return r;
}

void buf_consume(struct buf *b, size_t len)
{
    assert(len <= b->len);
    b->off += len;
    b->len -= len;
    if (!b->len)
        b->off = 0;
}

void buf_clear(struct buf *b)
{
    b->off = b->len = 0;
}

void buf_shrink(struct buf *b)
{
    if (!b->len)
        buf_deinit(b);
}

const char *buf_cstr(struct buf *b)
{
    if (!buf_grow(b, 1))
        return NULL;
    b->base[b->off + b->len] = '\0';
    return (const char *) b->base + b->off;
}
