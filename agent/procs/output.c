/* SPDX-License-Identifier: Apache-2.0 */
/* output - reads straight into the place of the next frame's data; only the bytes held back are copied. */
#include "agent/procs/output.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "agent/procs/frames.h"
#include "common/base/str.h"

enum { OUTPUT_READ_HINT = 4096 };

/* `len` bytes lie at p, in the reserved place. Makes a frame of all but an incomplete character at the end. */
static void output_commit(struct output *o, struct frames *f, uint8_t *p, size_t len)
{
    size_t tail = utf8_incomplete_tail(p, len);

    assert(tail < sizeof(o->held));
    memcpy(o->held, p + len - tail, tail);
    o->held_len = (uint8_t) tail;
    if (len > tail)
        frames_commit(f, o->kind, len - tail);
}

ssize_t output_read(struct output *o, struct frames *f, int fd)
{
    size_t room;
    uint8_t *p = frames_reserve(f, OUTPUT_READ_HINT, &room);
    ssize_t n;

    memcpy(p, o->held, o->held_len);
    do
        n = read(fd, p + o->held_len, room - o->held_len);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EIO && o->kind == LINK_PTY)
        n = 0;
    if (n < 0)
        return -errno;
    if (n == 0) {
        output_flush(o, f);
        return 0;
    }
    o->bytes += (uint64_t) n;
    output_commit(o, f, p, o->held_len + (size_t) n);
    return n;
}

void output_feed(struct output *o, struct frames *f, const uint8_t *src, size_t len)
{
    while (len) {
        size_t room, take;
        uint8_t *p = frames_reserve(f, len + o->held_len, &room);

        memcpy(p, o->held, o->held_len);
        take = room - o->held_len < len ? room - o->held_len : len;
        memcpy(p + o->held_len, src, take);
        o->bytes += take;
        output_commit(o, f, p, o->held_len + take);
        src += take;
        len -= take;
    }
}

void output_flush(struct output *o, struct frames *f)
{
    if (o->held_len)
        frames_append(f, o->kind, o->held, o->held_len);
    o->held_len = 0;
}
