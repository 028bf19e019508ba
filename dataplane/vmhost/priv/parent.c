/* SPDX-License-Identifier: Apache-2.0 */
/* parent - see parent.h */
#include "dataplane/vmhost/priv/parent.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/net/net.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/cgroup.h"
#include "dataplane/vmhost/priv/jail.h"
#include "dataplane/vmhost/priv/layout.h"
#include "dataplane/vmhost/priv/netns.h"
#include "dataplane/vmhost/priv/privop.h"
#include "dataplane/vmhost/priv/qemu_spawn.h"
#include "dataplane/vmhost/priv/slots.h"
#include "dataplane/vmhost/priv/store.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SOCK_FD = 3, CHILD_CONFIG_FD = 4, CHILD_STOP_MS = 15000, CHILD_NOFILE = 65536 };

struct parent {
    const struct conf *conf;
    struct slots slots;
    int sock;         /* owned: to the child */
    int signals;      /* owned: signalfd */
    int lock;         /* owned: one service per state folder */
    pid_t child;      /* 0 when it has been reaped */
    int child_status;
    bool stopping;
    unsigned calls[PRIV_OP_COUNT];
};

/* ---- operations ---- */

static int parent_store_op(struct parent *p, const struct priv_store *m, struct priv_reply *rep, int *fd, struct err *e)
{
    struct store *s = p->slots.store;
    enum priv_kind kind = (enum priv_kind) m->kind;
    int r;

    switch (m->head.op) {
    case PRIV_STORE_BEGIN:
        return store_begin(s, m->name, e);
    case PRIV_STORE_CREATE:
        return store_create(s, kind, m->name, (enum priv_file) m->file, m->size, fd, e);
    case PRIV_STORE_COMMIT:
        return store_commit(s, kind, m->name, e);
    case PRIV_STORE_REMOVE:
        return store_remove(s, kind, m->name, m->unfinished, e);
    case PRIV_STORE_OPEN:
        return store_file(s, kind, m->name, (enum priv_file) m->file, m->unfinished, O_RDONLY, fd, e);
    default:
        r = store_list(s, kind, m->after, rep->names, e);
        rep->count = r > 0 ? (uint32_t) r : 0;
        return r < 0 ? r : 0;
    }
}

/* out: descriptors to give back, at most two. */
static int parent_do(struct parent *p, const union priv_message *m, const int *fds, struct priv_reply *rep, int out[2], struct err *e)
{
    switch (m->head.op) {
    case PRIV_SLOT_MAKE:
        return slots_make(&p->slots, &m->slot, e);
    case PRIV_SLOT_DESTROY:
        return slots_destroy(&p->slots, &m->slot, e);
    case PRIV_SLOT_SOCKET:
        return slots_socket(&p->slots, &m->slot, &out[0], e);
    case PRIV_QEMU_START:
        return slots_start(&p->slots, &m->qemu_start, fds, rep, &out[0], e);
    case PRIV_QEMU_ADOPT:
        return slots_adopt(&p->slots, &m->qemu_adopt, &out[0], e);
    case PRIV_QEMU_KILL:
        return slots_kill(&p->slots, &m->slot, e);
    case PRIV_QEMU_MEMORY:
        return slots_memory(&p->slots, &m->slot, out, e);
    case PRIV_LEFTOVERS:
        return slots_leftovers(&p->slots, rep->slots, e);
    default:
        return parent_store_op(p, &m->store, rep, &out[0], e);
    }
}

static bool parent_is_about_slot(uint32_t op, const union priv_message *m, unsigned *slot)
{
    if (!privop_rows[op].slots)
        return false;
    *slot = op == PRIV_QEMU_START ? m->qemu_start.slot : op == PRIV_QEMU_ADOPT ? m->qemu_adopt.slot : m->slot.slot;
    return true;
}

