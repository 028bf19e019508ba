/* SPDX-License-Identifier: Apache-2.0 */
/* host_client - see host_client.h. */
#include "control/hosts/host_client.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "common/net/net.h"
#include "common/wire/host_api.h"
#include "control/sched/fleet.h"

enum {
    HOST_ANSWER_MAX = 256 * KIB,
    HOST_BODY_MAX = 4 * MIB,
    HOST_CONNS_MAX = 256,
    HOST_IDLE_MAX = 16,
    HOST_URL_MAX = 256
};

struct host_client {
    char *name, *api_url;   /* owned */
    struct http_pool *pool; /* owned */
};

struct host_clients {
    struct loop *loop;
    struct tls_ctx *tls;
    struct map *by_id; /* of struct host_client, owned */
    struct list calls;
};

struct host_call {
    struct op op;
    struct list node;
    struct op *http;     /* the pool's */
    struct defer failed; /* the call could not even begin */
    struct host_answer answer;
    bool wants_vm;
    host_done_fn *done;
    void *arg;
    char text[300];
};

static struct metric host_calls_failed = {.name = "bivouac_control_host_calls_failed_total",
                                          .help = "Calls to hosts that did not succeed.",
                                          .kind = METRIC_COUNTER};

const char *host_outcome_text(int outcome)
{
    static const char *const texts[] = {
        [HOST_OK] = "done",
        [HOST_E_UNREACHABLE] = "host unreachable",
        [HOST_E_TIMEOUT] = "host did not answer in time",
        [HOST_E_NO_CAPACITY] = "host has no room",
        [HOST_E_NO_TEMPLATE] = "host does not have the template",
        [HOST_E_STALE] = "host knows a later generation",
        [HOST_E_UNKNOWN] = "host does not know the sandbox",
        [HOST_E_FAILED] = "host failed",
    };

    return outcome >= 0 && (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "unknown outcome";
}

/* ---- pools ---- */
/* The authority of "https://authority". */
static int host_url_authority(const char *url, char out[HOST_URL_MAX], struct err *e)
{
    if (!str_starts(url, "https://"))
        return err_set(e, -EINVAL, "must begin with https://");
    if (!str_copy(out, HOST_URL_MAX, url + 8))
        return err_set(e, -EINVAL, "too long");
    size_t len = strlen(out);

    if (len && out[len - 1] == '/')
        out[len - 1] = '\0';
    if (strpbrk(out, "/?#@ "))
        return err_set(e, -EINVAL, "must have no path, query or user");
    return 0;
}

int host_url_check(const char *url, struct err *e)
{
    char authority[HOST_URL_MAX];
    struct net_addr addr;
    int r = host_url_authority(url, authority, e);

    return r < 0 ? r : net_addr_parse(&addr, authority, e);
}

static void host_client_free(struct host_client *c)
{
    http_pool_free(c->pool);
    free(c->name);
    free(c->api_url);
    free(c);
}

static int host_client_new(struct host_clients *h, const struct fleet_host *to,
                           struct host_client **out, struct err *e)
{
    char authority[HOST_URL_MAX];
    struct net_addr addr;
    int r = host_url_authority(to->api_url, authority, e);

    if (r == 0)
        r = net_addr_parse(&addr, authority, e);
    if (r < 0)
        return r;
    struct http_pool_conf conf = {
        .addr = &addr,
        .tls = h->tls,
        .tls_name = to->name,
        .host = authority,
        .idle_max = HOST_IDLE_MAX,
        .conns_max = HOST_CONNS_MAX,
    };
    struct http_pool *pool = NULL;

    r = http_pool_new(&pool, h->loop, &conf);
    if (r < 0)
        return err_set(e, r, "connections to host '%s'", to->name);
    struct host_client *c = xnew(struct host_client);

    c->name = xstrdup(to->name);
    c->api_url = xstrdup(to->api_url);
    c->pool = pool;
    *out = c;
    return 0;
}

static int host_client_find(struct host_clients *h, const struct fleet_host *to,
                            struct http_pool **out, struct err *e)
{
    struct host_client *c = map_get_n(h->by_id, &to->id, sizeof(to->id));

    if (c && (!str_eq(c->api_url, to->api_url) || !str_eq(c->name, to->name))) {
        map_del_n(h->by_id, &to->id, sizeof(to->id));
        host_client_free(c);
        c = NULL;
    }
    if (!c) {
        int r = host_client_new(h, to, &c, e);

        if (!c)
            return r;
        map_put_n(h->by_id, &to->id, sizeof(to->id), c);
    }
    *out = c->pool;
    return 0;
}

struct host_clients *host_clients_new(struct loop *l, struct tls_ctx *tls)
{
    struct host_clients *h = xnew(struct host_clients);

    h->loop = l;
    h->tls = tls;
    h->by_id = map_new();
    list_init(&h->calls);
    metrics_register(&host_calls_failed);
    return h;
}

/* ---- answers ---- */
static void host_call_release(struct host_call *c)
{
    op_cancel(&c->http);
    defer_cancel(&c->failed);
    list_del(&c->node);
    free(c);
}

static void host_call_cancel(struct op *o)
{
    host_call_release(CONTAINER_OF(o, struct host_call, op));
}

static void host_call_finish(struct host_call *c)
{
    if (c->answer.outcome != HOST_OK)
        metric_add(&host_calls_failed, 1);
    op_finish(&c->op);
    if (c->done)
        c->done(c->arg, &c->answer);
    host_call_release(c);
}

/* What a code means goes before what its status means in general. */
static int host_outcome_of(int status, const char *code)
{
    static const struct {
        const char *code;
        int outcome;
    } codes[] = {
        {"no_capacity", HOST_E_NO_CAPACITY},        {"template_not_found", HOST_E_NO_TEMPLATE},
        {"template_not_ready", HOST_E_NO_TEMPLATE}, {"template_error", HOST_E_NO_TEMPLATE},
        {"size_not_available", HOST_E_NO_TEMPLATE}, {"stale_generation", HOST_E_STALE},
    };

    if (status >= 200 && status < 300)
        return HOST_OK;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (str_eq(codes[i].code, code))
            return codes[i].outcome;
    }
    switch (status) {
    case 404:
        return HOST_E_UNKNOWN;
    case 503: /* busy or full in some other way: another host may do */
    case 507:
        return HOST_E_NO_CAPACITY;
    case 504:
        return HOST_E_TIMEOUT;
    default:
        return HOST_E_FAILED;
    }
}

