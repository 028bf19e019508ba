/* SPDX-License-Identifier: Apache-2.0 */
/* machine - see machine.h */
#include "dataplane/vmhost/vm/machine.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/priv.h"
#include "dataplane/vmhost/vm/tail.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { STDERR_KEPT = 1024, CONSOLE_KEPT = 16 * KIB, DYING_MS = 2000 };

struct machine {
    struct host *host;
    struct machine_ops ops;
    void *arg;
    char name[PRIV_NAME_SIZE];
    unsigned slot;
    struct op *asking;     /* start or adopt */
    struct op *op;         /* the caller's handle of it */
    machine_started_fn *started;
    void *started_arg;
    int pidfd;             /* owned, -1 */
    struct io *pidfd_io;   /* owned */
    pid_t pid;
    uint64_t start_time;
    struct qmp *qmp;       /* owned */
    bool ended, ended_told;
    struct timer *dying;   /* owned: the monitor is closed, the end of the process should follow */
    struct tail *said;     /* owned: stderr */
    struct tail *console;  /* owned */
    struct defer tell;
    bool freed;
};

/* The caller's op: cancelling does not undo a start, that is what releasing the slot is for. */
struct machine_op {
    struct op op;
    struct machine *machine;
};

struct machine *machine_new(struct host *h, const struct machine_ops *ops, void *arg)
{
    struct machine *m = xnew(struct machine);

    m->host = h;
    m->ops = *ops;
    m->arg = arg;
    m->pidfd = -1;
    return m;
}

static void machine_answer(struct machine *m, int r, const char *text)
{
    machine_started_fn *started = m->started;
    struct machine_op *op = (struct machine_op *) m->op;
    void *arg = m->started_arg;

    m->started = NULL;
    m->op = NULL;
    if (op) {
        op_finish(&op->op);
        free(op);
    }
    if (started)
        started(arg, r, text);
}

static void machine_reap(void *object)
{
    free(object);
}

static void machine_close_qmp(struct machine *m)
{
    qmp_close(m->qmp);
    m->qmp = NULL;
}

void machine_free(struct machine *m)
{
    if (!m || m->freed)
        return;
    m->freed = true;
    op_cancel(&m->asking);
    m->started = NULL;
    machine_answer(m, -ECANCELED, NULL); /* only releases the caller's handle */
    machine_close_qmp(m);
    io_close(m->pidfd_io);
    m->pidfd_io = NULL;
    fd_closep(&m->pidfd);
    tail_close(m->said);
    tail_close(m->console);
    defer_cancel(&m->tell);
    timer_free(m->dying);
    m->dying = NULL;
    loop_reap(m->host->loop, m, machine_reap);
}

/* ---- the end of the process ---- */

static void machine_tell_exit(void *arg)
{
    struct machine *m = arg;

    if (m->ended_told)
        return;
    m->ended_told = true;
    machine_close_qmp(m);
    tail_drain(m->said);
    tail_drain(m->console);
    m->ops.on_exit(m->arg);
}

static void machine_on_pidfd(void *arg, unsigned events)
{
    struct machine *m = arg;

    (void) events;
    m->ended = true;
    timer_cancel(m->dying);
    io_close(m->pidfd_io);
    m->pidfd_io = NULL;
    /* its last words on the monitor may still be unread: the monitor's end comes after them and tells the exit then */
    if (!m->qmp)
        loop_defer(m->host->loop, &m->tell, machine_tell_exit, m);
}

static void machine_on_not_dead(void *arg)
{
    struct machine *m = arg;

    log_error(NULL, "a virtual machine has closed its monitor", "vm", m->name);
    m->ops.on_qmp_lost(m->arg);
}

