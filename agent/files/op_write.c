/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_write - PUT: the bytes go to a file without a name in the same folder; when all are there and on disk it gets its name by link (a new
 * name) or by link and rename (a name that exists). A reader sees the old file or the new one, two writers never mix, and a broken upload
 * leaves nothing. File systems without nameless files get a temporary name that is removed.
 *
 * What is replaced keeps its mode (unless one is given) and, for root, its owner. A file that the user may not write is not replaced, even
 * if the folder would allow it: as in a shell. Symlinks are followed to the file that they mean.
 */
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
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
    LINKS_MAX = 40,
    FLUSH_BYTES = 16 * MIB,         /* written back while the rest is on its way: the last fsync stays short */
    RESERVE_BYTES_MIN = 1 * MIB,    /* smaller files are not worth asking for room first */
    TEMP_RANDOM = 12,
    LINK_TRIES = 8,
};

struct upload {
    char *path;   /* owned; final, without symlinks at its end */
    char *dir;    /* owned */
    int dir_fd;   /* for fsync; -1 when the folder cannot be read */
    int fd;
    bool named;   /* fop.temp is its name for now */
    bool replaces;
    mode_t mode;
    uid_t uid;    /* of what is replaced */
    gid_t gid;
    uint64_t bytes, flushed;
};

static void upload_deinit(struct upload *u)
{
    free(u->path);
    free(u->dir);
    fd_closep(&u->fd);
    fd_closep(&u->dir_fd);
}

/* ---- where to ---- */

/* Follows symlinks at the end of the path. 0 or -errno. */
static int upload_resolve(struct upload *u)
{
    char target[PATH_MAX];

    for (int i = 0; i < LINKS_MAX; i++) {
        ssize_t n = readlink(u->path, target, sizeof(target) - 1);

        if (n < 0)
            return errno == EINVAL || errno == ENOENT ? 0 : -errno;
        target[n] = '\0';
        cleanup(freep) char *dir = path_dir(u->path);
        char *next = path_absolute(dir, target);

        if (!next)
            return -ENOENT;
        free(u->path);
        u->path = next;
    }
    return -ELOOP;
}

/* What is there already. Answers and returns false when it cannot be replaced. */
static bool upload_look(struct fop *f, struct upload *u)
{
    struct stat st;

    if (lstat(u->path, &st) < 0) {
        if (errno == ENOENT)
            return true;
        fop_errno(f, errno, u->path);
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        fop_errno(f, EISDIR, u->path);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        fop_error(f, 422, "not_a_file", "what is there is not a file and cannot be replaced by one");
        return false;
    }
    if (faccessat(AT_FDCWD, u->path, W_OK, AT_EACCESS) < 0) {
        fop_errno(f, errno, u->path);
        return false;
    }
    u->replaces = true;
    u->mode = st.st_mode & 0777;
    u->uid = st.st_uid;
    u->gid = st.st_gid;
    return true;
}

static void upload_mode(const struct fop *f, struct upload *u)
{
    const char *text = fop_arg(f, "mode");
    uint64_t mode;

    if (text && str_to_u64_n(text, strlen(text), 8, &mode) == 0)
        u->mode = (mode_t) mode;
}

static bool upload_open_dir(struct fop *f, struct upload *u)
{
    int r = tree_make_dirs(u->dir, 0777);

    if (r == -EEXIST)
        r = -ENOTDIR;
    if (r < 0) {
        fop_errno(f, -r, u->dir);
        return false;
    }
    u->dir_fd = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->dir_fd < 0 && errno != EACCES) {
        fop_errno(f, errno, u->dir);
        return false;
    }
    return true;
}

/* ---- the file without a name ---- */

static void temp_name(struct fop *f, const struct upload *u)
{
    char name[32] = ".tmp-";

    id_random(name + 5, TEMP_RANDOM);
    free(f->temp);
    f->temp = path_join(u->dir, name);
}

static bool upload_create(struct fop *f, struct upload *u)
{
    u->fd = open(u->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (u->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
        temp_name(f, u);
        u->named = true;
        u->fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (u->fd >= 0)
        return true;
    fop_errno(f, errno, u->dir);
    return false;
}

/* A disk that is too small is told before the body is sent. */
static bool upload_reserve(struct fop *f, struct upload *u)
{
    const char *text = fop_arg(f, "length");
    uint64_t length;

    if (!text || str_to_u64(text, &length) < 0 || length < RESERVE_BYTES_MIN || length > INT64_MAX)
        return true;
    if (fallocate(u->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t) length) == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG))
        return true;
    fop_errno(f, errno, u->path);
    return false;
}

static bool upload_receive(struct fop *f, struct upload *u)
{
    const uint8_t *p;
    size_t len;

    fop_go(f);
    while ((len = fop_body(f, &p)) > 0) {
        int r = fd_write_all(u->fd, p, len);

        if (r < 0) {
            fop_errno(f, -r, u->path);
            return false;
        }
        u->bytes += len;
        if (u->bytes - u->flushed >= FLUSH_BYTES) {
            (void) sync_file_range(u->fd, (off_t) u->flushed, (off_t) (u->bytes - u->flushed),
                                   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
            u->flushed = u->bytes;
        }
    }
    return true;
}

/* ---- its name ---- */

static int upload_link(struct upload *u, const char *name)
{
    char self[40];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", u->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int upload_link_temp(struct fop *f, struct upload *u)
{
    for (int i = 0; i < LINK_TRIES; i++) {
        int r;

        temp_name(f, u);
        r = upload_link(u, f->temp);
        if (r != -EEXIST) {
            if (r < 0) {
                free(f->temp);
                f->temp = NULL;
            }
            return r;
        }
    }
    return -EEXIST;
}

static int upload_name(struct fop *f, struct upload *u)
{
    int r;

    if (!u->named && !u->replaces) {
        r = upload_link(u, u->path);
        if (r != -EEXIST) /* somebody was faster: then it is replaced */
            return r;
    }
    if (!u->named) {
        r = upload_link_temp(f, u);
        if (r < 0)
            return r;
    }
    if (rename(f->temp, u->path) < 0) {
        r = -errno;
        (void) unlink(f->temp);
    } else {
        r = 0;
    }
    free(f->temp);
    f->temp = NULL;
    return r;
}

static int upload_finish(struct fop *f, struct upload *u)
{
    int r;

    if (u->replaces && geteuid() == 0 && fchown(u->fd, u->uid, u->gid) < 0)
        return -errno;
    if (fchmod(u->fd, u->mode) < 0 || fsync(u->fd) < 0)
        return -errno;
    r = upload_name(f, u);
    if (r == 0 && u->dir_fd >= 0 && fsync(u->dir_fd) < 0)
        r = -errno;
    return r;
}

void op_write(struct fop *f)
{
    cleanup(upload_deinit) struct upload u = {.dir_fd = -1, .fd = -1, .mode = 0644};
    const char *given = fop_arg(f, "path");
    int r;

    u.path = fop_path(f, "path");
    if (!u.path)
        return;
    if (path_ends_in_slash(given)) {
        fop_errno(f, EISDIR, u.path);
        return;
    }
    r = upload_resolve(&u);
    if (r < 0) {
        fop_errno(f, -r, u.path);
        return;
    }
    u.dir = path_dir(u.path);
    if (!upload_look(f, &u))
        return;
    upload_mode(f, &u);
    if (!upload_open_dir(f, &u) || !upload_create(f, &u) || !upload_reserve(f, &u) || !upload_receive(f, &u))
        return;
    r = upload_finish(f, &u);
    if (r < 0)
        fop_errno(f, -r, u.path);
    else
        object_reply(f, u.path);
}
