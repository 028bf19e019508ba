/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stats.h"
#include "dataplane/gateway/stream/act.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/render.h"
#include "dataplane/gateway/stream/start.h"
#include "dataplane/gateway/stream/streams.h"

enum {
    SESSION_MESSAGE_MAX = 16 * 1024 * 1024,
    SESSION_ARENA_MAX = 64 * 1024 * 1024,
    SESSION_INPUT_HIGH = 1024 * 1024, /* not taken by the process: reading the socket pauses */
    SESSION_INPUT_LOW = 256 * 1024,
    SESSION_PAGE_FRAMES = 512,
};
enum { CLOSE_NORMAL = 1000, CLOSE_POLICY = 1008, CLOSE_FAILED = 1011, CLOSE_TRY_AGAIN = 1012 };

enum session_state {
    SESSION_WAITING,  /* for the client's start */
    SESSION_STARTING, /* the agent is asked */
    SESSION_ATTACHED, /* watches a process */
    SESSION_ENDING,   /* the close is on its way */
};

struct session {
    struct sandbox_flow flow;
    struct list node; /* in env.sessions */
    struct stream_env *env;
    struct streams *streams; /* borrowed: the flow ends first */
    struct ws *ws;           /* NULL once it has closed */
    enum session_state state;
    struct pstream *p;       /* ATTACHED */
    struct watcher watcher;
    struct stdin_owner owner;
    struct start *start;     /* STARTING */
    struct timer *first;     /* WAITING */
    struct op *page;         /* replay under way */
    uint64_t page_to;
    size_t input_bytes;
    bool input_paused;
    struct buf scratch;      /* one outgoing message */
    char request[72];
};

static void session_finish(struct session *x, int close_code, const char *code, const char *message);

static struct log_ctx session_ctx(const struct session *x)
{
    return (struct log_ctx){.request = x->request, .sandbox = x->streams->sandbox->id};
}

/* ---- the end ---- */

static void session_reap(void *arg)
{
    struct session *x = arg;

    timer_free(x->first);
    buf_deinit(&x->scratch);
    free(x);
}

/* Leaves everything but the socket. */
static void session_leave(struct session *x)
{
    x->state = SESSION_ENDING;
    timer_cancel(x->first);
    op_cancel(&x->page);
    if (x->start)
        start_forget(x->start);
    x->start = NULL;
    if (x->p) {
        watcher_end(&x->watcher, CLOSE_NORMAL, NULL, NULL);
        stdin_queue_forget(&x->p->input, &x->owner);
        pstream_unwatch(x->p, &x->watcher);
        x->p = NULL;
    }
    sandbox_flow_end(&x->flow);
}

static void session_on_close(void *arg, int code)
{
    struct session *x = arg;

    (void) code;
    x->ws = NULL;
    session_leave(x);
    list_del(&x->node);
    loop_reap(x->env->loop, x, session_reap);
}

static void session_send_error(struct session *x, const char *code, const char *message)
{
    buf_clear(&x->scratch);
    if (render_error(&x->scratch, x->p ? x->p->pid : NULL, code, message) == 0)
        ws_send_text(x->ws, buf_data(&x->scratch), x->scratch.len);
}

/* An error frame if there is a code, then the close. Nothing else is sent after it. */
static void session_finish(struct session *x, int close_code, const char *code, const char *message)
{
    struct ws *ws = x->ws;

    if (x->state == SESSION_ENDING || !ws)
        return;
    if (code)
        session_send_error(x, code, message);
    session_leave(x);
    ws_pause(ws, false);
    ws_close(ws, close_code, code ? code : "");
}

static void session_on_cut(struct sandbox_flow *f)
{
    session_finish(CONTAINER_OF(f, struct session, flow), CLOSE_FAILED, "process_lost", "the sandbox has ended, and its processes with it");
}

/* ---- watching ---- */

static size_t session_watch_send(void *arg, const void *p, size_t len)
{
    struct session *x = arg;

    stats_frames_sent(1, len);
    return ws_send_text(x->ws, p, len);
}

static void session_watch_end(void *arg, int close_code, const char *code, const char *message)
{
    session_finish(arg, close_code, code, message);
}

static void session_feed_page(struct session *x, const struct redisReply *reply)
{
    struct watcher_view v = pstream_view(x->p);
    size_t count = store_range_count(reply);

    for (size_t i = 0; i < count && x->p; i++) {
        struct store_frame f;

        if (store_range_at(reply, i, &f) < 0) {
            session_finish(x, CLOSE_FAILED, "internal", "stored output cannot be read");
            return;
        }
        watcher_page_frame(&x->watcher, &v, f.cursor, f.kind, (const uint8_t *) f.p, f.len, &x->scratch);
    }
    if (!x->p)
        return;
    buf_clear(&x->scratch);
    buf_shrink(&x->scratch);
    v = pstream_view(x->p);
    watcher_page_end(&x->watcher, &v, x->page_to, count < SESSION_PAGE_FRAMES);
    if (x->p)
        pstream_moved(x->p);
}

