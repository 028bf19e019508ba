/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_ws - the sockets GET process and GET process/{pid}/connect up to their 101: everything that can be refused is refused before it.
 * A request waits here, with a deadline, for the agent link, the store, and for what the store and the agent know of a process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/redis/redis.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/session.h"
#include "dataplane/gateway/stream/streams.h"

struct entry {
    struct sandbox_flow flow;
    struct streams_waiter waiter;
    struct defer first;
    struct unit *unit;   /* borrowed: the flow ends first */
    struct http_req *req; /* NULL once it is answered or gone */
    struct timer *deadline;
    struct pstream *p;   /* connect: pinned */
    struct op *ask;      /* the agent is asked whether it knows the process */
    bool asked;
    uint64_t since;
};

static void entry_reap(void *arg)
{
    struct entry *x = arg;

    timer_free(x->deadline);
    free(x);
}

/* Gives the request back to the caller, who answers it. */
static struct http_req *entry_end(struct entry *x)
{
    struct http_req *r = take_ptr(&x->req);

    if (r)
        http_req_on_gone(r, NULL, NULL);
    op_cancel(&x->ask);
    defer_cancel(&x->first);
    timer_cancel(x->deadline);
    streams_wait_end(&x->waiter);
    if (x->p)
        pstream_unpin(x->p);
    x->p = NULL;
    sandbox_flow_end(&x->flow);
    loop_reap(x->unit->app->loop, x, entry_reap);
    return r;
}

static void entry_on_gone(void *arg, struct http_req *r)
{
    struct entry *x = arg;

    (void) r;
    x->req = NULL;
    (void) entry_end(x); /* there is no request any more */
}

static void entry_on_cut(struct sandbox_flow *f)
{
    reply_sandbox_gone(entry_end(CONTAINER_OF(f, struct entry, flow)));
}

static void entry_on_deadline(void *arg)
{
    struct entry *x = arg;
    bool store = redis_is_up(x->unit->app->env.redis) && !(x->p && x->p->state == PSTREAM_LOADING);
    struct http_req *r = entry_end(x);

    if (store)
        reply_overloaded(r);
    else
        reply_store_down(r);
}

/* ---- start ---- */

static void entry_look_start(struct entry *x)
{
    struct unit *u = x->unit;

    if (alink_up(alink_state(u->streams->link)) && redis_is_up(u->app->env.redis))
        session_open(entry_end(x), u->streams);
}

/* ---- connect ---- */

static void entry_on_asked(void *arg, int r, const struct http_response *resp)
{
    struct entry *x = arg;
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    int64_t os_pid = 0;

    if (r < 0 || resp->head->status != 200) {
        bool unknown = r == 0 && resp->head->status == 404;
        struct http_req *req = entry_end(x);

        if (unknown)
            reply_process_unknown(req);
        else
            reply_overloaded(req);
        return;
    }
    if (json_parse(&doc, resp->body, resp->body_len, NULL) == 0)
        (void) json_int(json_get(json_root(doc), "os_pid"), &os_pid); /* stays 0: not known */
    pstream_adopt(x->p, os_pid);
    x->waiter.fn(&x->waiter);
}

/* The store does not know the process; the agent may, when the store has lost it. */
static void entry_ask_agent(struct entry *x)
{
    struct unit *u = x->unit;
    struct http_header items[] = {{"Authorization", agent_bearer(x->req, u->sandbox)}};
    struct http_headers headers = {items, ARRAY_LEN(items)};
    char target[64 + 3 * LINK_PID_MAX] = "/runtime/v1/process/";
    struct http_call call = {.method = "GET", .target = target, .headers = &headers, .retry = true,
                             .deadline_ms = (uint32_t) u->app->conf->agent_deadline_ms};

    percent_encode(x->p->pid, strlen(x->p->pid), false, target + strlen(target));
    x->asked = true;
    if (http_call(u->pool, &call, &x->ask, entry_on_asked, x) < 0)
        reply_overloaded(entry_end(x));
}

static void entry_attach(struct entry *x)
{
    struct streams *s = x->unit->streams;
    struct pstream *p = x->p;
    uint64_t since = x->since;
    struct http_req *r;

    pstream_pin(p);
    r = entry_end(x);
    session_attach(r, s, p, since);
    pstream_unpin(p);
}

static void entry_look_connect(struct entry *x)
{
    switch (x->p->state) {
    case PSTREAM_LOADING:
        return;
    case PSTREAM_UNKNOWN:
        /* Frames that the store has not seen come before the link is synced. */
        if (alink_state(x->unit->streams->link) == ALINK_SYNCED && !x->asked)
            entry_ask_agent(x);
        return;
    case PSTREAM_LOST:
        http_reply_error(entry_end(x), 410, "process_lost", "the machine ended before this process was seen to exit; its output can be read");
        return;
    case PSTREAM_LIVE:
    case PSTREAM_ENDED:
        entry_attach(x);
        return;
    }
}

/* ---- both ---- */

static void entry_on_kick(struct streams_waiter *w)
{
    struct entry *x = CONTAINER_OF(w, struct entry, waiter);

    if (!x->req || x->ask)
        return;
    if (x->p)
        entry_look_connect(x);
    else
        entry_look_start(x);
}

static void entry_on_first(void *arg)
{
    struct entry *x = arg;

    streams_wait(x->unit->streams, &x->waiter);
    entry_on_kick(&x->waiter);
}

static void entry_begin(struct route_call *c, struct pstream *p, uint64_t since)
{
    struct unit *u = call_unit(c);
    struct entry *x = xnew(struct entry);

    x->unit = u;
    x->req = c->req;
    x->p = p;
    x->since = since;
    x->waiter.fn = entry_on_kick;
    if (p)
        pstream_pin(p);
    x->deadline = timer_new(u->app->loop, entry_on_deadline, x);
    timer_set(x->deadline, (uint64_t) u->app->conf->connect_deadline_ms);
    sandbox_flow_begin(&x->flow, call_sandbox(c), entry_on_cut);
    http_req_on_gone(c->req, entry_on_gone, x);
    streams_need_link(u->streams);
    loop_defer(u->app->loop, &x->first, entry_on_first, x);
}

void process_list_socket(struct route_call *c)
{
    entry_begin(c, NULL, 0);
}

void process_connect(struct route_call *c)
{
    const char *text = http_req_query(c->req, "since"), *pid;
    struct pstream *p;
    uint64_t since = 0;

    if (!call_pid(c, &pid))
        return;
    if (!ws_wanted(c->req)) {
        http_reply_header(c->req, "Upgrade", "websocket");
        http_reply_error(c->req, 426, "upgrade_required", "this route is a WebSocket");
        return;
    }
    if (!str_empty(text) && str_to_u64(text, &since) < 0) {
        reply_bad_query(c->req, "since", "must be a cursor");
        return;
    }
    p = streams_open(call_unit(c)->streams, pid);
    if (p)
        entry_begin(c, p, since);
    else
        reply_overloaded(c->req);
}
