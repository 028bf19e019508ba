/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - two tables: what the initramfs needs to find the root disk, and what a Debian system expects beside its disk. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/err.h"

struct mount_row {
    const char *type, *target, *options;
    unsigned long flags;
    mode_t mode; /* of the target, when it has to be made */
};

static const struct mount_row early_rows[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
    {"devtmpfs", "/dev", "mode=755", MS_NOSUID, 0755},
    {0},
};

static const struct mount_row rest_rows[] = {
    {"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC, 0755},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 01777},
    {"mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
    {"tmpfs", "/run", "mode=755,size=20%", MS_NOSUID | MS_NODEV, 0755},
    {"tmpfs", "/run/lock", "mode=1777,size=5m", MS_NOSUID | MS_NODEV | MS_NOEXEC, 01777},
    {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
    {0},
};

static const struct {
    const char *path;
    mode_t mode;
} made_dirs[] = {
    {"/run/bivouac", 0755},
    {"/run/user", 0755},
    {"/tmp", 01777},
    {"/var/tmp", 01777},
};

static const struct {
    const char *target, *path;
} made_links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

static int mount_rows(const struct mount_row *row, struct err *e)
{
    for (; row->type; row++) {
        if (mkdir(row->target, row->mode) < 0 && errno != EEXIST)
            return err_errno(e, "make '%s'", row->target);
        if (mount(row->type, row->target, row->type, row->flags, row->options) < 0) {
            if (errno == EBUSY) /* is there already: a kernel that mounts devtmpfs by itself */
                continue;
            if (errno == ENODEV && strcmp(row->type, "mqueue") == 0)
                continue;
            return err_errno(e, "mount %s on '%s'", row->type, row->target);
        }
    }
    return 0;
}

int boot_mount_early(struct err *e)
{
    return mount_rows(early_rows, e);
}

int boot_mount_rest(struct err *e)
{
    int r = mount_rows(rest_rows, e);

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(made_dirs); i++) {
        const char *path = made_dirs[i].path;

        if (mkdir(path, made_dirs[i].mode) == 0) {
            if (chmod(path, made_dirs[i].mode) < 0) /* whatever the umask */
                return err_errno(e, "set the mode of '%s'", path);
        } else if (errno != EEXIST) {
            return err_errno(e, "make '%s'", path);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(made_links); i++) {
        if (symlink(made_links[i].target, made_links[i].path) < 0 && errno != EEXIST)
            return err_errno(e, "make '%s'", made_links[i].path);
    }
    return 0;
}
