/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_move - rename(2), with its rules: a file replaces a file, an empty directory may be replaced by a directory. Between file systems the
 * tree is copied beside the target under a temporary name, renamed, and only then removed at its old place.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/path.h"
#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/base/id.h"

enum { COPY_DEPTH_MAX = 200, TEMP_RANDOM = 12 };

/* ---- copies ---- */

/* Owner, mode and times, as far as the user may set them. */
static int copy_attributes(int fd, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM)
        return -errno;
    if (fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0)
        return -errno;
    return 0;
}

static int copy_bytes(struct fop *f, int in, int out)
{
    for (;;) {
        ssize_t n = read(in, f->io, FMSG_DATA_MAX);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        r = fd_write_all(out, f->io, (size_t) n);
        if (r < 0)
            return r;
        fop_tick(f);
    }
}

static int copy_file(struct fop *f, int from_dir, const char *from, int to_dir, const char *to)
{
    cleanup(fd_closep) int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup(fd_closep) int out = -1;
    struct stat st;
    int r;

    if (in < 0 || fstat(in, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EOPNOTSUPP;
    out = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return -errno;
    r = copy_bytes(f, in, out);
    r = r < 0 ? r : copy_attributes(out, &st);
    return r < 0 ? r : fsync(out) < 0 ? -errno : 0;
}

static int copy_link(int from_dir, const char *from, int to_dir, const char *to)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    return symlinkat(target, to_dir, to) < 0 ? -errno : 0;
}

static int copy_any(struct fop *f, int from_dir, const char *from, int to_dir, const char *to, unsigned depth);

static int copy_entries(struct fop *f, DIR *d, int to_fd, unsigned depth)
{
    struct dirent *e;

    errno = 0;
    while ((e = readdir(d))) {
        int r;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        r = copy_any(f, dirfd(d), e->d_name, to_fd, e->d_name, depth);
        if (r < 0)
            return r;
        errno = 0;
    }
    return -errno;
}

static int copy_dir(struct fop *f, int from_dir, const char *from, int to_dir, const char *to, unsigned depth)
{
    int in = openat(from_dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
    cleanup(fd_closep) int out = -1;
    DIR *d = in < 0 ? NULL : fdopendir(in);
    struct stat st;

    if (!d) {
        r = -errno;
        fd_closep(&in);
        return r;
    }
    r = fstat(in, &st) < 0 || mkdirat(to_dir, to, 0700) < 0 ? -errno : 0;
    if (r == 0) {
        out = openat(to_dir, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = out < 0 ? -errno : copy_entries(f, d, out, depth + 1);
    }
    r = r < 0 ? r : copy_attributes(out, &st);
    closedir(d);
    return r;
}

static int copy_any(struct fop *f, int from_dir, const char *from, int to_dir, const char *to, unsigned depth)
{
    struct stat st;

    fop_tick(f);
    if (depth > COPY_DEPTH_MAX)
        return -ENAMETOOLONG;
    if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return copy_dir(f, from_dir, from, to_dir, to, depth);
    if (S_ISLNK(st.st_mode))
        return copy_link(from_dir, from, to_dir, to);
    return S_ISREG(st.st_mode) ? copy_file(f, from_dir, from, to_dir, to) : -EOPNOTSUPP;
}

int tree_copy(struct fop *f, const char *from, const char *to)
{
    return copy_any(f, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int move_by_copy(struct fop *f, const char *from, const char *to)
{
    cleanup(freep) char *dir = path_dir(to);
    char name[32] = ".tmp-";
    int r;

    id_random(name + 5, TEMP_RANDOM);
    cleanup(freep) char *temp = path_join(dir, name);

    r = tree_copy(f, from, temp);
    if (r == 0 && rename(temp, to) < 0)
        r = -errno;
    if (r < 0) {
        tree_remove(f, temp); /* what failed first is what counts */
        return r;
    }
    return tree_remove(f, from);
}

/* ---- the operation ---- */

/* rename(2) says "not a directory" for a directory onto a file: for a client that is a name that is taken. */
static int move_error(int error, const char *to)
{
    struct stat st;

    if (error == ENOTDIR && lstat(to, &st) == 0 && !S_ISDIR(st.st_mode))
        return EEXIST;
    if (error == EEXIST && lstat(to, &st) == 0 && S_ISDIR(st.st_mode))
        return ENOTEMPTY;
    return error;
}

void op_move(struct fop *f)
{
    cleanup(freep) char *from = fop_path(f, "path");
    cleanup(freep) char *to = from ? fop_path(f, "to") : NULL;
    int r;

    if (!from || !to)
        return;
    r = rename(from, to) < 0 ? -errno : 0;
    if (r == -EXDEV)
        r = move_by_copy(f, from, to);
    if (r < 0)
        fop_errno(f, move_error(-r, to), r == -ENOENT || r == -EACCES ? from : to);
    else
        object_reply(f, to);
}
