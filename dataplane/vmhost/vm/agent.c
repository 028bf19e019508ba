/* SPDX-License-Identifier: Apache-2.0 */
/* agent - see agent.h */
#include "dataplane/vmhost/vm/agent.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/wire/agent_init.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/vm/guest_socket.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGENT_ANSWER_MAX = 64 * KIB, AGENT_CONNECT_MS = 5000, AGENT_BODY_MAX = 2 * MIB };

struct agent {
    struct host *host;
    unsigned slot;
    struct http_pool *pool; /* owned */
    char authorization[8 + AGENT_TOKEN_LEN]; /* "Bearer <token>" */
    struct op *call;        /* one at a time */
    struct op *op;          /* the caller's handle */
    agent_done_fn *done;
    void *arg;
    bool wants_result;      /* the answer must be an agent_init_result */
};

struct agent_op {
    struct op op;
    struct agent *agent;
};

static int agent_connect(void *ctx, struct op **slot, http_connected_fn *done, void *arg)
{
    struct agent *a = ctx;

    return guest_socket_open(a->host, a->slot, AGENT_PORT, AGENT_CONNECT_MS, slot, done, arg);
}

void agent_set_token(struct agent *a, const char *token)
{
    assert(strlen(token) == AGENT_TOKEN_LEN);
    memcpy(a->authorization, "Bearer ", 7);
    memcpy(a->authorization + 7, token, AGENT_TOKEN_LEN);
    a->authorization[7 + AGENT_TOKEN_LEN] = '\0';
}

int agent_new(struct agent **out, struct host *h, unsigned slot, const char *token)
{
    struct agent *a = xnew(struct agent);
    const struct http_pool_conf conf = {
        .connect = agent_connect, .connect_ctx = a, .host = AGENT_GUEST_ADDR, .idle_max = 1, .conns_max = 1, .idle_ms = 5000,
    };
    int r;

    a->host = h;
    a->slot = slot;
    agent_set_token(a, token);
    r = http_pool_new(&a->pool, h->loop, &conf);
    if (r < 0) {
        mem_wipe(a, sizeof(*a));
        free(a);
        return r;
    }
    *out = a;
    return 0;
}

static void agent_reap(void *object)
{
    struct agent *a = object;

    mem_wipe(a, sizeof(*a));
    free(a);
}

static void agent_finish(struct agent *a, int r, const char *text)
{
    struct agent_op *op = (struct agent_op *) a->op;
    agent_done_fn *done = a->done;
    void *arg = a->arg;

    a->op = NULL;
    a->done = NULL;
    if (op) {
        op_finish(&op->op);
        free(op);
    }
    if (done)
        done(arg, r, text);
}

void agent_free(struct agent *a)
{
    if (!a)
        return;
    op_cancel(&a->call);
    a->done = NULL;
    agent_finish(a, -ECANCELED, NULL);
    http_pool_free(a->pool);
    a->pool = NULL;
    loop_reap(a->host->loop, a, agent_reap);
}

/* The agent says why in {"error","message"}; only printable characters of it reach a log. */
static void agent_reason(const struct http_response *resp, char *out, size_t size)
{
    size_t len = resp->body_len < 200 ? resp->body_len : 200;
    int n = snprintf(out, size, "the agent answered %d: ", resp->head->status);

    for (size_t i = 0; i < len && (size_t) n + 1 < size; i++) {
        char c = ((const char *) resp->body)[i];

        out[n++] = c >= ' ' && c <= '~' ? c : ' ';
    }
    out[n] = '\0';
}

static int agent_check_result(const struct http_response *resp, struct err *e)
{
    struct arena *arena = arena_new(AGENT_ANSWER_MAX * 2);
    struct agent_init_result result;
    int r = json_decode(&agent_init_result_table, resp->body, resp->body_len, arena, &result, e);

    if (r == 0 && !result.ok)
        r = err_set(e, -EPROTO, "the agent did not accept init");
    arena_free(arena);
    return r < 0 ? -EPROTO : 0;
}

static void agent_on_answer(void *arg, int r, const struct http_response *resp)
{
    struct agent *a = arg;
    struct err e = ERR_INIT;

    if (r < 0) {
        err_set(&e, r, "call to the agent: %s", strerror(-r));
    } else if (resp->head->status != 200 && resp->head->status != 204) {
        agent_reason(resp, e.text, sizeof(e.text));
        r = resp->head->status == 401 || resp->head->status == 403 ? -EACCES : -EPROTO;
    } else if (a->wants_result) {
        r = agent_check_result(resp, &e);
    }
    agent_finish(a, r, e.text);
}

static void agent_on_cancel(struct op *op)
{
    struct agent_op *o = CONTAINER_OF(op, struct agent_op, op);

    o->agent->op = NULL;
    o->agent->done = NULL;
    op_cancel(&o->agent->call);
    free(o);
}

/* again: on a new connection, when the agent has closed the one that was kept: not for what must happen once. */
static int agent_call(struct agent *a, const char *method, const char *target, const void *body, size_t len, bool again, uint32_t deadline_ms,
                      struct op **op_slot, agent_done_fn *done, void *arg)
{
    struct http_header auth = {"Authorization", a->authorization};
    const struct http_headers headers = {&auth, 1};
    const struct http_call call = {
        .method = method, .target = target, .headers = &headers, .content_type = len ? "application/json" : NULL,
        .body = body, .body_len = len, .answer_bytes_max = AGENT_ANSWER_MAX, .deadline_ms = deadline_ms,
        .retry = again,
    };
    struct agent_op *op;
    int r;

    if (a->call)
        return -EBUSY;
    r = http_call(a->pool, &call, &a->call, agent_on_answer, a);
    if (r < 0)
        return r;
    op = xnew(struct agent_op);
    op->agent = a;
    a->op = &op->op;
    a->done = done;
    a->arg = arg;
    op_begin(&op->op, op_slot, agent_on_cancel);
    return 0;
}

int agent_health(struct agent *a, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg)
{
    a->wants_result = false;
    return agent_call(a, "GET", "/agent/v1/health", NULL, 0, true, deadline_ms, op_slot, done, arg);
}

int agent_quiesce(struct agent *a, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg)
{
    static const char body[] = "{\"freeze\":true}";

    a->wants_result = false;
    return agent_call(a, "POST", "/agent/v1/quiesce", body, sizeof(body) - 1, true, deadline_ms, op_slot, done, arg);
}

int agent_send_init(struct agent *a, const struct agent_init *m, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg)
{
    struct buf body = BUF_INIT(AGENT_BODY_MAX);
    int r = agent_init_write(&body, m);

    a->wants_result = true;
    if (r == 0)
        r = agent_call(a, "POST", "/agent/v1/init", buf_data(&body), body.len, false, deadline_ms, op_slot, done, arg);
    if (body.len)
        mem_wipe(buf_data(&body), body.len); /* token and env */
    buf_deinit(&body);
    return r;
}
