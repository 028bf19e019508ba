/* SPDX-License-Identifier: Apache-2.0 */
/* jail - see jail.h */
#include "dataplane/vmhost/priv/jail.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "dataplane/vmhost/priv/helper.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { JAIL_DEADLINE_MS = 10000, JAIL_COPY_MAX = 4 * MIB };

static const struct jail_node {
    const char *path;
    unsigned major, minor;
    bool kvm;
} jail_nodes[] = {
    {"dev/null", 1, 3, false},
    {"dev/urandom", 1, 9, false},
    {"dev/kvm", 10, 232, true},
};

static const struct jail_link {
    const char *path, *target;
} jail_links[] = {{"lib", "usr/lib"}, {"lib64", "usr/lib64"}, {"bin", "usr/bin"}, {"sbin", "usr/sbin"}};

static int jail_copy(const char *from, const char *to, mode_t mode, struct err *e)
{
    cleanup(buf_deinit) struct buf b = BUF_INIT(JAIL_COPY_MAX);
    cleanup(fd_closep) int fd = -1;
    int r = file_read(from, JAIL_COPY_MAX, &b, e);

    if (r < 0)
        return r;
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(e, "make '%s'", to);
    r = fd_write_all(fd, buf_data(&b), b.len);
    if (r < 0 || fchmod(fd, mode) < 0)
        return err_set(e, r < 0 ? r : -errno, "write '%s'", to);
    return 0;
}

static int jail_make_nodes(bool kvm, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(jail_nodes); i++) {
        const struct jail_node *n = &jail_nodes[i];

        if (n->kvm && !kvm)
            continue;
        if (mknod(n->path, S_IFCHR | 0666, makedev(n->major, n->minor)) < 0 || chmod(n->path, 0666) < 0)
            return err_errno(e, "make device node '%s'", n->path);
    }
    return 0;
}

static int jail_make_tree(const struct jail_conf *conf, struct err *e)
{
    const char *const dirs[] = {"usr", "proc", "dev", "etc", "old"};

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (mkdir(dirs[i], 0755) < 0)
            return err_errno(e, "make '%s'", dirs[i]);
    for (size_t i = 0; i < ARRAY_LEN(jail_links); i++)
        if (symlink(jail_links[i].target, jail_links[i].path) < 0)
            return err_errno(e, "make link '%s'", jail_links[i].path);
    if (jail_copy("/etc/ld.so.cache", "etc/ld.so.cache", 0444, e) < 0)
        return e->code;
    if (jail_copy(conf->shim, &JAIL_SHIM[1], 0555, e) < 0)
        return e->code;
    return jail_make_nodes(conf->kvm, e);
}

static int jail_mount_proc(struct err *e)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    if (mount("proc", "proc", "proc", flags, "hidepid=invisible,subset=pid") == 0)
        return 0;
    return err_errno(e, "mount /proc of the cell (the kernel must know hidepid=invisible and subset=pid: 5.8 or later)");
}

static int jail_enter(const struct jail_conf *conf, struct err *e)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(e, "make a mount namespace");
    if (mount("cell", conf->mount_point, "tmpfs", MS_NOSUID, "size=8m,mode=755") < 0 || chdir(conf->mount_point) < 0)
        return err_errno(e, "mount a tmpfs on '%s'", conf->mount_point);
    return 0;
}

static int jail_helper(void *arg, struct helper_pipe *out, struct err *e)
{
    const struct jail_conf *conf = arg;
    int ns;

    umask(0);
    if (jail_enter(conf, e) < 0 || jail_make_tree(conf, e) < 0)
        return e->code;
    if (mount("/usr", "usr", NULL, MS_BIND | MS_REC, NULL) < 0 ||
        mount(NULL, "usr", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_errno(e, "mount /usr read-only");
    if (jail_mount_proc(e) < 0)
        return e->code;
    ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return err_errno(e, "open the mount namespace");
    if (syscall(SYS_pivot_root, ".", "old") < 0 || chdir("/") < 0 || umount2("/old", MNT_DETACH) < 0 || rmdir("/old") < 0)
        return err_errno(e, "change the root");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID, NULL) < 0)
        return err_errno(e, "make the root read-only");
    return helper_send_fds(out, &ns, 1, e);
}

int jail_open(const struct jail_conf *conf, int *ns, struct err *e)
{
    int r = helper_run(jail_helper, (void *) conf, JAIL_DEADLINE_MS, ns, 1, e);

    return r < 0 ? err_wrap(e, r, "root for QEMU") : 0;
}
