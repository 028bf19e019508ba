/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start - from a request to a process that runs, or to a code that says why not. All that can be known without a fork is checked first;
 * the exec's own result comes through a pipe, so that a command that cannot start never becomes a process.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/init/reaper.h"
#include "agent/procs/env.h"
#include "agent/procs/procs.h"
#include "agent/procs/spawn.h"
#include "agent/users/users.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"

#define DEFAULT_USER "user"

enum { ID_RANDOM_LEN = 20 };

struct refusal {
    const char *code;
    char message[256];
};

static bool refuse(struct refusal *x, const char *code, const char *fmt, ...) printf_like(3, 4);

static bool refuse(struct refusal *x, const char *code, const char *fmt, ...)
{
    va_list ap;

    x->code = code;
    va_start(ap, fmt);
    vsnprintf(x->message, sizeof(x->message), fmt, ap);
    va_end(ap);
    return false;
}

static void start_reply(struct procs *t, const struct input_ref *ref, const char *code, const char *message, const struct proc *p)
{
    if (t->ops.reply)
        t->ops.reply(t->ops_arg, ref, code, message, p);
}

/* ---- checks ---- */

static bool id_is_well_formed(const char *id)
{
    size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-");

    return len >= 1 && len <= LINK_PID_MAX && !id[len];
}

static bool start_check_id(struct procs *t, const char *id, struct refusal *x)
{
    if (!id)
        return true;
    if (!id_is_well_formed(id))
        return refuse(x, "invalid_id", "id must match [A-Za-z0-9._:-]{1,128}");
    if (map_get(t->by_id, id) || idset_has(&t->used, id))
        return refuse(x, "process_exists", "a process with this id exists or has existed in this sandbox");
    if (idset_full(&t->used))
        return refuse(x, "too_many_processes", "this sandbox has used up its ids chosen by clients; leave out the id");
    return true;
}

static bool start_check_room(struct procs *t, struct refusal *x)
{
    if (t->active >= PROCS_RUNNING_MAX)
        return refuse(x, "too_many_processes", "%u processes are running, that is the limit", t->active);
    if (t->active + t->finished >= PROCS_COUNT_MAX)
        procs_evict(t);
    if (t->active + t->finished >= PROCS_COUNT_MAX)
        return refuse(x, "too_many_processes", "the output of %u finished processes has not been collected yet", t->finished);
    return true;
}

/* ---- the objects that a start needs ---- */

struct start {
    const struct link_start *m;
    struct user user;
    struct env env;
    char *cwd;
};

static void start_deinit(struct start *s)
{
    user_deinit(&s->user);
    env_deinit(&s->env);
    free(s->cwd);
}

static char *start_cwd(const struct procs *t, const char *cwd)
{
    if (str_empty(cwd))
        return xstrdup(t->conf.workspace);
    return cwd[0] == '/' ? xstrdup(cwd) : xasprintf("%s/%s", t->conf.workspace, cwd);
}

static bool start_prepare(struct procs *t, struct start *s, struct refusal *x)
{
    const char *name = str_empty(s->m->user) ? DEFAULT_USER : s->m->user, *bad = "";
    struct err e = ERR_INIT;
    int r = user_find(&s->user, name, &e);

    if (r < 0)
        return refuse(x, "start_failed", "%.200s", err_text(&e, r));
    if (r == USER_E_UNKNOWN)
        return refuse(x, "user_not_found", "there is no user '%.64s'", name);
    if (env_build(&s->env, &s->user, s->m->has_pty, t->conf.env, &s->m->env, &bad) != ENV_E_OK)
        return refuse(x, "invalid_env", "'%.64s' cannot be the name of a variable", bad);
    s->cwd = start_cwd(t, s->m->cwd);
    return true;
}

static bool start_spawn(struct procs *t, const struct start *s, struct spawned *out, struct refusal *x)
{
    struct err e = ERR_INIT;
    struct spawn_conf c = {
        .cmd = s->m->cmd,
        .args = s->m->args.items,
        .arg_count = s->m->args.count,
        .env = &s->env,
        .user = &s->user,
        .cwd = s->cwd,
        .cwd_wanted = !str_empty(s->m->cwd),
        .stdin_open = s->m->stdin_open,
        .pty = s->m->has_pty,
        .cols = (uint16_t) s->m->pty.cols,
        .rows = (uint16_t) s->m->pty.rows,
        .cgroup_fd = t->conf.cgroup_fd,
    };
    int r = spawn(out, &c, &e);

    return r < 0 ? refuse(x, "start_failed", "%.200s", err_text(&e, r)) : true;
}

/* ---- the process object ---- */

static struct json_strings args_copy(const struct json_strings *from, size_t bytes_max)
{
    struct json_strings to = {0};
    size_t bytes = 0;

