/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_rest - list, get, signal and end processes. The agent is asked first; what it does not know (any more) is answered from the
 * store. Its answers are passed on as they are: they are its tenant's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/map.h"
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
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/streams.h"

enum { REST_BODY_MAX = 64 * 1024, REST_ANSWER_MAX = 1024 * 1024, REST_LIST_MAX = 4 * 1024 * 1024, REST_GRACE_MAX_MS = 120000, REST_FINISHED_MAX = 1000 };

struct rest {
    struct sandbox_flow flow;
    struct unit *unit;    /* borrowed: the flow ends first */
    struct http_req *req; /* NULL once it is answered or gone */
    const char *pid;      /* request's memory; NULL: the list */
    struct op *op;        /* the call under way */
    /* the list with finished ones */
    struct json_doc *list;       /* owned: the agent's answer */
    struct map *listed;          /* pids in it */
    struct buf out;
    struct json_writer w;
    struct rest_load *loads;     /* owned */
    unsigned load_count, loads_left;
};

/* One finished process of the list on its way from the store. */
struct rest_load {
    struct rest *rest;
    struct op *op;
    char pid[LINK_PID_MAX + 1];
};

static void rest_reap(void *arg)
{
    struct rest *x = arg;

    json_doc_free(x->list);
    map_free(x->listed);
    buf_deinit(&x->out);
    free(x->loads);
    free(x);
}

static struct http_req *rest_end(struct rest *x)
{
    struct http_req *r = take_ptr(&x->req);

    if (r)
        http_req_on_gone(r, NULL, NULL);
    op_cancel(&x->op);
    for (unsigned i = 0; i < x->load_count; i++)
        op_cancel(&x->loads[i].op);
    sandbox_flow_end(&x->flow);
    loop_reap(x->unit->app->loop, x, rest_reap);
    return r;
}

static void rest_on_gone(void *arg, struct http_req *r)
{
    struct rest *x = arg;

    (void) r;
    x->req = NULL;
    (void) rest_end(x); /* there is no request any more */
}

static void rest_on_cut(struct sandbox_flow *f)
{
    reply_sandbox_gone(rest_end(CONTAINER_OF(f, struct rest, flow)));
}

static void rest_pass_on(struct rest *x, const struct http_response *resp)
{
    struct http_req *r = rest_end(x);
    const char *type = http_headers_get(&resp->head->headers, "Content-Type");

    if (resp->head->status < 200 || resp->head->status > 599)
        http_reply_error(r, 502, "bad_gateway", "the sandbox's answer makes no sense");
    else if (resp->body_len == 0)
        http_reply_empty(r, resp->head->status);
    else
        http_reply(r, resp->head->status, type ? type : "application/json", resp->body, resp->body_len);
}

/* ---- one process from the store ---- */

static void rest_meta(const struct store_proc *rec, struct meta *m)
{
    memset(m, 0, sizeof(*m));
    if (rec->started.p && meta_set_started(m, rec->started.p, rec->started.len) < 0)
        memset(m, 0, sizeof(*m));
    if (rec->exit.p && meta_read_exit(m, rec->exit.p, rec->exit.len) < 0)
        m->exited = false;
    m->lost = rec->lost && !m->exited;
}

static void rest_on_stored(void *arg, int e, const struct redisReply *reply)
{
    struct rest *x = arg;
    const char *pid = x->pid;
    struct store_proc rec;
    struct json_writer w;
    struct meta m;

    if (e < 0 || store_load_reply(reply, &rec) < 0) {
        reply_store_down(rest_end(x));
        return;
    }
    if (!rec.found) {
        reply_process_unknown(rest_end(x));
        return;
    }
    rest_meta(&rec, &m);
    if (!meta_finished(&m))
        m.lost = true; /* the agent does not know it: nobody will ever see its exit */
    json_writer_init(&w, &x->out);
    meta_write_process(&m, pid, &w);
    meta_deinit(&m);
    if (json_writer_end(&w) == 0)
        http_reply_json(rest_end(x), 200, &x->out);
    else
        reply_store_down(rest_end(x));
}

static void rest_ask_store(struct rest *x)
{
    struct unit *u = x->unit;

    if (store_load(u->app->env.redis, u->sandbox->id, x->pid, &x->op, rest_on_stored, x) < 0)
        reply_store_down(rest_end(x));
}

/* ---- the agent's answer ---- */

static void rest_on_answer(void *arg, int r, const struct http_response *resp)
{
    struct rest *x = arg;

    if (r == -EPROTO || r == -EMSGSIZE || r == -EBADMSG)
        http_reply_error(rest_end(x), 502, "bad_gateway", "the sandbox's answer makes no sense");
    else if (r < 0)
        reply_overloaded(rest_end(x));
    else if (resp->head->status == 404 && x->pid)
        rest_ask_store(x);
    else
        rest_pass_on(x, resp);
}

/* The target as it came, without tokens: only routes with a socket take them, and those do not come here. */
static void rest_call(struct rest *x, const void *body, size_t len, uint32_t deadline_ms, http_call_fn *done)
{
    struct http_req *r = x->req;
    const struct http_head *h = http_req_head(r);
    struct http_header items[] = {{"Authorization", agent_bearer(r, x->unit->sandbox)}, {"X-Request-Id", http_req_id(r)}};
    struct http_headers headers = {items, ARRAY_LEN(items)};
    struct http_call call = {.method = h->method_text,
                             .target = h->target,
                             .headers = &headers,
                             .content_type = len ? "application/json" : NULL,
                             .body = body,
                             .body_len = len,
                             .answer_bytes_max = x->pid ? REST_ANSWER_MAX : REST_LIST_MAX,
                             .deadline_ms = deadline_ms,
                             .retry = http_req_method(r) == HTTP_GET};
    int e = http_call(x->unit->pool, &call, &x->op, done, x);

    if (e == -EINVAL)
        http_reply_error(rest_end(x), 400, "bad_request", "the request cannot be passed on");
    else if (e < 0)
        reply_overloaded(rest_end(x));
}