static void host_call_refused(struct host_call *c, const struct http_response *resp)
{
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    const struct json *root = NULL;

    if (json_parse(&doc, resp->body, resp->body_len, NULL) == 0)
        root = json_root(doc);
    const char *code = json_str(json_get(root, "error")),
               *message = json_str(json_get(root, "message"));

    c->answer.outcome = host_outcome_of(resp->head->status, code);
    snprintf(c->text, sizeof(c->text), "%d %s: %s", resp->head->status, code ? code : "-",
             message ? message : "-");
}

static void host_call_answered(struct host_call *c, const struct http_response *resp)
{
    struct err e = ERR_INIT;

    if (resp->head->status < 200 || resp->head->status >= 300) {
        host_call_refused(c, resp);
        host_call_finish(c);
        return;
    }
    struct arena *a = arena_new(MIB);
    struct host_vm *vm = arena_alloc(a, sizeof(*vm));

    if (c->wants_vm) {
        if (!vm || json_decode(&host_vm_reply_table, resp->body, resp->body_len, a, vm, &e) < 0) {
            c->answer.outcome = HOST_E_FAILED;
            snprintf(c->text, sizeof(c->text), "the answer makes no sense: %s",
                     err_text(&e, -EINVAL));
        } else {
            c->answer.vm = vm;
        }
    }
    host_call_finish(c);
    arena_free(a);
}

static void host_call_on_http(void *arg, int r, const struct http_response *resp)
{
    struct host_call *c = arg;

    c->http = NULL;
    if (r < 0) {
        c->answer.outcome = r == -ETIMEDOUT ? HOST_E_TIMEOUT : HOST_E_UNREACHABLE;
        snprintf(c->text, sizeof(c->text), "%s", strerror(-r));
        host_call_finish(c);
        return;
    }
    host_call_answered(c, resp);
}