static void machine_on_qmp_closed(void *arg, int r)
{
    struct machine *m = arg;

    machine_close_qmp(m);
    if (m->ended) {
        machine_tell_exit(m);
        return;
    }
    if (r == -ECONNRESET || r == -EPIPE) { /* a process that dies closes its sockets before it is known to be dead */
        m->dying = timer_new(m->host->loop, machine_on_not_dead, m);
        timer_set(m->dying, DYING_MS);
        return;
    }
    log_error(NULL, "monitor of a virtual machine broke", "vm", m->name, "error", strerror(-r));
    m->ops.on_qmp_lost(m->arg);
}

static void machine_on_qmp_event(void *arg, const char *name, const struct json *data)
{
    struct machine *m = arg;

    m->ops.on_event(m->arg, name, data);
}

/* ---- start ---- */

static int machine_connect(struct machine *m, struct err *e)
{
    static const struct qmp_ops ops = {.on_event = machine_on_qmp_event, .on_closed = machine_on_qmp_closed};
    int fd = -1;
    int r = vmdir_connect(m->host->conf->state_dir, m->name, &fd, e);

    if (r < 0)
        return r;
    r = qmp_open(&m->qmp, m->host->loop, fd, &ops, m);
    return r < 0 ? err_set(e, r, "monitor: %s", strerror(-r)) : 0;
}

static int machine_watch(struct machine *m, int pidfd, struct err *e)
{
    int r;

    m->pidfd = pidfd;
    r = io_open(&m->pidfd_io, m->host->loop, m->pidfd, machine_on_pidfd, m);
    if (r < 0)
        return err_set(e, r, "watch the process: %s", strerror(-r));
    io_want(m->pidfd_io, IO_READ);
    return machine_connect(m, e);
}

static void machine_on_started(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct machine *m = arg;
    struct err e = ERR_INIT;

    if (r == 0 && rep->nfds != 1)
        r = err_set(&e, -EPROTO, "no descriptor of the process");
    else if (r < 0)
        err_set(&e, r, "%s", rep && rep->text[0] ? rep->text : strerror(-r));
    if (r == 0) {
        if (rep->pid) {
            m->pid = rep->pid;
            m->start_time = rep->start_time;
        }
        r = machine_watch(m, take_fd(&fds[0]), &e);
    }
    machine_answer(m, r, e.text);
}

static void machine_on_cancel(struct op *op)
{
    struct machine_op *o = CONTAINER_OF(op, struct machine_op, op);

    o->machine->op = NULL;
    o->machine->started = NULL;
    op_cancel(&o->machine->asking);
    free(o);
}

static void machine_begin_op(struct machine *m, struct op **op_slot, machine_started_fn *done, void *arg)
{
    struct machine_op *op = xnew(struct machine_op);

    op->machine = m;
    m->op = &op->op;
    m->started = done;
    m->started_arg = arg;
    op_begin(&op->op, op_slot, machine_on_cancel);
}

static int machine_fill(const struct machine *m, const struct machine_start *s, struct priv_qemu_start *q)
{
    *q = (struct priv_qemu_start){
        .head.op = PRIV_QEMU_START, .slot = s->slot, .mode = s->mode, .accel = m->host->accel, .cpu_model = m->host->cpu_model,
        .cpu_count = s->cpu_count, .memory_mb = s->memory_mb, .unfinished = s->unfinished, .disk_mb = s->disk_mb,
    };
    bool fits = str_copy(q->name, sizeof(q->name), s->name) && str_copy(q->snap, sizeof(q->snap), s->snap ? s->snap : "") &&
                str_copy(q->rootfs, sizeof(q->rootfs), s->rootfs ? s->rootfs : "") &&
                str_copy(q->kernel, sizeof(q->kernel), s->kernel ? s->kernel : "") &&
                str_copy(q->initrd, sizeof(q->initrd), s->initrd ? s->initrd : "") &&
                str_copy(q->cmdline, sizeof(q->cmdline), s->cmdline ? s->cmdline : "");

    return fits ? 0 : -ENAMETOOLONG;
}