static void session_on_page(void *arg, int r, const struct redisReply *reply)
{
    struct session *x = arg;

    if (r < 0 || reply_error(reply))
        watcher_read_failed(&x->watcher); /* kicked when the store is back */
    else
        session_feed_page(x, reply);
}

static void session_watch_read(void *arg, uint64_t from)
{
    struct session *x = arg;

    x->page_to = retain_page_end(&x->p->kept, from);
    if (x->page_to > x->p->stored)
        x->page_to = x->p->stored;
    if (store_range(x->env->redis, x->streams->sandbox->id, x->p->pid, from, x->page_to, SESSION_PAGE_FRAMES, &x->page, session_on_page, x) < 0)
        watcher_read_failed(&x->watcher);
}

static void session_on_drain(void *arg)
{
    struct session *x = arg;

    if (x->p) {
        struct watcher_view v = pstream_view(x->p);

        watcher_drain(&x->watcher, &v);
    }
}

static void session_watch(struct session *x, struct pstream *p, uint64_t since)
{
    static const struct watcher_ops ops = {.send = session_watch_send, .end = session_watch_end, .read = session_watch_read};

    if (p->watcher_count >= x->env->limits.watchers_per_process) {
        session_finish(x, CLOSE_POLICY, "too_many_watchers", "too many clients watch this process");
        return;
    }
    x->state = SESSION_ATTACHED;
    x->p = p;
    watcher_init(&x->watcher, since, x->env->limits.watcher_queue_bytes, &ops, x);
    pstream_watch(p, &x->watcher);
}

/* ---- starting ---- */

static void session_on_message(void *arg, bool text, const void *p, size_t len);

static void session_on_kept(void *arg, const void *p, size_t len)
{
    session_on_message(arg, true, p, len);
}

static void session_on_started(void *arg, struct pstream *p, const char *code, const char *message)
{
    struct session *x = arg;
    struct start *start = take_ptr(&x->start);

    ws_pause(x->ws, false);
    if (!p) {
        session_finish(x, CLOSE_NORMAL, code, message);
        return;
    }
    session_watch(x, p, 0);
    start_each_kept(start, session_on_kept, x);
}

static void session_start(struct session *x, const struct client_frame *f)
{
    struct log_ctx ctx = session_ctx(x);
    int r;

    if (x->state != SESSION_WAITING) {
        session_finish(x, CLOSE_POLICY, "invalid_message", "type: start was said before, or belongs to another route");
        return;
    }
    timer_cancel(x->first);
    x->state = SESSION_STARTING;
    r = start_begin(&x->start, x->streams, &f->start, session_on_started, x);
    if (r == -EMSGSIZE)
        session_finish(x, CLOSE_NORMAL, "too_large", "the start message is larger than 1 MiB");
    else if (r < 0)
        session_finish(x, CLOSE_NORMAL, "too_many_processes", "too many processes are running in this sandbox");
    else
        log_debug(&ctx, "process start asked");
}

static void session_on_first(void *arg)
{
    session_finish(arg, CLOSE_POLICY, "timeout", "no start message came in time");
}

/* ---- input ---- */

static void session_ack(struct session *x, const char *type)
{
    buf_clear(&x->scratch);
    if (x->ws && render_ack(&x->scratch, type, x->p ? x->p->pid : NULL) == 0)
        ws_send_text(x->ws, buf_data(&x->scratch), x->scratch.len);
}

static void session_input_flow(struct session *x)
{
    bool paused = x->input_paused ? x->input_bytes > SESSION_INPUT_LOW : x->input_bytes > SESSION_INPUT_HIGH;

    if (paused == x->input_paused)
        return;
    x->input_paused = paused;
    ws_pause(x->ws, paused);
}

static void session_on_taken(struct stdin_owner *o, bool was_close, size_t bytes)
{
    struct session *x = CONTAINER_OF(o, struct session, owner);

    x->input_bytes -= bytes;
    session_ack(x, was_close ? "close_stdin_ack" : "stdin_ack");
    session_input_flow(x);
}

static void session_on_refused(struct stdin_owner *o, const char *code, const char *message)
{
    struct session *x = CONTAINER_OF(o, struct session, owner);

    /* A process that has ended takes nothing more; its exit is on the way to this client. */
    if (x->p && meta_finished(&x->p->meta))
        return;
    session_finish(x, CLOSE_TRY_AGAIN, code, message);
}

