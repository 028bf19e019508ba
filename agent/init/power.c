/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/init/power.h"
#include <errno.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/init/cgroup.h"
#include "agent/procs/procs.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum { POWER_TICK_MS = 50, POWER_HANGUP_MS = 1000, POWER_TERM_MS = 3000, POWER_KILL_MS = 1000, MOUNTS_MAX = 64 };

enum power_state { POWER_UP, POWER_ASKING, POWER_KILLING };

struct power {
    struct agent *agent;
    enum power_state state;
    enum power_mode mode;
    bool hung_up;
    struct timer *timer;
    uint64_t since_ms;
};

/* ---- the last steps ---- */

/* File systems on disks, the newest mount first. */
static void power_unmount(void)
{
    char *dirs[MOUNTS_MAX];
    unsigned count = 0;
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent *m;

    while (f && count < MOUNTS_MAX && (m = getmntent(f))) {
        if (strncmp(m->mnt_fsname, "/dev/", 5) == 0 && strcmp(m->mnt_dir, "/") != 0)
            dirs[count++] = xstrdup(m->mnt_dir);
    }
    if (f)
        endmntent(f);
    while (count) {
        char *dir = dirs[--count];

        if (umount2(dir, 0) < 0 && mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
            log_warn(NULL, "could not unmount", "path", dir, "reason", strerror(errno));
        free(dir);
    }
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        log_warn(NULL, "could not make the root read-only", "reason", strerror(errno));
}

no_return static void power_kernel(enum power_mode mode)
{
    sync();
    reboot(mode == POWER_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;)
        pause(); /* a kernel that cannot: the host ends the machine */
}

no_return void power_fail(void)
{
    power_kernel(POWER_OFF);
}

static void power_finish(struct power *p)
{
    if (!p->agent->machine) {
        procs_kill_all(p->agent->procs, SIGKILL);
        loop_stop(p->agent->loop);
        return;
    }
    (void) kill(-1, SIGKILL); /* helpers, and what has left the users' group */
    sync();
    power_unmount();
    log_info(NULL, p->mode == POWER_REBOOT ? "restarting" : "powering off");
    power_kernel(p->mode);
}

/* ---- asking ---- */

static unsigned power_signal(struct power *p, int signo)
{
    if (p->agent->machine)
        return cgroup_user_signal(signo);
    if (signo)
        procs_kill_all(p->agent->procs, signo);
    return p->agent->procs->active;
}

static void power_set_state(struct power *p, enum power_state state)
{
    p->state = state;
    p->since_ms = loop_now_ms(p->agent->loop);
}

static void power_on_tick(void *arg)
{
    struct power *p = arg;
    uint64_t age = loop_now_ms(p->agent->loop) - p->since_ms;

    if (power_signal(p, 0) == 0 || (p->state == POWER_KILLING && age >= POWER_KILL_MS)) {
        power_finish(p);
        return;
    }
    if (!p->hung_up && age >= POWER_HANGUP_MS) { /* interactive shells ignore SIGTERM */
        p->hung_up = true;
        (void) power_signal(p, SIGHUP);
    }
    if (p->state == POWER_ASKING && age >= POWER_TERM_MS) {
        power_set_state(p, POWER_KILLING);
        (void) power_signal(p, SIGKILL);
    }
    timer_set(p->timer, POWER_TICK_MS);
}

void power_begin(struct power *p, enum power_mode mode)
{
    struct err e = ERR_INIT;

    if (p->state != POWER_UP)
        return;
    log_info(NULL, mode == POWER_REBOOT ? "going to restart" : "going to power off");
    p->mode = mode;
    power_set_state(p, POWER_ASKING);
    if (cgroup_thaw(&e) < 0)
        log_warn(NULL, "could not thaw the users' processes", "reason", e.text);
    (void) power_signal(p, SIGTERM);
    (void) power_signal(p, SIGCONT);
    timer_set(p->timer, POWER_TICK_MS);
}

/* ---- signals ---- */

static void power_on_signal(void *arg, int signo)
{
    struct power *p = arg;
    bool restart = p->agent->machine && (signo == SIGINT /* ctrl-alt-del */ || signo == SIGRTMIN + 5);

    power_begin(p, restart ? POWER_REBOOT : POWER_OFF);
}

int power_new(struct power **out, struct agent *a)
{
    /* What the usual init programs take for off and restart. */
    const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPWR, SIGRTMIN + 3, SIGRTMIN + 4, SIGRTMIN + 5};
    struct power *p = xnew(struct power);

    p->agent = a;
    p->timer = timer_new(a->loop, power_on_tick, p);
    for (size_t i = 0; i < (a->machine ? ARRAY_LEN(signals) : 2); i++) {
        int r = loop_signal(a->loop, signals[i], power_on_signal, p);

        if (r < 0) {
            power_free(p);
            return r;
        }
    }
    *out = p;
    return 0;
}

void power_free(struct power *p)
{
    if (!p)
        return;
    timer_free(p->timer);
    free(p);
}
