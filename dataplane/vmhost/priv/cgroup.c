/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - see cgroup.h */
#include "dataplane/vmhost/priv/cgroup.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

enum { PERIOD_US = 100000, PIDS_PER_VM = 160, TEXT_MAX = 32 };

struct cgroups {
    const char *kind;
    unsigned count;               /* hierarchies in use */
    int base[CGROUP_HIERARCHIES]; /* owned: the folder of this instance in each */
    char name[32];
};

static int cgroup_write(int dir, const char *path, const char *text, struct err *e)
{
    cleanup(fd_closep) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "open cgroup file '%s'", path);
    if (write(fd, text, strlen(text)) < 0)
        return err_errno(e, "write '%s' to cgroup file '%s'", text, path);
    return 0;
}

/* Opens (and makes) the instance's folder below a mounted hierarchy. */
static int cgroup_open_base(struct cgroups *c, const char *mount, struct err *e)
{
    cleanup(fd_closep) int top = open(mount, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

    if (top < 0)
        return err_errno(e, "open '%s'", mount);
    if (mkdirat(top, c->name, 0755) < 0 && errno != EEXIST)
        return err_errno(e, "make cgroup '%s/%s'", mount, c->name);
    c->base[c->count] = openat(top, c->name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (c->base[c->count] < 0)
        return err_errno(e, "open cgroup '%s/%s'", mount, c->name);
    c->count++;
    return 0;
}

static bool cgroup_v2_has_controllers(int dir)
{
    char text[512] = " ";
    cleanup(fd_closep) int fd = openat(dir, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text + 1, sizeof(text) - 3);

    if (n <= 0)
        return false;
    text[n] = ' '; /* in place of the newline */
    text[n + 1] = '\0';
    return strstr(text, " memory ") && strstr(text, " cpu ") && strstr(text, " pids ");
}

static bool cgroup_open_v2(struct cgroups *c, struct err *e)
{
    const char *mount = "/sys/fs/cgroup";
    const char *enable = "+memory +cpu +pids";
    struct statfs fs;
    cleanup(fd_closep) int top = open(mount, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

    if (top < 0 || fstatfs(top, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC || !cgroup_v2_has_controllers(top))
        return false;
    (void) cgroup_write(top, "cgroup.subtree_control", enable, e); /* the next line tells whether it worked */
    if (cgroup_open_base(c, mount, e) == 0 && cgroup_write(c->base[0], "cgroup.subtree_control", enable, e) == 0)
        return true;
    while (c->count > 0)
        fd_closep(&c->base[--c->count]);
    return false;
}

static bool cgroup_open_v1(struct cgroups *c, struct err *e)
{
    const char *const mounts[CGROUP_HIERARCHIES] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/pids"};

    for (unsigned i = 0; i < CGROUP_HIERARCHIES; i++) {
        struct statfs fs;
        int r = -1;

        if (statfs(mounts[i], &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
            r = cgroup_open_base(c, mounts[i], e);
        if (r < 0) {
            while (c->count > 0)
                fd_closep(&c->base[--c->count]);
            return false;
        }
    }
    return true;
}

int cgroups_open(struct cgroups **out, const char *instance, struct err *e)
{
    struct cgroups *c = xnew(struct cgroups);

    snprintf(c->name, sizeof(c->name), "bivouac-%s", instance);
    if (cgroup_open_v2(c, e))
        c->kind = "v2";
    else if (cgroup_open_v1(c, e))
        c->kind = "v1";
    else
        c->kind = "none";
    *out = c;
    return 0;
}

void cgroups_free(struct cgroups *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->count; i++)
        close(c->base[i]);
    free(c);
}

const char *cgroups_kind(const struct cgroups *c)
{
    return c->kind;
}

static void cgroup_slot_name(unsigned slot, char out[TEXT_MAX])
{
    snprintf(out, TEXT_MAX, "slot-%u", slot);
}

int cgroup_make(struct cgroups *c, unsigned slot, struct err *e)
{
    char name[TEXT_MAX];

    cgroup_slot_name(slot, name);
    for (unsigned i = 0; i < c->count; i++)
        if (mkdirat(c->base[i], name, 0755) < 0 && errno != EEXIST)
            return err_errno(e, "make cgroup '%s/%s'", c->name, name);
    return 0;
}

static int cgroup_set(struct cgroups *c, unsigned hierarchy, unsigned slot, const char *file, uint64_t value, struct err *e)
{
    char path[96], text[48];

    snprintf(path, sizeof(path), "slot-%u/%s", slot, file);
    snprintf(text, sizeof(text), "%llu", (unsigned long long) value);
    if (str_eq(file, "cpu.max"))
        snprintf(text, sizeof(text), "%llu %d", (unsigned long long) value, PERIOD_US);
    return cgroup_write(c->base[hierarchy], path, text, e);
}

/* A quarter of a CPU more than the guest has is for QEMU's own threads. */
int cgroup_limit(struct cgroups *c, unsigned slot, unsigned cpu_count, uint64_t memory_bytes, struct err *e)
{
    uint64_t quota_us = (uint64_t) cpu_count * PERIOD_US + PERIOD_US / 4;
    bool v2 = str_eq(c->kind, "v2");
    unsigned cpu = v2 ? 0 : 1, pids = v2 ? 0 : 2;

    if (c->count == 0)
        return 0;
    if (cgroup_set(c, 0, slot, v2 ? "memory.max" : "memory.limit_in_bytes", memory_bytes, e) < 0 ||
        cgroup_set(c, cpu, slot, v2 ? "cpu.max" : "cpu.cfs_quota_us", quota_us, e) < 0 ||
        cgroup_set(c, pids, slot, "pids.max", PIDS_PER_VM, e) < 0)
        return e->code;
    return 0;
}

int cgroup_open_procs(struct cgroups *c, unsigned slot, int fds[CGROUP_HIERARCHIES], struct err *e)
{
    for (unsigned i = 0; i < c->count; i++) {
        char path[64];

        snprintf(path, sizeof(path), "slot-%u/cgroup.procs", slot);
        fds[i] = openat(c->base[i], path, O_WRONLY | O_CLOEXEC);
        if (fds[i] < 0) {
            int r = err_errno(e, "open cgroup file '%s'", path);

            while (i > 0)
                fd_closep(&fds[--i]);
            return r;
        }
    }
    return (int) c->count;
}

void cgroup_kill(struct cgroups *c, unsigned slot)
{
    char path[64];

    snprintf(path, sizeof(path), "slot-%u/cgroup.kill", slot);
    if (str_eq(c->kind, "v2"))
        (void) cgroup_write(c->base[0], path, "1", NULL); /* older than 5.14, or no such group: the kill by uid stands */
}

int cgroup_remove(struct cgroups *c, unsigned slot)
{
    char name[TEXT_MAX];
    int r = 0;

    cgroup_slot_name(slot, name);
    for (unsigned i = 0; i < c->count; i++)
        if (unlinkat(c->base[i], name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}

void cgroup_mark(struct cgroups *c, uint8_t *bits, unsigned slots)
{
    for (unsigned i = 0; i < c->count; i++) {
        int fd = openat(c->base[i], ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!d) {
            fd_closep(&fd);
            continue;
        }
        while ((entry = readdir(d))) {
            uint64_t slot;

            if (str_starts(entry->d_name, "slot-") && str_to_u64(entry->d_name + 5, &slot) == 0 && slot < slots)
                bits[slot / 8] |= (uint8_t) (1u << (slot % 8));
        }
        closedir(d);
    }
}

void cgroups_remove_base(struct cgroups *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        char path[64], target[4096];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", c->base[i]);
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        (void) rmdir(target); /* not empty, or gone: nothing to do about it */
    }
}
