/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc - the life of one process behind its exec: streams into frames, the end, what comes after it.
 *
 * The end: waitpid decides. What the process has written itself lies in the pipes at that moment (drain_to); more can only come from
 * children that it left behind. The streams are read until they end, until they were silent for PROC_QUIET_MS, or, if such a child never
 * pauses, until drain_to has been reached and PROC_DRAIN_MS are over. Then they are detached and `exit` is written.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/procs/procs.h"
#include "agent/procs/session.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum {
    PROC_READS_A_TURN = 8,
    /* A pipe that is written in many small pieces is read less often: waking up for each costs both sides more than the piece itself. */
    REST_MS = 4,
    REST_SOON_MS = 20,          /* pieces closer than this are a row */
    REST_WAKES = 8,             /* the first ones of a row are read at once */
    REST_BYTES = 256 * KIB,     /* so much at a time: it can do without */
};

static void stream_on_io(void *arg, unsigned events);
static void proc_on_quiet(void *arg);
static void proc_on_hold(void *arg);
static void proc_finish(struct proc *p);

struct proc *proc_new(struct procs *t, const char *id)
{
    struct proc *p = xnew(struct proc);

    p->table = t;
    snprintf(p->id, sizeof(p->id), "%s", id);
    p->status_fd = -1;
    for (int i = 0; i < 2; i++) {
        p->streams[i].proc = p;
        p->streams[i].fd = -1;
    }
    list_init(&p->waits);
    list_init(&p->readers);
    frames_init(&p->frames, &t->budget, p->id);
    return p;
}

static void stream_close(struct proc_stream *s)
{
    io_close(s->io);
    s->io = NULL;
    timer_free(s->rest);
    s->rest = NULL;
    fd_closep(&s->fd);
}

static void strings_free(struct json_strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
    *s = (struct json_strings){0};
}

void proc_free(struct proc *p)
{
    assert(list_empty(&p->readers));
    if (p->paused)
        p->table->paused--;
    io_close(p->status_io);
    fd_closep(&p->status_fd);
    stream_close(&p->streams[0]);
    stream_close(&p->streams[1]);
    if (p->in.done)
        input_deinit(&p->in);
    timer_free(p->hold);
    timer_free(p->quiet);
    timer_free(p->timeout);
    LIST_FOR_EACH_SAFE(n, tmp, &p->waits)
        list_del(n);
    frames_deinit(&p->frames);
    strings_free(&p->args);
    strings_free(&p->all_args);
    free(p->tag);
    free(p->cmd);
    free(p->cwd);
    free(p->user);
    loop_reap(p->table->conf.loop, p, free);
}

static void proc_new_frames(struct proc *p)
{
    if (p->table->ops.on_frames)
        p->table->ops.on_frames(p->table->ops_arg, p);
}

/* ---- reading ---- */

static void stream_update(struct proc_stream *s)
{
    if (s->io)
        io_want(s->io, s->proc->paused || timer_pending(s->rest) ? 0 : IO_READ);
}

static void proc_set_paused(struct proc *p, bool paused)
{
    if (p->paused != paused)
        p->table->paused += paused ? 1 : -1u;
    p->paused = paused;
    if (paused)
        procs_tick_soon(p->table);
    for (int i = 0; i < 2; i++)
        stream_update(&p->streams[i]);
}

void proc_resume(struct proc *p)
{
    if (p->paused && !frames_full(&p->frames, p->table->active)) {
        proc_set_paused(p, false);
        if (p->state == PROC_DRAINING)
            timer_set(p->quiet, PROC_QUIET_MS);
    }
}

static bool proc_streams_open(const struct proc *p)
{
    return p->streams[0].fd >= 0 || p->streams[1].fd >= 0;
}

/* After each read while the process has ended already. */
static void proc_drained_some(struct proc *p)
{
    bool reached = true;

    if (!proc_streams_open(p)) {
        proc_finish(p);
        return;
    }
    for (int i = 0; i < 2; i++)
        reached = reached && (p->streams[i].fd < 0 || p->streams[i].out.bytes >= p->streams[i].drain_to);
    if (reached && loop_now_ms(p->table->conf.loop) >= p->exited_ms + PROC_DRAIN_MS)
        proc_finish(p);
    else
        timer_set(p->quiet, PROC_QUIET_MS);
}

