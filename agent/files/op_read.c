/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_read - GET and HEAD of a file: the whole, a range of bytes, or a range of lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/range.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"

struct headers {
    char size[24], mode[8], range[80];
    const char *list[16];
    unsigned count;
};

static void headers_add(struct headers *h, const char *name, const char *value)
{
    h->list[h->count++] = name;
    h->list[h->count++] = value;
    h->list[h->count] = NULL;
}

static void headers_init(struct headers *h, const struct stat *st)
{
    h->count = 0;
    snprintf(h->size, sizeof(h->size), "%lld", (long long) st->st_size);
    snprintf(h->mode, sizeof(h->mode), "%04o", (unsigned) st->st_mode & 07777);
    headers_add(h, "X-File-Size", h->size);
    headers_add(h, "X-File-Mode", h->mode);
    headers_add(h, "X-File-IsDir", S_ISDIR(st->st_mode) ? "true" : "false");
    if (S_ISREG(st->st_mode)) {
        headers_add(h, "Content-Type", "application/octet-stream");
        headers_add(h, "Accept-Ranges", "bytes");
    }
}

static ssize_t read_some(struct fop *f, int fd, size_t len)
{
    ssize_t n;

    do
        n = read(fd, f->io, len < FMSG_DATA_MAX ? len : FMSG_DATA_MAX);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Exactly `len` bytes: that many were promised. */
static void send_exactly(struct fop *f, int fd, uint64_t len)
{
    while (len) {
        ssize_t n = read_some(f, fd, len < SIZE_MAX ? (size_t) len : SIZE_MAX);

        if (n <= 0) /* it has become shorter, or the disk fails */
            fop_abort(f);
        fop_data(f, f->io, (size_t) n);
        len -= (uint64_t) n;
    }
    fop_end(f);
}

static void send_to_end(struct fop *f, int fd)
{
    ssize_t n;

    while ((n = read_some(f, fd, FMSG_DATA_MAX)) > 0)
        fop_data(f, f->io, (size_t) n);
    if (n < 0)
        fop_abort(f);
    fop_end(f);
}

/* ---- lines ---- */

struct lines {
    uint64_t skip;  /* line ends before the first byte that is wanted */
    uint64_t lines; /* still wanted */
    uint64_t bytes; /* still wanted */
};

/* The part of [p, len) that is wanted. */
static size_t lines_take(struct lines *l, const uint8_t **p, size_t len)
{
    const uint8_t *at = *p, *end = at + len;

    while (l->skip && at < end) {
        const uint8_t *nl = memchr(at, '\n', (size_t) (end - at));

        at = nl ? nl + 1 : end;
        l->skip -= nl != NULL;
    }
    *p = at;
    while (l->lines && at < end) {
        const uint8_t *nl = memchr(at, '\n', (size_t) (end - at));

        at = nl ? nl + 1 : end;
        l->lines -= nl != NULL;
    }
    size_t taken = (size_t) (at - *p);

    if (taken > l->bytes)
        taken = (size_t) l->bytes;
    l->bytes -= taken;
    return taken;
}

static uint64_t number_or(const struct fop *f, const char *name, uint64_t otherwise)
{
    const char *text = fop_arg(f, name);
    uint64_t v;

    return text && str_to_u64(text, &v) == 0 ? v : otherwise; /* the agent has checked it */
}

static void send_lines(struct fop *f, int fd)
{
    uint64_t first = number_or(f, "offset", 1);
    struct lines l = {
        .skip = first ? first - 1 : 0,
        .lines = number_or(f, "limit", UINT64_MAX),
        .bytes = number_or(f, "max_bytes", UINT64_MAX),
    };
    ssize_t n = 1;

    while (l.lines && l.bytes && (n = read_some(f, fd, FMSG_DATA_MAX)) > 0) {
        const uint8_t *p = f->io;
        size_t taken = lines_take(&l, &p, (size_t) n);

        if (taken)
            fop_data(f, p, taken);
        fop_tick(f); /* a long way to the first line */
    }
    if (n < 0)
        fop_abort(f);
    fop_end(f);
}

/* ---- the operation ---- */

/* In one piece, if it fits: what is said about the length is then true even for files that lie about it (/sys). */
static void read_small(struct fop *f, int fd, struct headers *h)
{
    size_t len = 0;
    ssize_t n = 1;

    while (len < FMSG_DATA_MAX && n > 0) {
        do
            n = read(fd, f->io + len, FMSG_DATA_MAX - len);
        while (n < 0 && errno == EINTR);
        len += n > 0 ? (size_t) n : 0;
    }
    if (n < 0) {
        fop_errno(f, errno, "read");
        return;
    }
    if (n > 0) { /* longer than it said */
        fop_head(f, 200, -1, h->list);
        fop_data(f, f->io, len);
        send_to_end(f, fd);
        return;
    }
    fop_head(f, 200, (int64_t) len, h->list);
    fop_data(f, f->io, len);
    fop_end(f);
}

static void read_range(struct fop *f, int fd, const struct stat *st, struct headers *h, const char *header)
{
    uint64_t size = (uint64_t) st->st_size, first, last;
    int r = range_parse(header, size, &first, &last);

    if (r == RANGE_E_UNSATISFIABLE) {
        snprintf(h->range, sizeof(h->range), "bytes */%" PRIu64, size);
        const char *const headers[] = {"Content-Range", h->range, NULL};

        fop_error_headers(f, 416, "range_not_satisfiable", "the file is shorter than the range begins", headers);
        return;
    }
    if (r == RANGE_E_WHOLE) {
        fop_head(f, 200, st->st_size, h->list);
        send_exactly(f, fd, size);
        return;
    }
    if (lseek(fd, (off_t) first, SEEK_SET) < 0) {
        fop_errno(f, errno, "seek");
        return;
    }
    snprintf(h->range, sizeof(h->range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size);
    headers_add(h, "Content-Range", h->range);
    fop_head(f, 206, (int64_t) (last - first + 1), h->list);
    send_exactly(f, fd, last - first + 1);
}

static void read_open(struct fop *f, const char *path)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const char *range = fop_arg(f, "range");
    struct headers h;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        fop_errno(f, errno, path);
        return;
    }
    headers_init(&h, &st);
    if (!S_ISREG(st.st_mode)) {
        fop_error(f, 422, "not_a_file", "this is neither a file nor a directory");
    } else if (fop_arg(f, "offset") || fop_arg(f, "limit") || fop_arg(f, "max_bytes")) {
        fop_head(f, 200, -1, h.list);
        send_lines(f, fd);
    } else if (!range && st.st_size <= FMSG_DATA_MAX) {
        read_small(f, fd, &h);
    } else {
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        read_range(f, fd, &st, &h, range);
    }
}

void op_read(struct fop *f)
{
    cleanup(freep) char *path = fop_path(f, "path");
    struct headers h;
    struct stat st;

    if (!path)
        return;
    if (stat(path, &st) < 0) {
        fop_errno(f, errno, path);
    } else if (fop_flag(f, "head")) {
        headers_init(&h, &st);
        fop_head(f, 200, S_ISREG(st.st_mode) ? st.st_size : 0, h.list);
        fop_end(f);
    } else if (S_ISDIR(st.st_mode)) {
        fop_errno(f, EISDIR, path);
    } else if (!S_ISREG(st.st_mode)) { /* not even opened: that alone may do something */
        fop_error(f, 422, "not_a_file", "this is neither a file nor a directory");
    } else {
        read_open(f, path);
    }
}