/* What the rows say: how often, and in which state of the slot. A wrong state is not nonsense: a VM may just have ended. */
static int parent_permit(struct parent *p, const union priv_message *m, struct err *e)
{
    const struct privop_row *row = &privop_rows[m->head.op];
    unsigned slot;

    p->calls[m->head.op]++;
    if (row->calls_max && p->calls[m->head.op] > row->calls_max)
        return err_set(e, -EPERM, "%s was used up", row->name);
    if (parent_is_about_slot(m->head.op, m, &slot) && !(row->slots & (1u << p->slots.slot[slot].state)))
        return err_set(e, -EBUSY, "%s: slot %u is in state %u", row->name, slot, p->slots.slot[slot].state);
    return 0;
}

static int parent_reply(struct parent *p, struct priv_reply *rep, int out[2], const struct err *e)
{
    size_t nfds = 0;
    int r;

    if (rep->result < 0)
        snprintf(rep->text, sizeof(rep->text), "%.*s", (int) sizeof(rep->text) - 1, err_text(e, rep->result));
    while (nfds < 2 && out[nfds] >= 0)
        nfds++;
    rep->nfds = (uint32_t) nfds;
    r = net_send_fds(p->sock, rep, sizeof(*rep), out, nfds);
    while (r == -EAGAIN || r == -EINTR) {
        struct pollfd fd = {.fd = p->sock, .events = POLLOUT};

        if (poll(&fd, 1, CHILD_STOP_MS) == 0)
            break; /* a child that reads nothing for so long is none */
        r = net_send_fds(p->sock, rep, sizeof(*rep), out, nfds);
    }
    fd_closep(&out[0]);
    fd_closep(&out[1]);
    return r;
}

static int parent_serve_one(struct parent *p, const union priv_message *m, const int *fds)
{
    struct priv_reply rep = {.id = m->head.id};
    struct err e = ERR_INIT;
    int out[2] = {-1, -1};

    rep.result = parent_permit(p, m, &e);
    if (rep.result == 0)
        rep.result = parent_do(p, m, fds, &rep, out, &e);
    if (rep.result < 0) {
        fd_closep(&out[0]);
        fd_closep(&out[1]);
    }
    return parent_reply(p, &rep, out, &e);
}

/* 0: served; 1: the child has gone; < 0: it is not our child any more. */
static int parent_receive(struct parent *p)
{
    union priv_message m;
    struct err e = ERR_INIT;
    int fds[PRIV_FDS_MAX];
    size_t nfds = PRIV_FDS_MAX;
    ssize_t n = net_recv_fds(p->sock, &m, sizeof(m), fds, &nfds);
    int r;

    if (n == 0 || n == -ECONNRESET)
        return 1;
    if (n == -EINTR || n == -EAGAIN)
        return 0;
    if (n < 0) {
        log_error(NULL, "privileged socket failed", "error", strerror((int) -n));
        return (int) n;
    }
    r = privop_check(&m, (size_t) n, nfds, &e);
    if (r < 0)
        log_error(NULL, "nonsense from the child, ending", "reason", err_text(&e, r));
    else
        r = parent_serve_one(p, &m, fds);
    for (size_t i = 0; i < nfds; i++)
        close(fds[i]);
    mem_wipe(&m, sizeof(m)); /* may bear a token */
    return r == -EPIPE || r == -ECONNRESET ? 1 : r;
}

/* ---- processes ---- */

static void parent_reap(struct parent *p)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == p->child) {
            p->child = 0;
            p->child_status = status;
            continue;
        }
        log_info(NULL, "qemu ended", "pid", LOG_I64(pid), "exit", LOG_I64(WIFEXITED(status) ? WEXITSTATUS(status) : -1), "signal",
                 LOG_I64(WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    }
}

static void parent_on_signal(struct parent *p)
{
    struct signalfd_siginfo si;

    if (read(p->signals, &si, sizeof(si)) != (ssize_t) sizeof(si))
        return;
    if (si.ssi_signo == SIGCHLD) {
        parent_reap(p);
        return;
    }
    if (!p->stopping)
        log_info(NULL, "stopping; virtual machines go on", "signal", LOG_U64(si.ssi_signo));
    p->stopping = true;
    if (p->child)
        kill(p->child, SIGTERM);
}

