/* SPDX-License-Identifier: Apache-2.0 */
/* vmdir - see vmdir.h */
#include "dataplane/vmhost/vm/vmdir.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "dataplane/vmhost/image/qcow2.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { QMP_BACKLOG = 4 };

static void vmdir_path(const char *state_dir, const char *name, char out[PATH_MAX])
{
    assert(!strchr(name, '/') && name[0] != '.');
    snprintf(out, PATH_MAX, "%s/vms/%s", state_dir, name);
}

static int vmdir_open(const char *state_dir, const char *name, int *out, struct err *e)
{
    char path[PATH_MAX];

    vmdir_path(state_dir, name, path);
    *out = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    return *out < 0 ? err_errno(e, "open '%s'", path) : 0;
}

static socklen_t vmdir_address(int dir, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" VMDIR_QMP, dir);
    return sizeof(*out);
}

static int vmdir_listen(int dir, int *out, struct err *e)
{
    cleanup(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un to;
    socklen_t len = vmdir_address(dir, &to);

    if (fd < 0)
        return err_errno(e, "make a socket");
    if (unlinkat(dir, VMDIR_QMP, 0) < 0 && errno != ENOENT)
        return err_errno(e, "remove the old monitor socket");
    if (bind(fd, (struct sockaddr *) &to, len) < 0 || listen(fd, QMP_BACKLOG) < 0)
        return err_errno(e, "listen on the monitor socket");
    *out = take_fd(&fd);
    return 0;
}

int vmdir_remove(const char *state_dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *d;

    vmdir_path(state_dir, name, path);
    d = opendir(path);
    if (!d)
        return errno == ENOENT ? 0 : err_errno(e, "open '%s'", path);
    while ((entry = readdir(d)))
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            (void) unlinkat(dirfd(d), entry->d_name, 0); /* rmdir tells if one is left */
    closedir(d);
    return rmdir(path) < 0 && errno != ENOENT ? err_errno(e, "remove '%s'", path) : 0;
}

int vmdir_make(const char *state_dir, const char *name, int *qmp_listener, struct err *e)
{
    char path[PATH_MAX];
    cleanup(fd_closep) int dir = -1;
    int r = vmdir_remove(state_dir, name, e);

    if (r < 0)
        return r;
    vmdir_path(state_dir, name, path);
    if (mkdir(path, 0700) < 0)
        return err_errno(e, "make '%s'", path);
    r = vmdir_open(state_dir, name, &dir, e);
    return r < 0 ? r : vmdir_listen(dir, qmp_listener, e);
}

int vmdir_new_listener(const char *state_dir, const char *name, int *qmp_listener, struct err *e)
{
    cleanup(fd_closep) int dir = -1;
    int r = vmdir_open(state_dir, name, &dir, e);

    return r < 0 ? r : vmdir_listen(dir, qmp_listener, e);
}

int vmdir_make_disk(const char *state_dir, const char *name, uint64_t virtual_bytes, const char *backing, int *disk, struct err *e)
{
    cleanup(fd_closep) int dir = -1;
    cleanup(fd_closep) int fd = -1;
    int r = vmdir_open(state_dir, name, &dir, e);

    if (r < 0)
        return r;
    fd = openat(dir, VMDIR_DISK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, "make the disk of '%s'", name);
    r = qcow2_write_overlay(fd, virtual_bytes, backing, e);
    if (r == 0)
        *disk = take_fd(&fd);
    return r;
}

int vmdir_open_disk(const char *state_dir, const char *name, int *disk, struct err *e)
{
    cleanup(fd_closep) int dir = -1;
    int r = vmdir_open(state_dir, name, &dir, e);
    int fd;

    if (r < 0)
        return r;
    fd = openat(dir, VMDIR_DISK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "open the disk of '%s'", name);
    *disk = fd;
    return 0;
}

int vmdir_connect(const char *state_dir, const char *name, int *qmp, struct err *e)
{
    cleanup(fd_closep) int dir = -1;
    cleanup(fd_closep) int fd = -1;
    struct sockaddr_un to;
    int r = vmdir_open(state_dir, name, &dir, e);

    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, "make a socket");
    if (connect(fd, (struct sockaddr *) &to, vmdir_address(dir, &to)) < 0)
        return err_errno(e, "connect to the monitor of '%s'", name);
    *qmp = take_fd(&fd);
    return 0;
}