    to.items = from->count ? xcalloc(from->count, sizeof(*to.items)) : NULL;
    while (to.count < from->count) {
        bytes += strlen(from->items[to.count]) + sizeof(char *);
        if (bytes > bytes_max)
            break;
        to.items[to.count] = xstrdup(from->items[to.count]);
        to.count++;
    }
    return to;
}

static void start_take_streams(struct proc *p, struct spawned *sp)
{
    p->os_pid = sp->pid;
    p->status_fd = take_fd(&sp->status_fd);
    p->streams[0].fd = take_fd(&sp->out_fd);
    p->streams[0].out.kind = p->pty ? LINK_PTY : LINK_STDOUT;
    p->streams[1].fd = take_fd(&sp->err_fd);
    p->streams[1].out.kind = LINK_STDERR;
}

static void start_on_input(void *arg, const struct input_ref *ref, enum input_result r)
{
    struct proc *p = arg;
    static const char *const codes[] = {NULL, "stdin_closed", "stdin_full", "stdin_not_open"};
    static const char *const messages[] = {
        NULL,
        "the process' stdin is closed",
        "the process does not read its stdin and too much is waiting for it",
        "the process was started without stdin",
    };

    start_reply(p->table, ref, codes[r], messages[r], NULL);
}

static struct proc *start_register(struct procs *t, const struct start *s, struct spawned *sp, const struct input_ref *ref)
{
    char made[LINK_PID_MAX + 1] = "proc-";
    const char *id = s->m->id;

    if (!id) {
        id_random(made + strlen(made), ID_RANDOM_LEN);
        id = made;
    }
    struct proc *p = proc_new(t, id);

    p->id_chosen = s->m->id != NULL;
    p->starter = *ref;
    p->tag = str_empty(s->m->tag) ? NULL : xstrdup(s->m->tag);
    p->cmd = xstrdup(s->m->cmd);
    p->cwd = xstrdup(s->cwd);
    p->user = xstrdup(s->user.name);
    p->all_args = args_copy(&s->m->args, SIZE_MAX);
    p->args = args_copy(&s->m->args, PROCS_META_BYTES_MAX);
    p->pty = s->m->has_pty;
    p->stdin_open = s->m->stdin_open || p->pty;
    p->timeout_ms = s->m->timeout_ms;
    start_take_streams(p, sp);
    input_init(&p->in, t->conf.loop, take_fd(&sp->in_fd), p->pty, &t->input_budget, start_on_input, p);
    list_append(&t->all, &p->node);
    map_put(t->by_id, p->id, p);
    t->active++;
    reaper_watch(t->conf.reaper, p->os_pid, proc_on_exit, p);
    return p;
}

/* ---- the result of the exec ---- */

static void start_failed(struct proc *p, const struct spawn_status *st)
{
    struct procs *t = p->table;
    struct spawn_conf c = {.cmd = p->cmd, .cwd = p->cwd};
    struct input_ref ref = p->starter;
    char message[512];

    spawn_error_text(st, &c, message, sizeof(message));
    if (!p->exited)
        reaper_forget(t->conf.reaper, p->os_pid);
    list_del(&p->node);
    map_del(t->by_id, p->id);
    t->active--;
    start_reply(t, &ref, spawn_error_code(st), message, NULL);
    proc_free(p);
}

static void start_worked(struct proc *p)
{
    struct procs *t = p->table;

    p->started_us = (int64_t) (clock_real_ns() / 1000);
    if (p->id_chosen)
        idset_add(&t->used, p->id);
    start_reply(t, &p->starter, NULL, NULL, p);
    proc_begin(p);
}

static void start_on_status(void *arg, unsigned events)
{
    struct proc *p = arg;
    struct spawn_status st;
    ssize_t n = read(p->status_fd, &st, sizeof(st));

    (void) events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    io_close(p->status_io);
    p->status_io = NULL;
    fd_closep(&p->status_fd);
    if (n == 0)
        start_worked(p);
    else if (n == sizeof(st))
        start_failed(p, &st);
    else
        start_failed(p, &(struct spawn_status){.stage = SPAWN_SETUP, .error = EIO});
}

void procs_start(struct procs *t, const struct link_start *m, const struct input_ref *ref)
{
    cleanup(start_deinit) struct start s = {.m = m};
    struct spawned sp;
    struct refusal x;

    if (!start_check_id(t, m->id, &x) || !start_check_room(t, &x) || !start_prepare(t, &s, &x) || !start_spawn(t, &s, &sp, &x)) {
        start_reply(t, ref, x.code, x.message, NULL);
        return;
    }
    struct proc *p = start_register(t, &s, &sp, ref);

    if (io_open(&p->status_io, t->conf.loop, p->status_fd, start_on_status, p) < 0)
        abort(); /* out of memory */
    io_want(p->status_io, IO_READ);
}