static void parent_loop(struct parent *p)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = p->sock, .events = POLLIN}, {.fd = p->signals, .events = POLLIN}};

        if (poll(fds, 2, p->stopping ? CHILD_STOP_MS : -1) == 0)
            return;
        if (fds[1].revents)
            parent_on_signal(p);
        if (fds[0].revents && parent_receive(p) != 0)
            return;
    }
}

static no_return void parent_child_main(struct parent *p, int sock, int config_fd, enum parent_task task, unsigned count)
{
    const struct rlimit core = {0, 0};
    struct rlimit files = {CHILD_NOFILE, CHILD_NOFILE};
    struct err e = ERR_INIT;
    char number[16];
    char *argv[] = {(char *) "bivouac-vmhost", (char *) "child", (char *) (task == PARENT_SERVE ? "serve" : "selftest"), number, NULL};
    sigset_t none;
    int high[2] = {fcntl(sock, F_DUPFD_CLOEXEC, 10), fcntl(config_fd, F_DUPFD_CLOEXEC, 10)};

    snprintf(number, sizeof(number), "%u", count);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (high[0] < 0 || high[1] < 0 || dup2(high[0], CHILD_SOCK_FD) < 0 || dup2(high[1], CHILD_CONFIG_FD) < 0)
        _exit(125);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        files.rlim_cur = files.rlim_max = files.rlim_max < CHILD_NOFILE ? files.rlim_max : CHILD_NOFILE;
    if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
        log_warn(NULL, "limits of the child could not be set", "error", strerror(errno));
    if (syscall(SYS_close_range, CHILD_CONFIG_FD + 1, ~0u, 0) < 0)
        _exit(125);
    if (cell_drop((uid_t) p->conf->child_uid, &e) < 0) {
        log_error(NULL, "child cannot give up its rights", "error", e.text);
        _exit(125);
    }
    execve("/proc/self/exe", argv, environ);
    log_error(NULL, "child cannot be started", "error", strerror(errno));
    _exit(125);
}

