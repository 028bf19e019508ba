/* SPDX-License-Identifier: Apache-2.0 */
/* sums - see sums.h */
#include "dataplane/vmhost/image/sums.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "dataplane/vmhost/image/crc32c.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { PAGE = 4096 };
#define SUMS_MAGIC "BIVSUMS1"
/* A device state begins with the migration magic and version 3 and ends with QEMU_VM_EOF. */
static const uint8_t state_begin[8] = {0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3};
enum { STATE_BYTES_MIN = 1024, STATE_END = 0 };

struct sums_head {
    char magic[8];
    uint64_t memory_bytes, state_bytes, disk_bytes;
    uint32_t state_crc, disk_crc, count;
} __attribute__((packed));

static int sums_size(int fd, const char *what, uint64_t *out, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, "size of the %s file", what);
    if (st.st_size <= 0)
        return err_set(e, -EINVAL, "the %s file is empty", what);
    *out = (uint64_t) st.st_size;
    return 0;
}

static int sums_read(int fd, uint64_t at, uint8_t *p, size_t len, const char *what, struct err *e)
{
    while (len) {
        ssize_t n = pread(fd, p, len, (off_t) at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "read the %s file", what);
        if (n == 0)
            return err_set(e, -EBADMSG, "the %s file ends early", what);
        p += n;
        at += (uint64_t) n;
        len -= (size_t) n;
    }
    return 0;
}

static int sums_whole(int fd, uint64_t size, const char *what, uint8_t *room, uint32_t *crc, struct err *e)
{
    uint32_t c = 0;

    for (uint64_t at = 0; at < size;) {
        size_t len = size - at < SUMS_CHUNK ? (size_t) (size - at) : SUMS_CHUNK;
        int r = sums_read(fd, at, room, len, what, e);

        if (r < 0)
            return r;
        c = crc32c(c, room, len);
        at += len;
    }
    *crc = c;
    return 0;
}

static int sums_check_state(int fd, uint64_t size, struct err *e)
{
    uint8_t begin[sizeof(state_begin)], end;

    if (size < STATE_BYTES_MIN)
        return err_set(e, -EBADMSG, "device state of only %llu bytes", (unsigned long long) size);
    if (sums_read(fd, 0, begin, sizeof(begin), "state", e) < 0 || sums_read(fd, size - 1, &end, 1, "state", e) < 0)
        return -EBADMSG;
    if (memcmp(begin, state_begin, sizeof(begin)) != 0 || end != STATE_END)
        return err_set(e, -EBADMSG, "device state is not a complete stream");
    return 0;
}

static bool sums_is_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static int sums_punch(int fd, uint64_t at, uint64_t len, struct err *e)
{
    if (len == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) at, (off_t) len) == 0)
        return 0;
    return errno == EOPNOTSUPP ? 0 : err_errno(e, "make a hole in the memory file");
}

/* Runs of zero pages become holes; returns the bytes that are not zero in *used. */
static int sums_punch_chunk(int fd, uint64_t at, const uint8_t *p, size_t len, bool punch, uint64_t *used, struct err *e)
{
    size_t run = 0;

    for (size_t i = 0; i < len; i += PAGE) {
        int r;

        if (sums_is_zero(p + i, PAGE)) {
            run += PAGE;
            continue;
        }
        *used += PAGE;
        r = punch ? sums_punch(fd, at + i - run, run, e) : 0;
        if (r < 0)
            return r;
        run = 0;
    }
    return punch ? sums_punch(fd, at + len - run, run, e) : 0;
}

struct sums_memory {
    int fd;
    uint64_t size;
    uint8_t *room; /* SUMS_CHUNK */
    bool punch;
    uint64_t used;
    uint32_t zero_crc; /* of a whole chunk of zeros */
};

static bool sums_is_hole(const struct sums_memory *m, uint64_t at, size_t len)
{
    off_t data = lseek(m->fd, (off_t) at, SEEK_DATA);

    return data < 0 ? errno == ENXIO : (uint64_t) data >= at + len;
}

static int sums_memory_chunk(struct sums_memory *m, uint64_t at, uint32_t *crc, struct err *e)
{
    size_t len = m->size - at < SUMS_CHUNK ? (size_t) (m->size - at) : SUMS_CHUNK;
    int r;

    if (len == SUMS_CHUNK && sums_is_hole(m, at, len)) {
        *crc = m->zero_crc;
        return 0;
    }
    r = sums_read(m->fd, at, m->room, len, "memory", e);
    if (r < 0)
        return r;
    *crc = crc32c(0, m->room, len);
    return sums_punch_chunk(m->fd, at, m->room, len, m->punch, &m->used, e);
}

