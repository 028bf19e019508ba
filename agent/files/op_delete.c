/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_delete - a file, a link, an empty directory, or a tree. A tree is removed through descriptors, never through symlinks. Levels deeper
 * than DEPTH_MAX are moved up to the top of the tree first, so that neither descriptors nor stack run out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/path.h"
#include "common/base/cleanup.h"
#include "common/base/id.h"

enum { DEPTH_MAX = 200, PASSES_MAX = 1000000, LIFT_RANDOM = 16 };

struct removal {
    struct fop *f;
    int top_fd;
    bool lifted; /* something was moved to the top: look there again */
};

static int removal_dir(struct removal *x, int dir_fd, const char *name, unsigned depth);

static int removal_lift(struct removal *x, int dir_fd, const char *name)
{
    char to[32] = ".rm-";

    id_random(to + 4, LIFT_RANDOM);
    if (renameat(dir_fd, name, x->top_fd, to) < 0)
        return -errno;
    x->lifted = true;
    return 0;
}

static int removal_entry(struct removal *x, int dir_fd, const struct dirent *e, unsigned depth)
{
    fop_tick(x->f);
    if (e->d_type != DT_DIR) {
        if (unlinkat(dir_fd, e->d_name, 0) == 0 || errno == ENOENT)
            return 0;
        if (errno != EISDIR && errno != EPERM)
            return -errno;
    }
    return removal_dir(x, dir_fd, e->d_name, depth);
}

/* Empties an open directory. 1: something was removed, look again (names may be skipped while a directory shrinks). */
static int removal_pass(struct removal *x, DIR *d, unsigned depth)
{
    struct dirent *e;
    int removed = 0;

    rewinddir(d);
    errno = 0;
    while ((e = readdir(d))) {
        int r;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        r = removal_entry(x, dirfd(d), e, depth);
        if (r < 0)
            return r;
        removed = 1;
        errno = 0;
    }
    return errno ? -errno : removed;
}

static int removal_contents(struct removal *x, int fd /* taken */, unsigned depth)
{
    DIR *d = fdopendir(fd);
    int r = 1;

    if (!d) {
        r = -errno;
        close(fd);
        return r;
    }
    for (int i = 0; r > 0 && i < PASSES_MAX; i++)
        r = removal_pass(x, d, depth);
    closedir(d);
    return r > 0 ? -EBUSY : r; /* somebody fills it faster */
}

static int removal_dir(struct removal *x, int dir_fd, const char *name, unsigned depth)
{
    int fd, r;

    if (depth >= DEPTH_MAX)
        return removal_lift(x, dir_fd, name);
    /* Mostly it is empty, and then the right to read it is not needed. */
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = removal_contents(x, fd, depth + 1);
    if (r < 0)
        return r;
    return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_remove(struct fop *f, const char *path)
{
    cleanup(fd_closep) int top = -1;
    struct removal x = {.f = f};
    int r;

    if (unlink(path) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (rmdir(path) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return -errno;
    x.top_fd = top;
    do {
        int fd = fcntl(top, F_DUPFD_CLOEXEC, 3);

        x.lifted = false;
        r = fd < 0 ? -errno : removal_contents(&x, fd, 1);
    } while (r == 0 && x.lifted);
    if (r < 0)
        return r;
    return rmdir(path) < 0 ? -errno : 0;
}

void op_delete(struct fop *f)
{
    cleanup(freep) char *path = fop_path(f, "path");
    struct stat st;
    int r;

    if (!path)
        return;
    if (strcmp(path, "/") == 0) {
        fop_error(f, 422, "invalid_path", "the root directory cannot be deleted");
        return;
    }
    if (lstat(path, &st) < 0)
        r = -errno;
    else if (fop_flag(f, "recursive"))
        r = tree_remove(f, path);
    else if (S_ISDIR(st.st_mode))
        r = rmdir(path) < 0 ? -errno : 0;
    else
        r = unlink(path) < 0 ? -errno : 0;
    if (r == -EEXIST)
        r = -ENOTEMPTY;
    if (r < 0)
        fop_errno(f, -r, path);
    else
        fop_empty(f);
}
