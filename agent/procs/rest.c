/* SPDX-License-Identifier: Apache-2.0 */
/* rest - DELETE and signal answer with the status as it is once the signal has worked, or when that takes too long. */
#include "agent/procs/rest.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "agent/agent.h"
#include "agent/invalid.h"
#include "agent/procs/procs.h"
#include "agent/procs/session.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

enum { LIST_BYTES_MAX = 64 * MIB, WAIT_MS = 2000, GRACE_MS_MAX = 60000 };

static void jw_ktime(struct json_writer *w, const char *key, int64_t us)
{
    char text[CLOCK_RFC3339_SIZE];

    clock_rfc3339(us, 6, text);
    jw_kstr(w, key, text);
}

void proc_write(struct json_writer *w, const struct proc *p)
{
    jw_object(w);
    jw_kstr(w, "id", p->id);
    jw_kstr(w, "pid", p->id);
    jw_kint(w, "os_pid", p->os_pid);
    jw_kstr(w, "tag", p->tag);
    jw_kstr(w, "cmd", p->cmd);
    jw_karray(w, "args");
    for (size_t i = 0; i < p->args.count; i++)
        jw_str(w, p->args.items[i]);
    jw_array_end(w);
    jw_kstr(w, "cwd", p->cwd);
    jw_kstr(w, "user", p->user);
    jw_kbool(w, "pty", p->pty);
    jw_kstr(w, "status", proc_status(p));
    jw_ktime(w, "started_at", p->started_us);
    if (p->exited) {
        jw_ktime(w, "finished_at", p->finished_us);
        jw_kint(w, "exit_code", p->exit_code);
    } else {
        jw_knull(w, "finished_at");
        jw_knull(w, "exit_code");
    }
    jw_object_end(w);
}

static void reply_json(struct http_req *r, struct json_writer *w, struct buf *json)
{
    if (json_writer_end(w) < 0)
        http_reply_error(r, 507, "too_large", "the answer is too large");
    else
        http_reply_json(r, 200, json);
}

static void reply_proc(struct http_req *r, const struct proc *p)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(LIST_BYTES_MAX);
    struct json_writer w;

    json_writer_init(&w, &json);
    proc_write(&w, p);
    reply_json(r, &w, &json);
}

/* NULL: 404 has been answered. */
static struct proc *rest_find(struct route_call *c)
{
    struct agent *a = c->app;
    struct proc *p = procs_find(a->procs, c->params[0], strlen(c->params[0]));

    if (p && p->state != PROC_STARTING)
        return p;
    http_reply_error(c->req, 404, "process_not_found", "there is no such process");
    return NULL;
}

static void rest_list(struct route_call *c)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(LIST_BYTES_MAX);
    struct agent *a = c->app;
    const char *all = http_req_query(c->req, "all");
    bool finished_too = all && (str_eq(all, "true") || str_eq(all, "1"));
    struct json_writer w;

    json_writer_init(&w, &json);
    jw_object(&w);
    jw_karray(&w, "processes");
    LIST_FOR_EACH(n, &a->procs->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        if (p->state != PROC_STARTING && (finished_too || !p->exited))
            proc_write(&w, p);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    reply_json(c->req, &w, &json);
}

static void rest_get(struct route_call *c)
{
    struct proc *p = rest_find(c);

    if (p)
        reply_proc(c->req, p);
}

/* ---- signals ---- */

struct rest_wait {
    struct http_req *req;
    struct proc *proc;
    struct proc_wait wait;
    struct timer *timer;
    bool group;
    bool kill_next; /* the grace is running: KILL when it is over */
};

struct rest_signal {
    int signo;
    bool group;
    bool graceful;     /* grace_ms was given */
    uint64_t grace_ms;
};

static void rest_wait_end(struct rest_wait *x)
{
    proc_wait_cancel(&x->wait);
    timer_free(x->timer);
    free(x);
}

static void rest_wait_answer(void *arg)
{
    struct rest_wait *x = arg;
    struct http_req *r = x->req;
    struct proc *p = x->proc;

    rest_wait_end(x);
    reply_proc(r, p);
}

static void rest_wait_gone(void *arg, struct http_req *r)
{
    (void) r;
    rest_wait_end(arg);
}

static void rest_wait_timer(void *arg)
{
    struct rest_wait *x = arg;

    if (!x->kill_next) {
        rest_wait_answer(x);
        return;
    }
    x->kill_next = false;
    proc_signal(x->proc, SIGKILL, x->group);
    timer_set(x->timer, WAIT_MS);
}

