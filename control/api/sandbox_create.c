/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_create - POST /v1/sandboxes: from the body to the launch and its outcome to the answer.
 */
#include "control/api/sandbox_create.h"
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/api.h"
#include "control/api/create_body.h"
#include "control/api/errors.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/auth/box.h"
#include "control/auth/crypto.h"
#include "control/db/idempotency.h"
#include "control/db/pool.h"
#include "control/db/quotas.h"
#include "control/db/tx.h"
#include "control/life/launch.h"
#include "control/sched/fleet.h"

enum { KEY_MAX = 255, HASHED_BODY_MAX = 4 * MIB };

struct create {
    struct api_call call;
    struct create_body *body;
    const struct key_team *team;
    const char *idempotency_key; /* NULL: none */
    uint8_t request_hash[SHA256_LEN];
    bool refreshed; /* the catalog was read for this request */
    int64_t cpu_count, memory_mb;
    struct launch *launch;
};

static void create_gone(void *arg, struct http_req *r)
{
    struct create *x = arg;

    (void)r;
    op_cancel(&x->call.op);
    if (x->launch)
        launch_forget(take_ptr(&x->launch));
}

/* ---- idempotency ---- */
/* The key may be any visible ASCII. false: answered. */
static bool create_read_key(struct create *x)
{
    const char *key = http_req_header(x->call.req, "Idempotency-Key");
    cleanup(buf_deinit) struct buf text = BUF_INIT(HASHED_BODY_MAX);
    struct json_writer w;

    if (!key)
        return true;
    size_t len = strlen(key);

    for (size_t i = 0; i < len; i++) {
        if (key[i] < 0x21 || key[i] > 0x7e)
            len = 0;
    }
    if (len < 1 || len > KEY_MAX) {
        api_fail(x->call.req, API_BAD_REQUEST,
                 "Idempotency-Key must have 1..255 visible characters");
        return false;
    }
    json_writer_init(&w, &text);
    jw_tree(&w, x->call.route->tree);
    if (json_writer_end(&w) < 0 || buf_append_str(&text, " POST /v1/sandboxes") < 0) {
        api_fail(x->call.req, API_INTERNAL, NULL);
        return false;
    }
    crypto_sha256(buf_data(&text), text.len, x->request_hash);
    x->idempotency_key = key;
    return true;
}

static void create_replay_answer(struct create *x, const struct idempotency_row *row)
{
    cleanup(buf_deinit) struct buf plain = BUF_INIT(MIB);
    struct log_ctx ctx = {.request = http_req_id(x->call.req)};
    char bound[320];

    launch_answer_bound(x->team->id, x->idempotency_key, bound);
    if (boxes_open(x->call.app->boxes, bound, row->answer_box, row->answer_len, &plain) < 0) {
        log_error(&ctx,
                  "a kept answer cannot be opened: its key is not in data_keys_file any more");
        api_fail(x->call.req, API_INTERNAL, NULL);
        return;
    }
    http_reply_header(x->call.req, "Idempotency-Replayed", "true");
    http_reply_json(x->call.req, (int)row->status, &plain);
    mem_wipe(plain.base, plain.cap);
}

static void create_on_key(void *arg, int r, const struct db_tx *tx)
{
    struct create *x = arg;
    struct idempotency_row row;

    if (r != DB_OK) {
        api_fail_db(x->call.req, r, tx);
        return;
    }
    if (idempotency_decode(tx, 0, http_req_arena(x->call.req), &row) < 0) {
        api_fail(x->call.req, API_IDEMPOTENCY_RUNNING,
                 NULL); /* it has failed just now: the same again may work */
        return;
    }
    if (memcmp(row.request_hash, x->request_hash, SHA256_LEN) != 0)
        api_fail(x->call.req, API_IDEMPOTENCY_MISMATCH, NULL);
    else if (!row.status)
        api_fail(x->call.req, API_IDEMPOTENCY_RUNNING, NULL);
    else
        create_replay_answer(x, &row);
}

/* ---- quota ---- */
static void create_on_quota(void *arg, int r, const struct db_tx *tx)
{
    struct create *x = arg;
    cleanup(buf_deinit) struct buf out = BUF_INIT(64 * KIB);
    const struct api_error_row *e = &api_errors[API_QUOTA_EXCEEDED];
    struct quota_row q;
    struct json_writer w;

    if (r != DB_OK) {
        api_fail_db(x->call.req, r, tx);
        return;
    }
    if (quotas_decode(tx, 0, &q) < 0) {
        api_fail(x->call.req, API_INTERNAL, NULL);
        return;
    }
    json_writer_init(&w, &out);
    jw_object(&w);
    jw_kstr(&w, "error", e->code);
    jw_kstr(&w, "message", e->message);
    jw_key(&w, "quota");
    api_write_quota(&w, x->team->slug, &q, x->cpu_count, x->memory_mb);
    jw_kstr(&w, "request_id", http_req_id(x->call.req));
    jw_object_end(&w);
    api_reply_json(x->call.req, e->status, json_writer_end(&w), &out);
}