static int sums_memory_init(struct sums_memory *m, int fd, uint64_t size, bool punch, uint8_t *room, struct err *e)
{
    if (size % PAGE || size / SUMS_CHUNK > SUMS_BYTES_MAX / sizeof(uint32_t) - 64)
        return err_set(e, -EINVAL, "memory file of %llu bytes", (unsigned long long) size);
    memset(room, 0, SUMS_CHUNK);
    *m = (struct sums_memory){.fd = fd, .size = size, .room = room, .punch = punch, .zero_crc = crc32c(0, room, SUMS_CHUNK)};
    return 0;
}

static int sums_fill_head(const struct sums_fds *f, uint8_t *room, struct sums_head *h, struct err *e)
{
    uint64_t memory, state, disk;
    uint32_t state_crc = 0, disk_crc = 0;

    if (sums_size(f->memory, "memory", &memory, e) < 0 || sums_size(f->state, "state", &state, e) < 0 ||
        sums_size(f->disk, "disk", &disk, e) < 0)
        return -EINVAL;
    int r = sums_check_state(f->state, state, e);

    if (r == 0)
        r = sums_whole(f->state, state, "state", room, &state_crc, e);
    if (r == 0)
        r = sums_whole(f->disk, disk, "disk", room, &disk_crc, e);
    if (r < 0)
        return r;
    memcpy(h->magic, SUMS_MAGIC, sizeof(h->magic));
    h->memory_bytes = htole64(memory);
    h->state_bytes = htole64(state);
    h->disk_bytes = htole64(disk);
    h->state_crc = htole32(state_crc);
    h->disk_crc = htole32(disk_crc);
    h->count = htole32((uint32_t) ((memory + SUMS_CHUNK - 1) / SUMS_CHUNK));
    return 0;
}

static int sums_append_crc(struct buf *out, uint32_t crc)
{
    uint32_t le = htole32(crc);

    return buf_append(out, &le, sizeof(le));
}

int sums_make(const struct sums_fds *f, bool punch, struct buf *out, uint64_t *allocated, struct err *e)
{
    cleanup(freep) uint8_t *room = xmalloc(SUMS_CHUNK);
    struct sums_head h;
    struct sums_memory m;
    size_t begin = out->len;
    int r = sums_fill_head(f, room, &h, e);

    if (r == 0)
        r = sums_memory_init(&m, f->memory, le64toh(h.memory_bytes), punch, room, e);
    if (r == 0)
        r = buf_append(out, &h, sizeof(h));
    for (uint64_t at = 0; r == 0 && at < m.size; at += SUMS_CHUNK) {
        uint32_t crc;

        r = sums_memory_chunk(&m, at, &crc, e);
        if (r == 0)
            r = sums_append_crc(out, crc);
    }
    if (r == 0)
        r = sums_append_crc(out, crc32c(0, buf_data(out) + begin, out->len - begin));
    if (r == 0 && allocated)
        *allocated = m.used;
    return r;
}

static int sums_check_table(const uint8_t *p, size_t len, struct sums_head *h, struct err *e)
{
    uint32_t crc;

    if (len < sizeof(*h) + sizeof(crc))
        return err_set(e, -EBADMSG, "table of checksums is cut");
    memcpy(h, p, sizeof(*h));
    memcpy(&crc, p + len - sizeof(crc), sizeof(crc));
    if (memcmp(h->magic, SUMS_MAGIC, sizeof(h->magic)) != 0 || crc32c(0, p, len - sizeof(crc)) != le32toh(crc) ||
        (uint64_t) le32toh(h->count) * sizeof(crc) + sizeof(*h) + sizeof(crc) != len)
        return err_set(e, -EBADMSG, "table of checksums is damaged");
    return 0;
}

int sums_verify(const struct sums_fds *f, const void *table, size_t len, struct err *e)
{
    cleanup(freep) uint8_t *room = xmalloc(SUMS_CHUNK);
    struct sums_head want, have;
    struct sums_memory m;
    const uint8_t *crcs = (const uint8_t *) table + sizeof(want);
    int r = sums_check_table(table, len, &want, e);

    if (r == 0)
        r = sums_fill_head(f, room, &have, e);
    if (r < 0)
        return r;
    if (memcmp(&want, &have, sizeof(want)) != 0)
        return err_set(e, -EBADMSG, "device state or disk differs from its checksum");
    r = sums_memory_init(&m, f->memory, le64toh(have.memory_bytes), false, room, e);
    for (uint64_t at = 0; r == 0 && at < m.size; at += SUMS_CHUNK, crcs += sizeof(uint32_t)) {
        uint32_t crc, wanted;

        memcpy(&wanted, crcs, sizeof(wanted));
        r = sums_memory_chunk(&m, at, &crc, e);
        if (r == 0 && crc != le32toh(wanted))
            r = err_set(e, -EBADMSG, "memory differs from its checksum at %llu", (unsigned long long) at);
    }
    return r;
}