static int parent_start_child(struct parent *p, enum parent_task task, unsigned count, int config_fd, struct err *e)
{
    int socks[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
        return err_errno(e, "make a socket pair");
    p->child = fork();
    if (p->child == 0)
        parent_child_main(p, socks[1], config_fd, task, count);
    close(socks[1]);
    p->sock = socks[0];
    if (p->child < 0) {
        p->child = 0;
        return err_errno(e, "start the child");
    }
    return 0;
}

/* ---- start and end ---- */

static int parent_open_signals(struct parent *p, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_errno(e, "block signals");
    p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return p->signals < 0 ? err_errno(e, "make a signalfd") : 0;
}

static int parent_open_cell(struct parent *p, struct err *e)
{
    char shim[4096], cell[4096];
    struct jail_conf conf = {.mount_point = cell, .shim = shim, .kvm = access("/dev/kvm", F_OK) == 0};
    int r = layout_shim_path(p->conf, shim, sizeof(shim), e);

    if (r < 0)
        return r;
    snprintf(cell, sizeof(cell), "%s/cell", p->conf->run_dir);
    r = dir_make_parents(cell, 0755, e);
    return r < 0 ? r : jail_open(&conf, &p->slots.jail, e);
}

static int parent_prepare(struct parent *p, struct err *e)
{
    int r = 0;

    if (geteuid() != 0)
        return err_set(e, -EPERM, "start as root: namespaces, taps and the uids of QEMU need it");
    slots_init(&p->slots);
    p->slots.conf = p->conf;
    r = layout_make(p->conf, &p->lock, e);
    if (r == 0)
        r = parent_open_signals(p, e);
    if (r == 0)
        r = cgroups_open(&p->slots.cgroups, p->conf->instance, e);
    if (r == 0)
        r = store_open(&p->slots.store, p->conf->state_dir, e);
    if (r == 0)
        r = netns_prepare(e);
    if (r < 0)
        return r;
    p->slots.own_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (p->slots.own_ns < 0)
        return err_errno(e, "open the own network namespace");
    return parent_open_cell(p, e);
}

static void parent_close(struct parent *p)
{
    fd_closep(&p->sock);
    fd_closep(&p->signals);
    slots_deinit(&p->slots);
    cgroups_free(p->slots.cgroups);
    store_free(p->slots.store);
    fd_closep(&p->lock);
}

/* The socket is closed: the child sees it and ends; if it does not, it is ended. */
static int parent_end_child(struct parent *p)
{
    fd_closep(&p->sock);
    for (int waited_ms = 0; p->child && waited_ms < CHILD_STOP_MS; waited_ms += 100) {
        struct pollfd fd = {.fd = p->signals, .events = POLLIN};

        parent_reap(p);
        if (p->child && poll(&fd, 1, 100) > 0)
            parent_on_signal(p);
    }
    if (p->child) {
        log_error(NULL, "child does not end, killing it");
        kill(p->child, SIGKILL);
        waitpid(p->child, &p->child_status, 0);
    }
    if (WIFSIGNALED(p->child_status))
        log_error(NULL, "child was ended by a signal", "signal", LOG_I64(WTERMSIG(p->child_status)));
    return WIFEXITED(p->child_status) ? WEXITSTATUS(p->child_status) : 1;
}

static struct parent *parent_new(const struct conf *conf)
{
    struct parent *p = xnew(struct parent);

    p->conf = conf;
    p->sock = p->signals = p->lock = -1;
    return p;
}

int parent_run(const struct conf *conf, enum parent_task task, unsigned selftest_count, int config_fd)
{
    struct parent *p = parent_new(conf);
    struct err e = ERR_INIT;
    int code = 1;
    int r = parent_prepare(p, &e);

    if (r == 0) {
        const char *kind = cgroups_kind(p->slots.cgroups);

        if (strcmp(kind, "none") == 0)
            log_error(NULL, "NO CONTROL GROUPS: virtual machines run without limits of memory, CPU and processes");
        else
            log_info(NULL, "control groups found", "version", kind);
        r = parent_start_child(p, task, selftest_count, config_fd, &e);
    }
    if (r < 0) {
        log_error(NULL, "cannot start", "error", err_text(&e, r));
    } else {
        parent_loop(p);
        code = parent_end_child(p);
    }
    parent_close(p);
    free(p);
    return code;
}

/* ---- purge ---- */

static void parent_purge_slots(struct parent *p)
{
    uint8_t bits[PRIV_SLOTS_MAX / 8] = {0};
    struct err e = ERR_INIT;

    if (slots_leftovers(&p->slots, bits, &e) < 0)
        log_error(NULL, "leftovers cannot be listed", "error", e.text);
    for (unsigned i = 0; i < PRIV_SLOTS_MAX; i++) {
        struct priv_slot m = {.slot = i};
        int r = -EAGAIN;

        if (!(bits[i / 8] & (1u << (i % 8))))
            continue;
        for (int tries = 0; r == -EAGAIN && tries < 500; tries++) {
            r = slots_destroy(&p->slots, &m, &e);
            parent_reap(p);
            if (r == -EAGAIN)
                poll(NULL, 0, 10); /* a killed process needs its time to give back its memory */
        }
        if (r < 0)
            log_error(NULL, "slot cannot be removed", "slot", LOG_U64(i), "error", err_text(&e, r));
    }
}

int parent_purge(const struct conf *conf)
{
    struct parent *p = parent_new(conf);
    struct err e = ERR_INIT;
    int r;

    slots_init(&p->slots);
    p->slots.conf = conf;
    r = geteuid() == 0 ? layout_make(conf, &p->lock, &e) : err_set(&e, -EPERM, "purge as root");
    if (r == 0)
        r = cgroups_open(&p->slots.cgroups, conf->instance, &e);
    if (r == 0) {
        parent_purge_slots(p);
        cgroups_remove_base(p->slots.cgroups);
        r = layout_purge(conf, &e);
    }
    if (r < 0)
        log_error(NULL, "purge failed", "error", err_text(&e, r));
    parent_close(p);
    free(p);
    return r < 0 ? 1 : 0;
}