/* stderr and, where the guest boots, the console: our ends are watched, QEMU's ends are returned. */
static int machine_open_outputs(struct machine *m, const struct machine_start *s, int *said, int *console)
{
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    *said = fds[1];
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
        close(fds[0]);
        return -errno;
    }
    r = tail_open(&m->said, m->host->loop, fds[0], STDERR_KEPT, NULL, NULL);
    if (r < 0 || s->mode == PRIV_MODE_RESTORE)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    *console = fds[1];
    return tail_open(&m->console, m->host->loop, fds[0], CONSOLE_KEPT, s->on_console, s->on_console_arg);
}

static int machine_ask(struct machine *m, const struct machine_start *s, int disk)
{
    union priv_message q;
    cleanup(fd_closep) int said = -1;
    cleanup(fd_closep) int console = -1;
    int fds[PRIV_FDS_MAX];
    size_t nfds = 0;
    int r = machine_fill(m, s, &q.qemu_start);

    if (r == 0)
        r = machine_open_outputs(m, s, &said, &console);
    if (r < 0)
        return r;
    fds[nfds++] = s->qmp_listener;
    fds[nfds++] = said;
    if (disk >= 0)
        fds[nfds++] = disk;
    if (console >= 0)
        fds[nfds++] = console;
    if (s->mode == PRIV_MODE_PROBE)
        fds[nfds++] = s->kernel_fd;
    r = priv_call(m->host->priv, &q, fds, nfds, &m->asking, machine_on_started, m);
    mem_wipe(&q, sizeof(q));
    return r;
}

int machine_start(struct machine *m, const struct machine_start *s, struct op **op_slot, machine_started_fn *done, void *arg)
{
    /* our copies are closed whatever happens: the image lock belongs to the open file, which QEMU alone must hold */
    cleanup(fd_closep) maybe_unused int listener = s->qmp_listener;
    cleanup(fd_closep) int disk = s->disk;
    int r;

    assert(!m->asking && m->pidfd < 0);
    m->slot = s->slot;
    if (!str_copy(m->name, sizeof(m->name), s->name))
        return -ENAMETOOLONG;
    r = machine_ask(m, s, disk);
    if (r == 0)
        machine_begin_op(m, op_slot, done, arg);
    return r;
}

int machine_adopt(struct machine *m, unsigned slot, const char *name, pid_t pid, uint64_t start_time, struct op **op_slot,
                  machine_started_fn *done, void *arg)
{
    union priv_message q = {.qemu_adopt = {.head.op = PRIV_QEMU_ADOPT, .slot = slot, .pid = pid, .start_time = start_time}};
    int r;

    m->slot = slot;
    m->pid = pid;
    m->start_time = start_time;
    if (!str_copy(m->name, sizeof(m->name), name))
        return -ENAMETOOLONG;
    r = priv_call(m->host->priv, &q, NULL, 0, &m->asking, machine_on_started, m);
    if (r == 0)
        machine_begin_op(m, op_slot, done, arg);
    return r;
}

void machine_kill(struct machine *m)
{
    int r = machine_alive(m) ? priv_slot(m->host->priv, PRIV_QEMU_KILL, m->slot, NULL, NULL, NULL) : 0;

    if (r < 0)
        log_error(NULL, "qemu cannot be killed", "vm", m->name, "error", strerror(-r));
}

/* ---- what it is ---- */

bool machine_alive(const struct machine *m)
{
    return m->pidfd >= 0 && !m->ended;
}

pid_t machine_pid(const struct machine *m)
{
    return m->pid;
}

uint64_t machine_start_time(const struct machine *m)
{
    return m->start_time;
}

const char *machine_said(const struct machine *m)
{
    return tail_text(m->said);
}

const char *machine_console(const struct machine *m)
{
    return tail_text(m->console);
}

int machine_qmp(struct machine *m, const char *command, const char *args, int fd, uint32_t deadline_ms, struct op **op_slot,
                qmp_done_fn *done, void *arg)
{
    return m->qmp ? qmp_call(m->qmp, command, args, fd, deadline_ms, op_slot, done, arg) : -ENOTCONN;
}