static void host_call_on_failed(void *arg)
{
    host_call_finish(arg);
}

/* ---- calls ---- */
static void host_call(struct host_clients *h, const struct fleet_host *to,
                      const struct http_call *http, bool wants_vm, struct op **slot,
                      host_done_fn *done, void *arg)
{
    struct host_call *c = xnew(struct host_call);
    struct http_pool *pool = NULL;
    struct err e = ERR_INIT;
    int r;

    c->done = done;
    c->arg = arg;
    c->wants_vm = wants_vm;
    c->answer.message = c->text;
    op_begin(&c->op, slot, host_call_cancel);
    list_append(&h->calls, &c->node);
    r = host_client_find(h, to, &pool, &e);
    if (r == 0)
        r = http_call(pool, http, &c->http, host_call_on_http, c);
    if (r < 0) {
        c->answer.outcome = HOST_E_UNREACHABLE;
        snprintf(c->text, sizeof(c->text), "%s", err_text(&e, r));
        loop_defer(h->loop, &c->failed, host_call_on_failed, c);
    }
}

void host_vm_start(struct host_clients *h, const struct fleet_host *to, int64_t id,
                   const struct host_vm_spec *spec, uint32_t deadline_ms, struct op **slot,
                   host_done_fn *done, void *arg)
{
    cleanup(buf_deinit) struct buf body = BUF_INIT(HOST_BODY_MAX);
    char target[64];
    /* A body that does not fit is cut short and refused by the host: bounded long before by the
     * API's limits. */
    int r = host_vm_spec_write(&body, spec);
    struct http_call call = {
        .method = "PUT",
        .target = target,
        .content_type = "application/json",
        .body = buf_data(&body),
        .body_len = r == 0 ? body.len : 0,
        .answer_bytes_max = HOST_ANSWER_MAX,
        .deadline_ms = deadline_ms,
        .retry = true,
    };

    snprintf(target, sizeof(target), "/host/v1/vms/%lld", (long long)id);
    host_call(h, to, &call, true, slot, done, arg);
}

void host_vm_delete(struct host_clients *h, const struct fleet_host *to, int64_t id,
                    int64_t generation, uint32_t deadline_ms, struct op **slot, host_done_fn *done,
                    void *arg)
{
    char target[96];
    struct http_call call = {.method = "DELETE",
                             .target = target,
                             .answer_bytes_max = HOST_ANSWER_MAX,
                             .deadline_ms = deadline_ms,
                             .retry = true};

    snprintf(target, sizeof(target), "/host/v1/vms/%lld?generation=%lld", (long long)id,
             (long long)generation);
    host_call(h, to, &call, false, slot, done, arg);
}

void host_vm_deadline(struct host_clients *h, const struct fleet_host *to, int64_t id,
                      int64_t generation, int64_t deadline_unix_ms, uint32_t deadline_ms,
                      struct op **slot, host_done_fn *done, void *arg)
{
    cleanup(buf_deinit) struct buf body = BUF_INIT(4 * KIB);
    char target[96];
    struct host_deadline m = {.generation = (uint64_t)generation, .deadline_ms = deadline_unix_ms};
    int r = host_deadline_write(&body, &m);
    struct http_call call = {
        .method = "POST",
        .target = target,
        .content_type = "application/json",
        .body = buf_data(&body),
        .body_len = r == 0 ? body.len : 0,
        .answer_bytes_max = HOST_ANSWER_MAX,
        .deadline_ms = deadline_ms,
        .retry = true,
    };

    snprintf(target, sizeof(target), "/host/v1/vms/%lld/deadline", (long long)id);
    host_call(h, to, &call, true, slot, done, arg);
}

void host_clients_free(struct host_clients *h)
{
    struct map_iter it = MAP_ITER_INIT;
    struct host_client *c;

    if (!h)
        return;
    while (!list_empty(&h->calls)) {
        struct host_call *call = LIST_ENTRY(h->calls.next, struct host_call, node);

        op_finish(&call->op);
        host_call_release(call);
    }
    while ((c = map_next(h->by_id, &it, NULL)))
        host_client_free(c);
    map_free(h->by_id);
    free(h);
}
