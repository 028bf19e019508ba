/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/init/cgroup.h"
#include "agent/init/reaper.h"
#include "agent/users/users.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum { HELPER_FD = 3, TICK_MS = 5000 };

struct file_pool {
    struct file_pool_conf conf;
    struct list idle;    /* longest first */
    struct list waiting; /* struct pool_wait, first come first served */
    unsigned idle_count, waiting_count;
    unsigned alive;      /* idle or in use */
    struct timer *tick;
    struct defer serve;
};

struct helper {
    struct list node; /* file_pool.idle */
    struct file_pool *pool;
    pid_t pid; /* 0: has ended */
    int fd;
    uint64_t idle_ms;
    uid_t uid;
    gid_t gid;
    gid_t groups[USERS_GROUPS_MAX];
    size_t group_count;
};

static void pool_on_tick(void *arg);
static void pool_serve(void *arg);

int file_pool_new(struct file_pool **out, const struct file_pool_conf *conf)
{
    struct file_pool *p = xnew(struct file_pool);

    p->conf = *conf;
    list_init(&p->idle);
    list_init(&p->waiting);
    p->tick = timer_new(conf->loop, pool_on_tick, p);
    *out = p;
    return 0;
}

/* ---- processes ---- */

no_return static void child_exit(const char *what)
{
    log_error(NULL, "a file helper cannot start", "step", what, "reason", strerror(errno));
    _exit(1);
}

static void child_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* no cgroups, no /proc: an ordinary program */
    if (write(fd, text, strlen(text)) < 0)
        log_warn(NULL, "could not set up a file helper, ignoring", "path", path, "reason", strerror(errno));
    close(fd);
}

static void child_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < _NSIG; i++) {
        if (i != SIGKILL && i != SIGSTOP && i != SIGPIPE)
            (void) sigaction(i, &sa, NULL);
    }
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Nothing of the agent's may be left open: sockets, terminals, other helpers. */
static void child_files(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0) {
        (void) dup2(null, 0);
        (void) dup2(null, 1);
    }
    if (fd != HELPER_FD && dup2(fd, HELPER_FD) < 0)
        child_exit("descriptors");
    if (syscall(SYS_close_range, (unsigned) HELPER_FD + 1, ~0u, 0) < 0)
        child_exit("descriptors");
}