/* Reads until there is nothing, too much at a time, or no room. */
static void stream_read(struct proc_stream *s)
{
    struct proc *p = s->proc;

    for (unsigned i = 0; i < PROC_READS_A_TURN; i++) {
        if (frames_full(&p->frames, p->table->active)) {
            proc_set_paused(p, true);
            return;
        }
        ssize_t n = output_read(&s->out, &p->frames, s->fd);

        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            output_flush(&s->out, &p->frames);
            stream_close(s);
            return;
        }
        if (n < 4096) /* most likely empty now: save a call */
            return;
    }
}

static void stream_on_rest(void *arg)
{
    stream_update(arg);
}

static void stream_rest(struct proc_stream *s, uint64_t bytes)
{
    struct proc *p = s->proc;
    uint64_t now = loop_now_ms(p->table->conf.loop);
    bool soon = now < s->wake_ms + REST_SOON_MS;

    s->wake_ms = now;
    s->wakes = bytes < REST_BYTES && soon ? s->wakes + 1 : 0;
    if (s->wakes < REST_WAKES || p->exited || s->fd < 0 || s->out.kind == LINK_PTY)
        return;
    if (!s->rest)
        s->rest = timer_new(p->table->conf.loop, stream_on_rest, s);
    timer_set(s->rest, REST_MS);
    stream_update(s);
}

static void stream_on_io(void *arg, unsigned events)
{
    struct proc_stream *s = arg;
    struct proc *p = s->proc;
    uint64_t before = frames_last(&p->frames), bytes = s->out.bytes;
    bool held = s->out.held_len > 0;

    (void) events;
    stream_read(s);
    if (s->out.held_len && (!held || frames_last(&p->frames) != before)) { /* another character than before */
        s->held_ms = loop_now_ms(p->table->conf.loop);
        if (!timer_pending(p->hold))
            timer_set(p->hold, OUTPUT_HOLD_MS);
    }
    stream_rest(s, s->out.bytes - bytes);
    if (frames_last(&p->frames) != before)
        proc_new_frames(p);
    if (p->state == PROC_DRAINING)
        proc_drained_some(p);
}

static void proc_on_hold(void *arg)
{
    struct proc *p = arg;
    uint64_t now = loop_now_ms(p->table->conf.loop), wait = 0;

    for (int i = 0; i < 2; i++) {
        struct proc_stream *s = &p->streams[i];

        if (!s->out.held_len)
            continue;
        if (now >= s->held_ms + OUTPUT_HOLD_MS)
            output_flush(&s->out, &p->frames);
        else if (!wait || s->held_ms + OUTPUT_HOLD_MS - now < wait)
            wait = s->held_ms + OUTPUT_HOLD_MS - now;
    }
    if (wait)
        timer_set(p->hold, wait);
    proc_new_frames(p);
}

/* ---- the begin ---- */

static void proc_write_started(struct proc *p)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(FRAMES_JSON_MAX);
    struct link_started m = {
        .os_pid = p->os_pid,
        .started_at_us = p->started_us,
        .cmd = p->cmd,
        .cwd = p->cwd,
        .user = p->user,
        .tag = p->tag,
        .args = p->all_args,
        .pty = p->pty,
        .stdin_open = p->stdin_open,
    };

    if (link_write_started(&json, &m) < 0) { /* escapes have made it too long */
        buf_clear(&json);
        m.args = (struct json_strings){0};
        if (link_write_started(&json, &m) < 0)
            abort(); /* a command is at most 128 KiB */
    }
    frames_append(&p->frames, LINK_STARTED, buf_data(&json), json.len);
    strings_free(&p->all_args);
}

static void proc_on_timeout(void *arg)
{
    struct proc *p = arg;

    p->timed_out = true;
    session_kill(p->os_pid, SIGKILL, true);
}

static void proc_drain_begin(struct proc *p)
{
    p->state = PROC_DRAINING;
    input_fail(&p->in);
    for (int i = 0; i < 2; i++) {
        struct proc_stream *s = &p->streams[i];
        int pending = 0;

        if (s->fd >= 0 && ioctl(s->fd, FIONREAD, &pending) == 0)
            s->drain_to = s->out.bytes + (unsigned) pending;
        timer_cancel(s->rest);
        stream_update(s);
    }
    if (proc_streams_open(p))
        timer_set(p->quiet, PROC_QUIET_MS);
    else
        proc_finish(p);
}