/* ---- the launch ---- */
static void create_on_launched(void *arg, int outcome, const struct buf *answer)
{
    struct create *x = arg;
    struct http_req *req = x->call.req;
    struct db_tx *tx;

    x->launch = NULL;
    switch (outcome) {
    case LAUNCH_OK:
        http_reply_json(req, 201, answer);
        return;
    case LAUNCH_E_QUOTA:
        tx = tx_new();
        quotas_add_get(tx, x->team->id);
        db_run(x->call.app->db, tx, 0, &x->call.op, create_on_quota, x);
        return;
    case LAUNCH_E_KEY_USED:
        tx = tx_new();
        idempotency_add_get(tx, x->team->id, x->idempotency_key);
        db_run(x->call.app->db, tx, 0, &x->call.op, create_on_key, x);
        return;
    case LAUNCH_E_NO_CAPACITY:
        api_fail(req, API_NO_CAPACITY, NULL);
        return;
    case LAUNCH_E_AWAY:
        api_fail(req, API_OVERLOADED, "the database cannot be reached now");
        return;
    case LAUNCH_E_TIMEOUT:
        api_fail(req, API_TIMEOUT, "the sandbox was not ready in time");
        return;
    case LAUNCH_E_ENDED:
        api_fail(req, API_STATE_CONFLICT, "the sandbox was deleted while it was made");
        return;
    default:
        api_fail(req, API_START_FAILED, NULL);
    }
}

static void create_launch(struct create *x, const struct catalog_hit *hit)
{
    const struct create_body *b = x->body;
    struct arena *a = http_req_arena(x->call.req);
    char name[20] = "sandbox-";
    struct launch_spec spec = {
        .team_id = x->team->id,
        .team = arena_printf(a, "%lld", (long long)x->team->id),
        .team_slug = x->team->slug,
        .key_id = x->call.who->key_id,
        .request_id = http_req_id(x->call.req),
        .actor = x->call.who->actor,
        .name = b->name ? b->name : name,
        .template_id = hit->template_row->id,
        .version_id = hit->version->id,
        .template_slug = hit->template_row->slug,
        .template_name = hit->template_row->name,
        .version = hit->version->version,
        .cpu_count = x->cpu_count,
        .memory_mb = x->memory_mb,
        .timeout_s = b->timeout,
        .on_timeout = b->lifecycle.on_timeout,
        .auto_resume = b->lifecycle.auto_resume,
        .keep_hot = b->keep_hot,
        .metadata = body_map_json(&b->metadata, a),
        .network = body_network_json(b, a),
        .env = &b->env,
        .idempotency_key = x->idempotency_key,
    };

    if (!spec.team || !spec.metadata || !spec.network) {
        api_fail(x->call.req, API_INTERNAL, NULL);
        return;
    }
    id_random(name + strlen(name), 6);
    memcpy(spec.request_hash, x->request_hash, SHA256_LEN);
    http_req_on_gone(x->call.req, create_gone, x);
    x->launch = launch_start(x->call.app->launches, &spec, create_on_launched, x);
}

/* ---- the template ---- */
static void create_resolve(struct create *x);

static void create_on_catalog(void *arg, int r)
{
    struct create *x = arg;

    if (r != DB_OK)
        api_fail(x->call.req, API_OVERLOADED, "the database cannot be reached now");
    else
        create_resolve(x);
}

/* Sizes other than the version's own need a snapshot of their own, which hosts cannot make yet. */
static bool create_size(struct create *x, const struct version_row *v)
{
    x->cpu_count = v->cpu_count;
    x->memory_mb = v->memory_mb;
    if (x->body->has_cpu && x->body->cpu != v->cpu_count) {
        api_fail_field(x->call.req, API_NOT_SUPPORTED, "cpu",
                       "only the template's own size (%lld) is supported yet",
                       (long long)v->cpu_count);
        return false;
    }
    if (x->body->has_memory && x->body->memory_mb != v->memory_mb) {
        api_fail_field(x->call.req, API_NOT_SUPPORTED, "memory_mb",
                       "only the template's own size (%lld) is supported yet",
                       (long long)v->memory_mb);
        return false;
    }
    return true;
}

static void create_resolve(struct create *x)
{
    struct app *app = x->call.app;
    bool mcp = json_type(x->body->mcp) != JSON_NULL;
    const char *ref = x->body->template_ref ? x->body->template_ref
                      : mcp                 ? "mcp-gateway"
                                            : app->conf.default_template;
    struct catalog_hit hit;
    int r = catalog_resolve(fleet_catalog(app->fleet), ref, x->body->version_id, &hit);

    if (r != CATALOG_OK && !x->refreshed) { /* it may have come just now */
        x->refreshed = true;
        fleet_refresh(app->fleet, &x->call.op, create_on_catalog, x);
        return;
    }
    if (r == CATALOG_E_UNKNOWN)
        api_fail_field(x->call.req, API_TEMPLATE_UNKNOWN,
                       x->body->version_id ? "template_version_id" : "template_id",
                       "there is no template '%.64s' here", ref);
    else if (r != CATALOG_OK)
        api_fail_field(x->call.req, API_TEMPLATE_ERROR, "template_id",
                       "template '%.64s' has no version that can run", ref);
    else if (mcp)
        api_fail_field(x->call.req, API_NOT_SUPPORTED, "mcp", "this is not supported yet");
    else if (create_size(x, hit.version))
        create_launch(x, &hit);
}

void sandbox_create(struct route_call *c)
{
    struct create *x = api_begin(c, sizeof(*x));
    struct body_error e;

    if (!x)
        return;
    x->body = c->body;
    if (!create_body_check(x->body, &x->call.app->conf, &e)) {
        api_fail_field(c->req, e.error, e.field, "%s", e.text);
        return;
    }
    x->team = principal_team(x->call.who, x->body->team);
    if (!x->team) {
        api_fail_field(c->req, API_TEAM_NOT_FOUND, "team", "no such team for this API key");
        return;
    }
    if (create_read_key(x))
        create_resolve(x);
}
