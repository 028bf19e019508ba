/* SPDX-License-Identifier: Apache-2.0 */
/* disk_watch - see disk_watch.h */
#include "dataplane/vmhost/vm/disk_watch.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/metrics/metrics.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { RESERVE_BYTES = 64 * MIB, ROOM_BYTES = 8 * MIB };

struct metric metric_vm_io_errors = {
    .name = "bivouac_vmhost_vm_io_errors_total", .help = "Disk failures that stopped a virtual machine.", .kind = METRIC_COUNTER,
};

void disk_watch_read(const struct host *h, struct disk_usage *out)
{
    struct statvfs fs;

    *out = (struct disk_usage){0};
    if (statvfs(h->conf->state_dir, &fs) < 0 || fs.f_blocks == 0)
        return;
    /* as df counts: what only root may use is not free */
    uint64_t used = fs.f_blocks - fs.f_bfree, usable = used + fs.f_bavail;

    out->total = (int64_t) (fs.f_blocks * fs.f_frsize);
    out->free_bytes = (int64_t) (fs.f_bavail * fs.f_frsize);
    out->used_pct = usable ? (int) ((used * 100 + usable - 1) / usable) : 100;
}

bool disk_watch_is_full(const struct host *h)
{
    struct disk_usage u;

    disk_watch_read(h, &u);
    return u.used_pct > h->conf->disk_full_pct;
}

bool disk_watch_may_go_on(const struct host *h)
{
    struct disk_usage u;

    disk_watch_read(h, &u);
    return u.free_bytes >= ROOM_BYTES;
}

static void reserve_path(const struct host *h, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/vms/.reserve", h->conf->state_dir);
}

void disk_watch_free_reserve(struct host *h)
{
    char path[PATH_MAX];

    reserve_path(h, path);
    if (unlink(path) == 0)
        log_warn(NULL, "reserve file given up for virtual machines that wait for disk space");
}

static int reserve_work(void *arg)
{
    const char *path = arg;
    cleanup(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int r = -posix_fallocate(fd, 0, RESERVE_BYTES);

    if (r < 0)
        (void) unlink(path); /* all or nothing */
    return r;
}

static void reserve_done(void *arg, int r)
{
    if (r < 0 && r != -EEXIST)
        log_warn(NULL, "reserve file cannot be made", "error", strerror(-r));
    free(arg);
}

void disk_watch_make_reserve(struct host *h)
{
    char path[PATH_MAX], *copy;

    reserve_path(h, path);
    if (access(path, F_OK) == 0 || disk_watch_is_full(h))
        return;
    copy = xstrdup(path);
    if (loop_work(h->loop, reserve_work, reserve_done, copy) < 0)
        free(copy);
}
