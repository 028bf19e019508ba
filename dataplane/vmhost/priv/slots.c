/* SPDX-License-Identifier: Apache-2.0 */
/* slots - see slots.h */
#include "dataplane/vmhost/priv/slots.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/cgroup.h"
#include "dataplane/vmhost/priv/netns.h"
#include "dataplane/vmhost/priv/procs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void slots_init(struct slots *s)
{
    s->jail = s->own_ns = -1;
    for (unsigned i = 0; i < PRIV_SLOTS_MAX; i++)
        s->slot[i] = (struct slot){.ns = -1, .tap = -1, .pidfd = -1};
}

static void slot_close(struct slot *t)
{
    fd_closep(&t->ns);
    fd_closep(&t->tap);
    fd_closep(&t->pidfd);
    *t = (struct slot){.ns = -1, .tap = -1, .pidfd = -1};
}

void slots_deinit(struct slots *s)
{
    for (unsigned i = 0; i < PRIV_SLOTS_MAX; i++)
        slot_close(&s->slot[i]);
    fd_closep(&s->jail);
    fd_closep(&s->own_ns);
}

static uid_t slot_uid(const struct slots *s, unsigned slot)
{
    return (uid_t) (s->conf->uid_base + slot);
}

struct slots_left {
    unsigned count;
};

static void slots_count_one(void *arg, pid_t pid, uid_t uid)
{
    struct slots_left *left = arg;

    (void) pid;
    (void) uid;
    left->count++;
}

int slots_make(struct slots *s, const struct priv_slot *m, struct err *e)
{
    struct slot *t = &s->slot[m->slot];
    struct slots_left left = {0};
    int r = procs_each(slot_uid(s, m->slot), 1, slots_count_one, &left);

    if (r < 0)
        return err_set(e, r, "read /proc: %s", strerror(-r));
    if (left.count)
        return err_set(e, -EBUSY, "a process still runs as the uid of slot %u", m->slot);
    r = cgroup_make(s->cgroups, m->slot, e);
    if (r < 0)
        return r;
    r = netns_make(s->conf->instance, m->slot, &t->ns, &t->tap, e);
    if (r < 0) {
        (void) !cgroup_remove(s->cgroups, m->slot); /* the failure above is the one to tell */
        return r;
    }
    t->state = PRIV_SLOT_READY;
    return 0;
}

static void slots_kill_one(void *arg, pid_t pid, uid_t uid)
{
    struct slots_left *left = arg;
    uint64_t start;
    char state;
    int pidfd;

    left->count++;
    if (procs_stat(pid, &start, &state) == 0 && procs_pidfd(pid, uid, start, &pidfd) == 0) {
        (void) !procs_kill(pidfd, SIGKILL); /* it is gone, or will be found again */
        close(pidfd);
    }
}

/* Nothing of the uid may live when the slot is used again: the uid is what keeps tenants apart on the host. */
int slots_destroy(struct slots *s, const struct priv_slot *m, struct err *e)
{
    struct slots_left left = {0};
    int r;

    cgroup_kill(s->cgroups, m->slot);
    r = procs_each(slot_uid(s, m->slot), 1, slots_kill_one, &left);
    if (r < 0)
        return err_set(e, r, "read /proc: %s", strerror(-r));
    if (left.count)
        return -EAGAIN;
    r = cgroup_remove(s->cgroups, m->slot);
    if (r == -EBUSY)
        return -EAGAIN;
    if (r < 0)
        return err_set(e, r, "remove the cgroup of slot %u: %s", m->slot, strerror(-r));
    slot_close(&s->slot[m->slot]);
    r = netns_remove(s->conf->instance, m->slot);
    return r < 0 ? err_set(e, r, "remove the network namespace of slot %u: %s", m->slot, strerror(-r)) : 0;
}

int slots_socket(struct slots *s, const struct priv_slot *m, int *fd, struct err *e)
{
    int r = netns_socket(s->slot[m->slot].ns, s->own_ns, fd);

    return r < 0 ? err_set(e, r, "make a socket in the network of slot %u: %s", m->slot, strerror(-r)) : 0;
}

int slots_adopt(struct slots *s, const struct priv_qemu_adopt *m, int *fd, struct err *e)
{
    struct slot *t = &s->slot[m->slot];
    cleanup(fd_closep) int pidfd = -1, dup_fd = -1;
    int r = procs_pidfd(m->pid, slot_uid(s, m->slot), m->start_time, &pidfd);

    if (r < 0)
        return r; /* -ESRCH is an answer */
    dup_fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
    if (dup_fd < 0)
        return err_errno(e, "duplicate a descriptor");
    r = netns_open(s->conf->instance, m->slot, pidfd, &t->ns, e);
    if (r < 0)
        return r;
    t->pidfd = take_fd(&pidfd);
    t->pid = m->pid;
    t->start_time = m->start_time;
    t->state = PRIV_SLOT_RUNNING;
    *fd = take_fd(&dup_fd);
    return 0;
}

int slots_kill(struct slots *s, const struct priv_slot *m, struct err *e)
{
    int r = procs_kill(s->slot[m->slot].pidfd, SIGKILL);

    return r < 0 && r != -ESRCH ? err_set(e, r, "kill QEMU of slot %u: %s", m->slot, strerror(-r)) : 0;
}

/* By the pidfd it is still the process that was started here; its numbers in /proc are read while it is known to be alive. */
int slots_memory(struct slots *s, const struct priv_slot *m, int fds[2], struct err *e)
{
    const struct slot *t = &s->slot[m->slot];
    char path[48];
    cleanup(fd_closep) int pagemap = -1, mem = -1, check = -1;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/pagemap", (int) t->pid);
    pagemap = open(path, O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return err_errno(e, "open '%s'", path);
    snprintf(path, sizeof(path), "/proc/%d/mem", (int) t->pid);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    if (mem < 0)
        return err_errno(e, "open '%s'", path);
    r = procs_pidfd(t->pid, slot_uid(s, m->slot), t->start_time, &check);
    if (r < 0)
        return err_set(e, r, "QEMU of slot %u has ended", m->slot);
    fds[0] = take_fd(&pagemap);
    fds[1] = take_fd(&mem);
    return 0;
}

struct slots_mark {
    uint8_t *bits;
    uid_t base;
};

static void slots_mark_one(void *arg, pid_t pid, uid_t uid)
{
    struct slots_mark *mark = arg;
    unsigned slot = uid - mark->base;

    (void) pid;
    mark->bits[slot / 8] |= (uint8_t) (1u << (slot % 8));
}

int slots_leftovers(struct slots *s, uint8_t bits[PRIV_SLOTS_MAX / 8], struct err *e)
{
    struct slots_mark mark = {.bits = bits, .base = slot_uid(s, 0)};
    int r = procs_each(mark.base, PRIV_SLOTS_MAX, slots_mark_one, &mark);

    netns_mark(s->conf->instance, bits, PRIV_SLOTS_MAX);
    cgroup_mark(s->cgroups, bits, PRIV_SLOTS_MAX);
    return r < 0 ? err_set(e, r, "read /proc: %s", strerror(-r)) : 0;
}