void proc_begin(struct proc *p)
{
    struct loop *l = p->table->conf.loop;

    assert(p->state == PROC_STARTING);
    p->state = PROC_RUNNING;
    p->hold = timer_new(l, proc_on_hold, p);
    p->quiet = timer_new(l, proc_on_quiet, p);
    proc_write_started(p);
    for (int i = 0; i < 2; i++) {
        struct proc_stream *s = &p->streams[i];

        if (s->fd < 0)
            continue;
        if (io_open(&s->io, l, s->fd, stream_on_io, s) < 0)
            abort(); /* out of memory */
        stream_update(s);
    }
    if (p->timeout_ms > 0 && !p->exited) {
        p->timeout = timer_new(l, proc_on_timeout, p);
        timer_set(p->timeout, (uint64_t) p->timeout_ms);
    }
    proc_new_frames(p);
    if (p->exited)
        proc_drain_begin(p);
    else
        input_start(&p->in);
}

/* ---- the end ---- */

static bool signal_is_a_crash(int signo)
{
    switch (signo) {
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
        return true;
    }
    return false;
}

/* A process that a signal has ended was killed, unless it has killed itself by a fault. */
static void proc_judge(struct proc *p)
{
    if (WIFEXITED(p->status)) {
        p->exit_code = WEXITSTATUS(p->status);
        return;
    }
    int signo = WTERMSIG(p->status);

    p->exit_code = -signo;
    if (p->timed_out && signo == SIGKILL)
        p->error = "timeout";
    else if (signo == p->api_signal || !signal_is_a_crash(signo))
        p->error = "killed";
}

void proc_on_exit(void *arg, int status)
{
    struct proc *p = arg;

    p->exited = true;
    p->status = status;
    p->exited_ms = loop_now_ms(p->table->conf.loop);
    p->finished_us = (int64_t) (clock_real_ns() / 1000);
    proc_judge(p);
    timer_cancel(p->timeout);
    while (!list_empty(&p->waits)) {
        struct proc_wait *w = LIST_ENTRY(p->waits.next, struct proc_wait, node);

        list_del(&w->node);
        w->fn(w->arg);
    }
    if (p->state == PROC_RUNNING)
        proc_drain_begin(p);
}

static void proc_on_quiet(void *arg)
{
    struct proc *p = arg;

    if (p->paused) /* not silent, only not heard */
        return;
    proc_finish(p);
}

/* What is still open belongs to children that live on. A terminal has been hung up: its children know. */
static void stream_detach(struct proc_stream *s)
{
    io_close(s->io);
    s->io = NULL;
    timer_cancel(s->rest);
    if (s->fd >= 0 && s->out.kind != LINK_PTY)
        detached_add(&s->proc->table->detached, s->fd);
    else if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void proc_finish(struct proc *p)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(4096);
    struct link_exit m = {.exit_code = p->exit_code, .error = (char *) p->error, .finished_at_us = p->finished_us};

    assert(p->state == PROC_DRAINING && p->exited);
    if (p->paused)
        proc_set_paused(p, false);
    for (int i = 0; i < 2; i++) {
        output_flush(&p->streams[i].out, &p->frames);
        stream_detach(&p->streams[i]);
    }
    if (link_write_exit(&json, &m) < 0)
        abort(); /* a few numbers */
    frames_append(&p->frames, LINK_EXIT, buf_data(&json), json.len);
    p->state = PROC_FINISHED;
    timer_cancel(p->hold);
    timer_cancel(p->quiet);
    procs_finished(p->table, p);
    proc_new_frames(p);
}

const char *proc_status(const struct proc *p)
{
    if (!p->exited)
        return "running";
    if (p->error)
        return p->error[0] == 't' ? "timed_out" : "killed";
    return p->exit_code == 0 ? "succeeded" : "failed";
}

/* ---- what clients ask of it ---- */

void proc_signal(struct proc *p, int signo, bool group)
{
    if (p->exited)
        return;
    p->api_signal = signo;
    session_kill(p->os_pid, signo, group);
}

int proc_resize(struct proc *p, uint16_t cols, uint16_t rows)
{
    struct winsize size = {.ws_col = cols, .ws_row = rows};

    if (!p->pty)
        return -ENOTTY;
    if (p->streams[0].fd < 0)
        return 0; /* nobody looks at it any more */
    return ioctl(p->streams[0].fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

bool proc_ack(struct proc *p, uint64_t cursor)
{
    if (!frames_ack(&p->frames, cursor, loop_now_ms(p->table->conf.loop)))
        return false;
    procs_tick_soon(p->table);
    proc_resume(p);
    return true;
}

void proc_wait_begin(struct proc *p, struct proc_wait *w, void (*fn)(void *arg), void *arg)
{
    assert(!p->exited);
    w->fn = fn;
    w->arg = arg;
    list_append(&p->waits, &w->node);
}

void proc_wait_cancel(struct proc_wait *w)
{
    list_del(&w->node);
}