static void session_stdin(struct session *x, const struct client_frame *f)
{
    if (act_input(x->p, &x->owner, f) < 0) {
        session_finish(x, CLOSE_TRY_AGAIN, "stdin_full", "too much input is waiting for this process; the stream is closed");
        return;
    }
    if (!meta_finished(&x->p->meta))
        x->input_bytes += f->data.len;
    session_input_flow(x);
}

static void session_signal(struct session *x, const struct client_frame *f)
{
    if (act_signal(x->p, f) < 0)
        session_finish(x, CLOSE_TRY_AGAIN, "sandbox_unreachable", "the sandbox is out of reach for the moment; the stream is closed");
}

static void session_on_frame(struct session *x, const struct client_frame *f)
{
    if (f->type == CLIENT_PING) {
        session_ack(x, "pong");
        return;
    }
    if (f->type == CLIENT_START) {
        session_start(x, f);
        return;
    }
    if (x->state != SESSION_ATTACHED) {
        session_finish(x, CLOSE_POLICY, "invalid_message", "type: start must come first, and started before anything else is said");
        return;
    }
    switch (f->type) {
    case CLIENT_STDIN:
    case CLIENT_CLOSE_STDIN:
        session_stdin(x, f);
        return;
    case CLIENT_SIGNAL:
        session_signal(x, f);
        return;
    case CLIENT_RESIZE:
        act_resize(x->p, f);
        return;
    case CLIENT_START:
    case CLIENT_PING:
        return;
    }
}

/* A client need not wait for `started` before it sends input. */
static void session_keep(struct session *x, const void *p, size_t len)
{
    if (start_keep(x->start, p, len) < 0)
        session_finish(x, CLOSE_POLICY, "stdin_full", "too much input before the process has started");
    else
        ws_pause(x->ws, true);
}

static void session_on_message(void *arg, bool text, const void *p, size_t len)
{
    struct session *x = arg;
    cleanup(arena_freep) struct arena *a = NULL;
    struct client_frame f;
    struct err e = ERR_INIT;

    if (x->state == SESSION_ENDING)
        return;
    if (!text) {
        session_finish(x, CLOSE_POLICY, "invalid_message", "messages must be text");
        return;
    }
    if (x->state == SESSION_STARTING) {
        session_keep(x, p, len);
        return;
    }
    a = arena_new(SESSION_ARENA_MAX);
    if (client_frame_decode(p, len, a, &f, &e) < 0)
        session_finish(x, CLOSE_POLICY, "invalid_message", e.text);
    else
        session_on_frame(x, &f);
}

/* ---- opening ---- */

static struct session *session_accept(struct http_req *r, struct streams *s)
{
    static const struct ws_ops ops = {.on_message = session_on_message, .on_close = session_on_close, .on_drain = session_on_drain};
    struct ws_conf conf = {.message_bytes_max = SESSION_MESSAGE_MAX, .queue_bytes = s->env->limits.watcher_queue_bytes};
    struct session *x = xnew(struct session);

    x->env = s->env;
    x->streams = s;
    x->owner.on_taken = session_on_taken;
    x->owner.on_refused = session_on_refused;
    str_copy(x->request, sizeof(x->request), http_req_id(r));
    if (ws_accept(r, &conf, &ops, x, &x->ws) != 0) {
        free(x);
        return NULL;
    }
    buf_init(&x->scratch, 0);
    x->first = timer_new(s->env->loop, session_on_first, x);
    sandbox_flow_begin(&x->flow, s->sandbox, session_on_cut);
    list_append(&s->env->sessions, &x->node);
    return x;
}

void session_open(struct http_req *r, struct streams *s)
{
    struct session *x = session_accept(r, s);

    if (x)
        timer_set(x->first, s->env->limits.first_message_ms);
}

void session_attach(struct http_req *r, struct streams *s, struct pstream *p, uint64_t since)
{
    struct session *x = session_accept(r, s);

    if (x)
        session_watch(x, p, since);
}

void session_drain_all(struct stream_env *env)
{
    LIST_FOR_EACH_SAFE(n, tmp, &env->sessions)
        session_finish(LIST_ENTRY(n, struct session, node), CLOSE_TRY_AGAIN, "gateway_restarting",
                       "the gateway is restarting and this stream is closed; attach again");
}

void session_cut_all(struct stream_env *env)
{
    LIST_FOR_EACH_SAFE(n, tmp, &env->sessions) {
        struct session *x = LIST_ENTRY(n, struct session, node);

        ws_cut(x->ws);
        session_on_close(x, 0);
    }
}

unsigned session_count(const struct stream_env *env)
{
    unsigned n = 0;

    LIST_FOR_EACH(i, &env->sessions)
        n++;
    return n;
}