static void child_user(const struct user *u)
{
    if (geteuid() != 0) { /* pool_fork() has checked that it is the same user */
        return;
    }
    if (setgroups(u->group_count, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
        child_exit("user");
}

no_return static void child_main(struct file_pool *p, const struct user *u, int fd)
{
    child_signals();
    if (cgroup_present()) {
        child_put(CGROUP_ROOT "/files/cgroup.procs", "0");
        child_put("/proc/self/oom_score_adj", "0");
    }
    (void) setsid();
    (void) setpriority(PRIO_PROCESS, 0, 0);
    (void) prctl(PR_SET_NAME, "bivouac-files");
    umask(022);
    if (p->conf.in_child)
        p->conf.in_child(p->conf.arg);
    child_files(fd);
    child_user(u);
    helper_main(HELPER_FD, p->conf.workspace);
}

static void helper_on_exit(void *arg, int status)
{
    struct helper *h = arg;

    (void) status; /* its socket tells whoever waits for it */
    h->pid = 0;
}

static void helper_free(struct helper *h)
{
    if (h->pid)
        reaper_forget(h->pool->conf.reaper, h->pid);
    h->pool->alive--;
    close(h->fd);
    free(h);
}

static struct helper *pool_fork(struct file_pool *p, const struct user *u)
{
    int sv[2];
    struct helper *h;
    sigset_t all, old;
    pid_t pid;

    if (geteuid() != 0 && u->uid != geteuid())
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        return NULL;
    /* No handler of ours may run in the child: it would write to the loop's descriptors. */
    sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0)
        child_main(p, u, sv[1]);
    (void) sigprocmask(SIG_SETMASK, &old, NULL);
    close(sv[1]);
    if (pid < 0 || fcntl(sv[0], F_SETFL, O_NONBLOCK) < 0) {
        close(sv[0]);
        return NULL;
    }
    h = xnew(struct helper);
    h->pool = p;
    h->pid = pid;
    h->fd = sv[0];
    h->uid = u->uid;
    h->gid = u->gid;
    h->group_count = u->group_count;
    memcpy(h->groups, u->groups, u->group_count * sizeof(*u->groups));
    p->alive++;
    reaper_watch(p->conf.reaper, pid, helper_on_exit, h);
    return h;
}

/* ---- the idle ones ---- */

static bool helper_is_for(const struct helper *h, const struct user *u)
{
    return h->uid == u->uid && h->gid == u->gid && h->group_count == u->group_count &&
           memcmp(h->groups, u->groups, u->group_count * sizeof(*u->groups)) == 0;
}

/* An idle helper whose socket has something to say has ended (a user may kill his own processes). */
static bool helper_is_alive(const struct helper *h)
{
    char c;

    return recv(h->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void idle_remove(struct helper *h)
{
    list_del(&h->node);
    h->pool->idle_count--;
}

static struct helper *idle_take(struct file_pool *p, const struct user *u)
{
    LIST_FOR_EACH_SAFE(n, tmp, &p->idle) {
        struct helper *h = LIST_ENTRY(n, struct helper, node);

        if (!helper_is_for(h, u))
            continue;
        idle_remove(h);
        if (helper_is_alive(h))
            return h;
        helper_free(h);
    }
    return NULL;
}

static void idle_shrink(struct file_pool *p, unsigned max)
{
    while (p->idle_count > max) {
        struct helper *h = LIST_ENTRY(p->idle.next, struct helper, node);

        idle_remove(h);
        helper_free(h);
    }
}

static void pool_arm(struct file_pool *p)
{
    if ((p->idle_count > 1 || p->waiting_count) && !timer_pending(p->tick))
        timer_set(p->tick, TICK_MS);
}

static void pool_on_tick(void *arg)
{
    struct file_pool *p = arg;
    uint64_t now = loop_now_ms(p->conf.loop);

    while (p->idle_count > 1) {
        struct helper *h = LIST_ENTRY(p->idle.next, struct helper, node);

        if (now < h->idle_ms + POOL_IDLE_MS)
            break;
        idle_remove(h);
        helper_free(h);
    }
    pool_serve(p);
    pool_arm(p);
}

int helper_fd(const struct helper *h)
{
    return h->fd;
}

static void pool_kick(struct file_pool *p)
{
    if (p->waiting_count)
        loop_defer(p->conf.loop, &p->serve, pool_serve, p);
}

void helper_put(struct helper *h)
{
    struct file_pool *p = h->pool;

    h->idle_ms = loop_now_ms(p->conf.loop);
    list_append(&p->idle, &h->node);
    p->idle_count++;
    if (!p->waiting_count)
        idle_shrink(p, POOL_IDLE_MAX);
    pool_arm(p);
    pool_kick(p);
}

void helper_end(struct helper *h)
{
    struct file_pool *p = h->pool;

    helper_free(h);
    pool_kick(p);
}

void helper_kill(struct helper *h)
{
    if (h->pid)
        (void) kill(h->pid, SIGKILL);
    helper_end(h);
}

/* ---- those who wait ---- */

void pool_wait_cancel(struct pool_wait *w)
{
    if (!w->pool)
        return;
    list_del(&w->node);
    w->pool->waiting_count--;
    w->pool = NULL;
    user_deinit(w->user);
    free(w->user);
    w->user = NULL;
}

static struct user *user_copy(const struct user *u)
{
    struct user *copy = xnew(struct user);

    *copy = *u;
    copy->name = xstrdup(u->name);
    copy->home = copy->shell = NULL;
    return copy;
}

/* POOL_OK: *out is a helper. POOL_OVERLOADED: one must wait. */
static enum pool_result pool_try(struct file_pool *p, const struct user *u, struct helper **out)
{
    *out = idle_take(p, u);
    if (*out)
        return POOL_OK;
    if (p->alive >= POOL_HELPERS_MAX)
        idle_shrink(p, p->idle_count ? p->idle_count - 1 : 0); /* another user's */
    if (p->alive >= POOL_HELPERS_MAX)
        return POOL_OVERLOADED;
    *out = pool_fork(p, u);
    return *out ? POOL_OK : POOL_FAILED;
}

void pool_get(struct file_pool *p, struct pool_wait *w, const struct user *u, pool_fn *fn, void *arg)
{
    enum pool_result r = POOL_OVERLOADED;
    struct helper *h = NULL;

    memset(w, 0, sizeof(*w));
    if (!p->waiting_count)
        r = pool_try(p, u, &h);
    if (r != POOL_OVERLOADED || p->waiting_count >= POOL_WAITING_MAX) {
        fn(arg, r, h);
        return;
    }
    w->pool = p;
    w->fn = fn;
    w->arg = arg;
    w->user = user_copy(u);
    w->deadline_ms = loop_now_ms(p->conf.loop) + POOL_WAIT_MS;
    list_append(&p->waiting, &w->node);
    p->waiting_count++;
    pool_arm(p);
}

/* In order; somebody whose time is over is told so. */
static void pool_serve(void *arg)
{
    struct file_pool *p = arg;
    uint64_t now = loop_now_ms(p->conf.loop);

    while (!list_empty(&p->waiting)) {
        struct pool_wait *w = LIST_ENTRY(p->waiting.next, struct pool_wait, node);
        struct helper *h = NULL;
        enum pool_result r = pool_try(p, w->user, &h);

        if (r == POOL_OVERLOADED && now < w->deadline_ms)
            return;
        pool_fn *fn = w->fn;
        void *fn_arg = w->arg;

        pool_wait_cancel(w);
        fn(fn_arg, r, h);
    }
}

void file_pool_warm(struct file_pool *p, const char *user_name)
{
    struct user u;
    struct helper *h;

    if (user_find(&u, user_name, NULL) != USER_E_OK)
        return;
    h = pool_fork(p, &u);
    user_deinit(&u);
    if (h)
        helper_put(h);
}

void file_pool_free(struct file_pool *p)
{
    if (!p)
        return;
    idle_shrink(p, 0);
    timer_free(p->tick);
    defer_cancel(&p->serve);
    free(p);
}
