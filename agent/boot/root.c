/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root - waits for the disk, mounts it and makes it the root. This program goes on running from the initramfs, a file system in memory
 * that nobody can reach any more: the disk never holds an agent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

#define NEW_ROOT "/newroot"
#define ROOT_DEFAULT "/dev/vda"

enum { DISK_WAIT_MS = 15000, UEVENT_BUF = 8192 };

/* The kernel tells of new devices here. Opened before the first look, so that none is missed. */
static int uevents_open(void)
{
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd >= 0 && bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool disk_is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

static int disk_wait(const char *path, struct err *e)
{
    cleanup(fd_closep) int fd = uevents_open();
    uint64_t deadline = clock_mono_ms() + DISK_WAIT_MS;
    char drop[UEVENT_BUF];

    if (fd < 0)
        return err_errno(e, "listen for new devices");
    while (!disk_is_there(path)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ms();

        if (now >= deadline)
            return err_set(e, -ENODEV, "no disk '%s' after %d s: is its driver in the initramfs?", path, DISK_WAIT_MS / 1000);
        if (poll(&p, 1, (int) (deadline - now)) > 0) {
            while (recv(fd, drop, sizeof(drop), 0) > 0)
                ;
        }
    }
    return 0;
}

/* The modules are of no use any more; their memory is. */
static void initramfs_clean(int root_fd)
{
    int fd = openat(root_fd, "modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *n;

    if (!d)
        return;
    while ((n = readdir(d))) {
        if (n->d_name[0] != '.')
            (void) unlinkat(dirfd(d), n->d_name, 0);
    }
    closedir(d);
    (void) unlinkat(root_fd, "modules", AT_REMOVEDIR);
}

static int root_switch(struct err *e)
{
    static const char *const moved[] = {"/dev", "/proc", "/sys"};
    cleanup(fd_closep) int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char target[64];

    if (old < 0)
        return err_errno(e, "open the initramfs");
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        snprintf(target, sizeof(target), NEW_ROOT "%s", moved[i]);
        if (mkdir(target, 0755) < 0 && errno != EEXIST)
            return err_errno(e, "make '%s' on the root disk", moved[i]);
        if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
            return err_errno(e, "move '%s' to the root disk", moved[i]);
    }
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return err_errno(e, "change to the root disk");
    initramfs_clean(old);
    return 0;
}

int boot_enter_root(struct err *e)
{
    char line[BOOT_CMDLINE_MAX], disk[128] = ROOT_DEFAULT;
    int r = boot_read_cmdline(line, e);

    if (r < 0)
        return r;
    (void) cmdline_get(line, "bivouac.root", disk, sizeof(disk));
    r = disk_wait(disk, e);
    if (r < 0)
        return r;
    if (mkdir(NEW_ROOT, 0755) < 0 && errno != EEXIST)
        return err_errno(e, "make '%s'", NEW_ROOT);
    if (mount(disk, NEW_ROOT, "ext4", MS_NOATIME, "errors=remount-ro") < 0)
        return err_errno(e, "mount '%s' (ext4)", disk);
    log_info(NULL, "root disk mounted", "disk", disk);
    return root_switch(e);
}
