/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/init/quiesce.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/init/cgroup.h"
#include "agent/init/reaper.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

enum { SYNC_MS = 2000, FREEZE_MS = 2000 };

enum quiesce_state { QUIESCE_IDLE, QUIESCE_SYNCING, QUIESCE_FREEZING };

struct quiesce {
    struct agent *agent;
    enum quiesce_state state;
    struct http_req *req;
    bool freeze;
    bool synced;
    pid_t syncer;        /* still at work when its time is over: left to itself */
    struct timer *timer;
    int events_fd;       /* inotify of cgroup.events */
    struct io *events;
};

static void quiesce_on_timer(void *arg);

struct quiesce *quiesce_new(struct agent *a)
{
    struct quiesce *q = xnew(struct quiesce);

    q->agent = a;
    q->events_fd = -1;
    q->timer = timer_new(a->loop, quiesce_on_timer, q);
    return q;
}

static void quiesce_stop(struct quiesce *q)
{
    q->state = QUIESCE_IDLE;
    q->req = NULL;
    timer_cancel(q->timer);
    io_close(q->events);
    q->events = NULL;
    fd_closep(&q->events_fd);
    if (q->syncer)
        reaper_forget(q->agent->reaper, q->syncer);
    q->syncer = 0;
}

void quiesce_free(struct quiesce *q)
{
    if (!q)
        return;
    quiesce_stop(q);
    timer_free(q->timer);
    free(q);
}

/* ---- answers ---- */

static void quiesce_reply(struct quiesce *q)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(256);
    struct http_req *r = q->req;
    struct json_writer w;

    json_writer_init(&w, &json);
    jw_object(&w);
    jw_kbool(&w, "ok", true);
    jw_kbool(&w, "synced", q->synced);
    jw_kbool(&w, "frozen", q->freeze);
    jw_object_end(&w);
    quiesce_stop(q);
    if (json_writer_end(&w) < 0)
        abort(); /* three words */
    http_reply_json(r, 200, &json);
}

static void quiesce_thaw(void)
{
    struct err e = ERR_INIT;

    if (cgroup_thaw(&e) < 0)
        log_error(NULL, "could not thaw the users' processes", "reason", e.text);
}

static void quiesce_fail(struct quiesce *q, int status, const char *code, const char *message)
{
    struct http_req *r = q->req;

    quiesce_thaw();
    quiesce_stop(q);
    http_reply_error(r, status, code, message);
}

/* The host has gone before it was answered: there will be no snapshot. */
static void quiesce_on_gone(void *arg, struct http_req *r)
{
    struct quiesce *q = arg;

    if (q->req != r)
        return;
    quiesce_thaw();
    quiesce_stop(q);
}

/* ---- freezing ---- */

static void quiesce_on_event(void *arg, unsigned events)
{
    struct quiesce *q = arg;
    char drop[512];

    (void) events;
    while (q->events_fd >= 0 && read(q->events_fd, drop, sizeof(drop)) > 0)
        ;
    if (cgroup_frozen())
        quiesce_reply(q);
}

static int quiesce_watch(struct quiesce *q, struct err *e)
{
    q->events_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (q->events_fd < 0 || inotify_add_watch(q->events_fd, CGROUP_ROOT "/user/cgroup.events", IN_MODIFY) < 0)
        return err_errno(e, "watch the users' cgroup");
    if (io_open(&q->events, q->agent->loop, q->events_fd, quiesce_on_event, q) < 0)
        return err_set(e, -ENOMEM, "watch the users' cgroup");
    io_want(q->events, IO_READ);
    return 0;
}

static void quiesce_freeze(struct quiesce *q)
{
    struct err e = ERR_INIT;

    q->state = QUIESCE_FREEZING;
    if (!q->freeze || !cgroup_present()) {
        quiesce_reply(q);
        return;
    }
    if (quiesce_watch(q, &e) < 0 || cgroup_freeze_begin(&e) < 0) {
        quiesce_fail(q, 500, "freeze_failed", e.text);
        return;
    }
    timer_set(q->timer, FREEZE_MS);
    if (cgroup_frozen()) /* mostly at once */
        quiesce_reply(q);
}

/* ---- syncing ---- */

static void quiesce_on_synced(void *arg, int status)
{
    struct quiesce *q = arg;

    q->syncer = 0;
    q->synced = status == 0;
    quiesce_freeze(q);
}

static void quiesce_on_timer(void *arg)
{
    struct quiesce *q = arg;

    if (q->state == QUIESCE_SYNCING) {
        reaper_forget(q->agent->reaper, q->syncer);
        q->syncer = 0;
        quiesce_freeze(q);
        return;
    }
    quiesce_fail(q, 503, "freeze_timeout", "the users' processes did not stop within two seconds");
}

/* In a process of its own: it may take long, and this one has no threads. */
static pid_t sync_fork(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        sync();
        _exit(0);
    }
    return pid;
}

void quiesce_begin(struct quiesce *q, struct http_req *r, bool freeze)
{
    if (q->state != QUIESCE_IDLE) {
        http_reply_error(r, 409, "busy", "another quiesce is under way");
        return;
    }
    pid_t pid = sync_fork();

    if (pid < 0) {
        http_reply_error(r, 503, "overloaded", "cannot start a process to sync");
        return;
    }
    q->state = QUIESCE_SYNCING;
    q->req = r;
    q->freeze = freeze;
    q->synced = false;
    q->syncer = pid;
    http_req_on_gone(r, quiesce_on_gone, q);
    reaper_watch(q->agent->reaper, pid, quiesce_on_synced, q);
    timer_set(q->timer, SYNC_MS);
}

void quiesce_cancel(struct quiesce *q)
{
    struct http_req *r = q->req;

    if (q->state == QUIESCE_IDLE)
        return;
    quiesce_stop(q);
    http_reply_error(r, 409, "interrupted", "init came while this was under way");
}
