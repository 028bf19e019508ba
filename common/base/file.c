/* SPDX-License-Identifier: Apache-2.0 */
/* file - see file.h */
#include "common/base/file.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int file_read(const char *path, size_t bytes_max, struct buf *out, struct err *e)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t had = out->len;

    if (fd < 0)
        return err_errno(e, "open '%s'", path);
    for (;;) {
        size_t left = bytes_max - (out->len - had);
        size_t part = left < 64 * KIB ? left + 1 : 64 * KIB; /* one more: to see that it is too large */
        uint8_t *to = buf_reserve(out, part);

        if (!to && part > 1) {
            part = 1;
            to = buf_reserve(out, part);
        }
        if (!to)
            return err_set(e, -EFBIG, "'%s' is larger than %zu bytes", path, out->len - had);
        ssize_t n = read(fd, to, part);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "read '%s'", path);
        if (n == 0)
            return 0;
        if ((size_t) n > left)
            return err_set(e, -EFBIG, "'%s' is larger than %zu bytes", path, bytes_max);
        buf_commit(out, (size_t) n);
    }
}

int fd_write_all(int fd, const void *p, size_t len)
{
    const char *from = p;

    while (len) {
        ssize_t n = write(fd, from, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        from += n;
        len -= (size_t) n;
    }
    return 0;
}

int fd_read_all(int fd, void *p, size_t len)
{
    char *to = p;

    while (len) {
        ssize_t n = read(fd, to, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EPIPE;
        to += n;
        len -= (size_t) n;
    }
    return 0;
}

int dir_fsync(const char *path)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

/* The folder that holds `path`, as a new string. */
static char *file_parent(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t) (slash - path));
}

static int file_write_temp(int fd, const void *p, size_t len, mode_t mode)
{
    int r = fd_write_all(fd, p, len);

    if (r < 0)
        return r;
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int file_write_atomic(const char *path, const void *p, size_t len, mode_t mode, struct err *e)
{
    cleanup(freep) char *temp = xasprintf("%s.XXXXXX", path);
    cleanup(freep) char *parent = file_parent(path);
    cleanup(fd_closep) int fd = mkostemp(temp, O_CLOEXEC);
    int r;

    if (fd < 0)
        return err_errno(e, "create a temporary file beside '%s'", path);
    r = file_write_temp(fd, p, len, mode);
    if (r == 0 && rename(temp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temp);
        return err_set(e, r, "write '%s': %s", path, err_text(NULL, r));
    }
    r = dir_fsync(parent);
    if (r < 0)
        return err_set(e, r, "sync folder '%s': %s", parent, err_text(NULL, r));
    return 0;
}

int dir_make_parents(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    struct stat st;

    if (len == 0 || len >= sizeof(part))
        return err_set(e, len ? -ENAMETOOLONG : -EINVAL, "folder '%s': bad path", path);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];

        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST && errno != EISDIR && errno != EROFS)
            return err_errno(e, "make folder '%s'", part);
        part[i] = kept;
    }
    if (stat(path, &st) < 0)
        return err_errno(e, "folder '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, -ENOTDIR, "'%s' is not a folder", path);
    return 0;
}

int fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}