static struct rest *rest_begin(struct route_call *c, const char *pid)
{
    struct rest *x = xnew(struct rest);

    x->unit = call_unit(c);
    x->req = c->req;
    x->pid = pid;
    buf_init(&x->out, 2 * REST_LIST_MAX);
    sandbox_flow_begin(&x->flow, call_sandbox(c), rest_on_cut);
    http_req_on_gone(c->req, rest_on_gone, x);
    return x;
}

static uint32_t rest_deadline(const struct rest *x)
{
    return (uint32_t) x->unit->app->conf->agent_deadline_ms;
}

void process_get(struct route_call *c)
{
    const char *pid;

    if (call_pid(c, &pid)) {
        struct rest *x = rest_begin(c, pid);

        rest_call(x, NULL, 0, rest_deadline(x), rest_on_answer);
    }
}

/* ---- those with a body ---- */

static void rest_on_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct rest *x = arg;
    const char *grace = http_req_query(r, "grace_ms");
    uint64_t ms = 0;

    if (grace && (str_to_u64(grace, &ms) < 0 || ms > REST_GRACE_MAX_MS)) {
        reply_bad_query(rest_end(x), "grace_ms", "must be 0..120000");
        return;
    }
    rest_call(x, p, len, rest_deadline(x) + (uint32_t) ms, rest_on_answer);
}

void process_delete(struct route_call *c)
{
    const char *pid;

    if (call_pid(c, &pid))
        http_req_body(c->req, REST_BODY_MAX, rest_on_body, rest_begin(c, pid));
}

void process_signal(struct route_call *c)
{
    process_delete(c);
}

/* ---- the list ---- */

static void rest_list_finish(struct rest *x)
{
    jw_array_end(&x->w);
    jw_object_end(&x->w);
    if (json_writer_end(&x->w) == 0)
        http_reply_json(rest_end(x), 200, &x->out);
    else
        http_reply_error(rest_end(x), 502, "bad_gateway", "the list is too long");
}

static void rest_on_loaded(void *arg, int e, const struct redisReply *reply)
{
    struct rest_load *l = arg;
    struct rest *x = l->rest;
    struct store_proc rec;
    struct meta m;

    if (e == 0 && store_load_reply(reply, &rec) == 0 && rec.found) {
        rest_meta(&rec, &m);
        if (meta_finished(&m))
            meta_write_process(&m, l->pid, &x->w);
        meta_deinit(&m);
    }
    if (--x->loads_left == 0)
        rest_list_finish(x);
}

static bool rest_load(struct rest *x, const char *pid)
{
    struct rest_load *l = &x->loads[x->load_count];

    l->rest = x;
    str_copy(l->pid, sizeof(l->pid), pid);
    if (store_load(x->unit->app->env.redis, x->unit->sandbox->id, pid, &l->op, rest_on_loaded, l) < 0)
        return false;
    x->load_count++;
    x->loads_left++;
    return true;
}

static void rest_on_pids(void *arg, int e, const struct redisReply *reply)
{
    struct rest *x = arg;

    x->loads = xcalloc(REST_FINISHED_MAX, sizeof(*x->loads));
    for (size_t i = 0; e == 0 && i < reply_count(reply) && i < REST_FINISHED_MAX; i++) {
        size_t len;
        const char *pid = reply_str(reply_at(reply, i), &len);

        if (pid && process_id_valid(pid) && !map_get(x->listed, pid) && !rest_load(x, pid))
            break;
    }
    if (x->loads_left == 0)
        rest_list_finish(x);
}

static void rest_list_begin(struct rest *x, const struct json *list)
{
    x->listed = map_new();
    json_writer_init(&x->w, &x->out);
    jw_object(&x->w);
    jw_karray(&x->w, "processes");
    for (size_t i = 0; i < json_count(list); i++) {
        const char *pid = json_str(json_get(json_at(list, i), "pid"));

        jw_tree(&x->w, json_at(list, i));
        if (!str_empty(pid))
            map_put(x->listed, pid, x);
    }
}

/* The agent's processes first; behind them what has finished and the agent has forgotten. */
static void rest_on_list(void *arg, int r, const struct http_response *resp)
{
    struct rest *x = arg;
    struct unit *u = x->unit;
    int64_t since_ms = clock_real_ms() - u->app->conf->retention_after_exit_s * 1000;

    if (r == 0 && resp->head->status == 200)
        r = json_parse(&x->list, resp->body, resp->body_len, NULL) < 0 ? -EPROTO : 0;
    if (r < 0 || !x->list) {
        rest_on_answer(x, r, resp);
        return;
    }
    rest_list_begin(x, json_get(json_root(x->list), "processes"));
    if (store_pids(u->app->env.redis, u->sandbox->id, since_ms, REST_FINISHED_MAX, &x->op, rest_on_pids, x) < 0)
        rest_list_finish(x); /* without the store: what the agent knows */
}

void process_list(struct route_call *c)
{
    const char *all = http_req_query(c->req, "all");
    struct rest *x;

    if (ws_wanted(c->req)) {
        process_list_socket(c);
        return;
    }
    x = rest_begin(c, NULL);
    rest_call(x, NULL, 0, rest_deadline(x), all && (str_eq(all, "true") || str_eq(all, "1")) ? rest_on_list : rest_on_answer);
}
