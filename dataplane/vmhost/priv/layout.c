/* SPDX-License-Identifier: Apache-2.0 */
/* layout - see layout.h */
#include "dataplane/vmhost/priv/layout.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "dataplane/vmhost/conf.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int layout_own(const char *path, uid_t uid, mode_t mode, struct err *e)
{
    cleanup(fd_closep) int fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "open folder '%s'", path);
    return fchown(fd, uid, uid) < 0 || fchmod(fd, mode) < 0 ? err_errno(e, "set owner and mode of '%s'", path) : 0;
}

static int layout_dir(const char *path, uid_t uid, mode_t mode, struct err *e)
{
    int r = dir_make_parents(path, 0755, e);

    return r < 0 ? r : layout_own(path, uid, mode, e);
}

static int layout_child_dir(const struct conf *c, const char *name, struct err *e)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", c->state_dir, name);
    return layout_dir(path, (uid_t) c->child_uid, 0700, e);
}

/* A folder that somebody made on purpose keeps its owner and mode. */
static int layout_gate_dir(const struct conf *c, struct err *e)
{
    char path[PATH_MAX], *slash;
    struct stat st;

    snprintf(path, sizeof(path), "%s", c->gate_socket);
    slash = strrchr(path, '/');
    if (!slash || slash == path)
        return err_set(e, -EINVAL, "gate_socket: needs a folder of its own");
    *slash = '\0';
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : err_set(e, -ENOTDIR, "'%s' is no folder", path);
    return layout_dir(path, (uid_t) c->child_uid, 0755, e);
}

static int layout_lock(const struct conf *c, int *lock, struct err *e)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/lock", c->state_dir);
    cleanup(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(e, "open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(e, -EBUSY, "another bivouac-vmhost uses '%s': stop it first", c->state_dir)
                                    : err_errno(e, "lock '%s'", path);
    *lock = take_fd(&fd);
    return 0;
}

int layout_make(const struct conf *c, int *lock, struct err *e)
{
    int r = layout_dir(c->state_dir, 0, 0711, e);

    if (r == 0)
        r = layout_lock(c, lock, e);
    if (r == 0)
        r = layout_child_dir(c, "vms", e);
    if (r == 0)
        r = layout_child_dir(c, "journal", e);
    if (r == 0)
        r = layout_dir(c->run_dir, 0, 0755, e);
    return r < 0 ? r : layout_gate_dir(c, e);
}

static int layout_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    if (ftw->level == 0)
        return 0;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int layout_empty(const char *path, struct err *e)
{
    if (nftw(path, layout_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
        return err_errno(e, "empty '%s'", path);
    return 0;
}

int layout_purge(const struct conf *c, struct err *e)
{
    const char *const dirs[] = {"vms", "journal"};
    char path[PATH_MAX];

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof(path), "%s/%s", c->state_dir, dirs[i]);
        if (layout_empty(path, e) < 0)
            return e->code;
    }
    if (unlink(c->gate_socket) < 0 && errno != ENOENT)
        return err_errno(e, "remove '%s'", c->gate_socket);
    snprintf(path, sizeof(path), "%s/cell", c->run_dir);
    if (rmdir(path) < 0 && errno != ENOENT)
        return err_errno(e, "remove '%s'", path);
    (void) rmdir(c->run_dir); /* others may keep files there */
    return 0;
}

int layout_shim_path(const struct conf *c, char *out, size_t size, struct err *e)
{
    ssize_t n;
    char *slash;

    if (!str_empty(c->shim))
        return str_copy(out, size, c->shim) ? 0 : err_set(e, -ENAMETOOLONG, "shim: path is too long");
    n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0)
        return err_errno(e, "find the folder of the program");
    out[n] = '\0';
    slash = strrchr(out, '/');
    if (!slash || (size_t) (slash - out) + sizeof("/bivouac-ram-shim.so") > size)
        return err_set(e, -ENAMETOOLONG, "path of the program is too long");
    memcpy(slash, "/bivouac-ram-shim.so", sizeof("/bivouac-ram-shim.so"));
    return access(out, R_OK) < 0 ? err_errno(e, "the RAM preload shim '%s'", out) : 0;
}