/* Signals that usually end a process; after others there is nothing to wait for. */
static bool signal_ends(int signo)
{
    return signo == SIGTERM || signo == SIGKILL || signo == SIGINT || signo == SIGHUP || signo == SIGQUIT || signo == SIGABRT;
}

static void rest_signal_send(struct route_call *c, struct proc *p, const struct rest_signal *s)
{
    struct agent *a = c->app;
    struct rest_wait *x;

    proc_signal(p, s->signo, s->group);
    if (p->exited || (!signal_ends(s->signo) && !s->graceful)) {
        reply_proc(c->req, p);
        return;
    }
    x = xnew(struct rest_wait);
    x->req = c->req;
    x->proc = p;
    x->group = s->group;
    x->kill_next = s->graceful;
    x->timer = timer_new(a->loop, rest_wait_timer, x);
    timer_set(x->timer, s->graceful ? s->grace_ms : WAIT_MS);
    proc_wait_begin(p, &x->wait, rest_wait_answer, x);
    http_req_on_gone(c->req, rest_wait_gone, x);
}

static bool query_bool(const char *text, bool *out)
{
    if (str_eq(text, "true") || str_eq(text, "1"))
        *out = true;
    else if (str_eq(text, "false") || str_eq(text, "0"))
        *out = false;
    else
        return false;
    return true;
}

#define SIGNAL_RULE "must be a name like SIGTERM or a number from 1 to 64"

/* false: an error has been answered. */
static bool rest_signal_parse(struct http_req *r, struct rest_signal *s)
{
    const char *signal = http_req_query(r, "signal"), *group = http_req_query(r, "kill_group"), *grace = http_req_query(r, "grace_ms");

    s->group = true;
    s->graceful = grace != NULL;
    s->signo = signal ? signal_number(signal) : SIGTERM;
    if (!s->signo)
        reply_invalid(r, "signal", SIGNAL_RULE);
    else if (group && !query_bool(group, &s->group))
        reply_invalid(r, "kill_group", "must be true or false");
    else if (grace && (str_to_u64(grace, &s->grace_ms) < 0 || s->grace_ms > GRACE_MS_MAX))
        reply_invalid(r, "grace_ms", "must be 0..60000");
    else
        return true;
    return false;
}

static void rest_delete(struct route_call *c)
{
    struct rest_signal s = {0};
    struct proc *p;

    if (!rest_signal_parse(c->req, &s))
        return;
    p = rest_find(c);
    if (p)
        rest_signal_send(c, p, &s);
}

struct signal_body {
    char *signal; /* a name or a number */
    bool group, has_group;
    int64_t grace_ms;
    bool has_grace;
};
static const struct json_field signal_fields[] = {
    {.name = "signal", .kind = JSON_F_ID, .flags = JSON_REQUIRED, .offset = offsetof(struct signal_body, signal), .present = JSON_NO_PRESENT, .max = 16},
    {.name = "kill_group|group", .kind = JSON_F_BOOL, .flags = JSON_NULL_OK, .offset = offsetof(struct signal_body, group), .present = offsetof(struct signal_body, has_group)},
    {.name = "grace_ms", .kind = JSON_F_INT, .flags = JSON_NULL_OK, .offset = offsetof(struct signal_body, grace_ms), .present = offsetof(struct signal_body, has_grace), .min = 0, .max = GRACE_MS_MAX},
    {0},
};
static const struct json_table signal_table = {.fields = signal_fields, .size = sizeof(struct signal_body)};

static void rest_signal(struct route_call *c)
{
    const struct signal_body *b = c->body;
    struct rest_signal s = {
        .signo = signal_number(b->signal),
        .group = !b->has_group || b->group,
        .graceful = b->has_grace,
        .grace_ms = (uint64_t) b->grace_ms,
    };
    struct proc *p;

    if (!s.signo) {
        reply_invalid(c->req, "signal", SIGNAL_RULE);
        return;
    }
    p = rest_find(c);
    if (p)
        rest_signal_send(c, p, &s);
}

const struct route procs_routes[] = {
    {.method = HTTP_GET, .pattern = "/runtime/v1/process", .fn = rest_list, .name = "process.list"},
    {.method = HTTP_GET, .pattern = "/runtime/v1/process/{pid}", .fn = rest_get, .name = "process.get"},
    {.method = HTTP_DELETE, .pattern = "/runtime/v1/process/{pid}", .fn = rest_delete, .name = "process.delete"},
    {.method = HTTP_POST, .pattern = "/runtime/v1/process/{pid}/signal", .body = ROUTE_JSON, .body_max = 64 * KIB, .table = &signal_table,
     .fn = rest_signal, .name = "process.signal"},
    {0},
};
