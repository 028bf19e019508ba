/* SPDX-License-Identifier: Apache-2.0 */
/* heartbeat - see heartbeat.h. */
#include "control/hosts/heartbeat.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "common/wire/host_api.h"
#include "control/api/errors.h"
#include "control/app.h"
#include "control/auth/apikey.h"
#include "control/db/host_tokens.h"
#include "control/db/hosts.h"
#include "control/db/pool.h"
#include "control/db/sandboxes_life.h"
#include "control/db/tx.h"
#include "control/hosts/host_client.h"
#include "control/hosts/reconcile.h"
#include "control/life/ender.h"
#include "control/sched/catalog.h"
#include "control/sched/fleet.h"

enum { BEAT_BODY_MAX = 8 * MIB, BEAT_TEMPLATES_MAX = MIB };

struct beat { /* in the request's arena */
    struct app *app;
    struct http_req *req;
    const struct host_heartbeat *hb;
    struct op *op;
    struct apikey token;
    const char *host; /* its certificate's name */
    char actor[80];
    int64_t host_id;
    bool draining;
    struct reconcile_plan plan;
    size_t next; /* of the plan: what is before it is done */
};

static struct metric beats = {.name = "bivouac_control_heartbeats_total",
                              .help = "Reports of hosts that were taken.",
                              .kind = METRIC_COUNTER};
static struct metric lost_sandboxes = {.name = "bivouac_control_sandboxes_ended_by_hosts_total",
                                       .help =
                                           "Sandboxes that ended because of what a host reported.",
                                       .kind = METRIC_COUNTER};

static void beat_next(struct beat *b);

static void beat_gone(void *arg, struct http_req *r)
{
    struct beat *b = arg;

    (void)r;
    op_cancel(&b->op);
}

/* ---- the answer ---- */
static void beat_reply(struct beat *b)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(MIB);
    struct arena *a = http_req_arena(b->req);
    struct host_heartbeat_reply reply = {.host = {.name = (char *)b->host, .drain = b->draining},
                                         .now_ms = clock_real_ms()};

    reply.ended_ack.items = arena_alloc(a, b->plan.count * sizeof(char *));
    for (size_t i = 0; reply.ended_ack.items && i < b->plan.count; i++) {
        char *id = b->plan.items[i].kind == RECONCILE_ACK
                       ? arena_printf(a, "%lld", (long long)b->plan.items[i].id)
                       : NULL;

        if (id)
            reply.ended_ack.items[reply.ended_ack.count++] = id;
    }
    if (host_heartbeat_reply_write(&out, &reply) < 0) {
        api_fail(b->req, API_INTERNAL, NULL);
        return;
    }
    metric_add(&beats, 1);
    http_reply_json(b->req, 200, &out);
}

/* ---- doing the plan, one action after the other ---- */
static void beat_on_action(void *arg, int r, const struct db_tx *tx)
{
    struct beat *b = arg;

    if (r != DB_OK) { /* nothing of the rest is lost: the next report leads here again */
        api_fail_db(b->req, r, tx);
        return;
    }
    b->next++;
    beat_next(b);
}

static void beat_on_deadline_told(void *arg, const struct host_answer *a)
{
    struct beat *b = arg;

    if (a->outcome != HOST_OK)
        log_warn(NULL, "cannot tell a host a deadline", "host", b->host, "sandbox",
                 LOG_I64(b->plan.items[b->next].id), "reason", a->message);
    b->next++;
    beat_next(b);
}

static void beat_tell_deadline(struct beat *b, const struct reconcile_action *a)
{
    struct fleet_host to = {.id = b->host_id, .name = b->host, .api_url = b->hb->host_api_url};

    host_vm_deadline(b->app->clients, &to, a->id, a->generation, a->deadline_ms,
                     (uint32_t)b->app->conf.host_call_ms, &b->op, beat_on_deadline_told, b);
}

static void beat_write(struct beat *b, const struct reconcile_action *a)
{
    struct db_tx *tx = tx_new();

    tx_actor(tx, b->actor, http_req_id(b->req));
    switch (a->kind) {
    case RECONCILE_END:
        log_info(NULL, "sandbox ended on its host", "sandbox", LOG_I64(a->id), "host", b->host,
                 "state", a->state, "reason", a->reason);
        metric_add(&lost_sandboxes, 1);
        life_add_end(tx, a->id, a->generation, a->state, a->reason, NULL);
        life_add_off_host(tx, a->id, a->generation);
        break;
    case RECONCILE_OFF_HOST:
        life_add_off_host(tx, a->id, a->generation);
        break;
    default: /* MISSING, SEEN */
        life_add_missing(tx, &a->id, 1, a->kind == RECONCILE_MISSING);
    }
    db_run(b->app->db, tx, 0, &b->op, beat_on_action, b);
}

static void beat_next(struct beat *b)
{
    for (; b->next < b->plan.count; b->next++) {
        const struct reconcile_action *a = &b->plan.items[b->next];

        if (a->kind == RECONCILE_DEADLINE) {
            beat_tell_deadline(b, a);
            return;
        }
        if (a->kind != RECONCILE_KILL && a->kind != RECONCILE_ACK) {
            beat_write(b, a);
            return;
        }
        if (a->kind == RECONCILE_KILL) {
            log_info(NULL, "host has a sandbox that nobody wants; ending it", "sandbox",
                     LOG_I64(a->id), "host", b->host);
            ender_end(b->app->ender, b->host_id, a->id, a->generation, b->actor);
        }
    }
    beat_reply(b);
}

/* ---- writing the report down ---- */
static int beat_plan(struct beat *b, const struct db_tx *tx)
{
    struct arena *a = http_req_arena(b->req);
    int rows = tx_rows(tx, 1), r = 0;
    struct life_row *life = arena_alloc(a, (size_t)rows * sizeof(*life));

    if (!life)
        return -ENOMEM;
    for (int i = 0; i < rows && r == 0; i++)
        r = life_decode(tx, 1, i, a, &life[i]);
    if (r < 0)
        return r;
    return reconcile_make(b->host_id, b->hb->vms.items, b->hb->vms.count, life, (size_t)rows,
                          b->app->conf.missing_grace_ms, a, &b->plan);
}

static void beat_on_written(void *arg, int r, const struct db_tx *tx)
{
    struct beat *b = arg;
    struct fleet_host known;

    if (r != DB_OK) {
        api_fail_db(b->req, r, tx);
        return;
    }
    b->host_id = tx_col_i64(tx, 0, 0, 0);
    b->draining = tx_col_bool(tx, 0, 0, 1);
    if (!fleet_host(b->app->fleet, b->host_id, &known) ||
        !str_eq(known.api_url, b->hb->host_api_url))
        fleet_refresh_soon(b->app->fleet);
    if (beat_plan(b, tx) < 0) {
        api_fail(b->req, API_INTERNAL, "the report does not fit");
        return;
    }
    beat_next(b);
}

static int beat_templates(const struct host_heartbeat *hb, struct buf *out)
{
    const struct host_template *t = hb->templates.items;
    struct json_writer w;

    json_writer_init(&w, out);
    jw_array(&w);
    for (size_t i = 0; i < hb->templates.count; i++, t++) {
        jw_object(&w);
        jw_kstr(&w, "slug", t->slug);
        jw_kstr(&w, "version", t->version);
        jw_kstr(&w, "status", t->status);
        jw_kint(&w, "cpu_count", t->cpu_count);
        jw_kint(&w, "memory_mb", t->memory_mb);
        if (t->message)
            jw_kstr(&w, "message", t->message);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    return json_writer_end(&w);
}

static void beat_write_report(struct beat *b)
{
    cleanup(buf_deinit) struct buf templates = BUF_INIT(BEAT_TEMPLATES_MAX);
    struct arena *a = http_req_arena(b->req);
    const struct host_vm *vms = b->hb->vms.items;
    int64_t *ids = arena_alloc(a, b->hb->vms.count * sizeof(*ids));
    const char *text = beat_templates(b->hb, &templates) == 0 ? buf_cstr(&templates) : NULL;
    size_t count = 0;

    if (!ids || !text) {
        api_fail(b->req, API_INTERNAL, "the report does not fit");
        return;
    }
    for (size_t i = 0; i < b->hb->vms.count; i++) {
        int64_t id = id_parse(vms[i].id);

        if (id > 0)
            ids[count++] = id;
    }
    struct db_tx *tx = tx_new();

    hosts_add_heartbeat(tx, b->host, b->hb, text);
    life_add_of_host(tx, b->host, ids, count);
    db_run(b->app->db, tx, 0, &b->op, beat_on_written, b);
}

/* ---- who reports ---- */
static void beat_on_token(void *arg, int r, const struct db_tx *tx)
{
    struct beat *b = arg;
    struct host_token_row row;

    if (r != DB_OK) {
        api_fail_db(b->req, r, tx);
        return;
    }
    r = host_tokens_decode(tx, 0, http_req_arena(b->req), &row);
    if (r < 0 || row.dead || !apikey_hash_equal(&b->token, row.secret_hash) ||
        !str_eq(row.host_name, b->host)) {
        static struct log_limit limit = LOG_LIMIT_INIT(20);

        if (log_allow(&limit))
            log_warn(
                NULL,
                "refused a host's report: its token is unknown, revoked or made for another name",
                "host", b->host, "peer", http_req_peer(b->req));
        api_fail(b->req, API_UNAUTHORIZED, "a token that was made for this host is required");
        return;
    }
    beat_write_report(b);
}

static void heartbeat_post(struct route_call *c)
{
    const struct host_heartbeat *hb = c->body;
    const char *cn = http_req_peer_cn(c->req);
    struct beat *b = arena_alloc(http_req_arena(c->req), sizeof(*b));
    struct err e = ERR_INIT;

    if (!b) {
        api_fail(c->req, API_INTERNAL, NULL);
        return;
    }
    *b = (struct beat){.app = c->app, .req = c->req, .hb = hb, .host = cn};
    if (!cn || !apikey_parse_bearer(HOST_TOKEN_PREFIX, http_req_header(c->req, "Authorization"),
                                    &b->token)) {
        api_fail(c->req, API_UNAUTHORIZED, "a host's certificate and token are required");
        return;
    }
    if (host_url_check(hb->host_api_url, &e) < 0) {
        api_fail_field(c->req, API_INVALID, "host_api_url", "%s", err_text(&e, -EINVAL));
        return;
    }
    snprintf(b->actor, sizeof(b->actor), "host:%.70s", cn);
    http_req_on_gone(c->req, beat_gone, b);
    struct db_tx *tx = tx_new();

    host_tokens_add_lookup(tx, b->token.id);
    db_run(b->app->db, tx, 0, &b->op, beat_on_token, b);
}

const struct route heartbeat_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/internal/v1/heartbeat",
     .body = ROUTE_JSON,
     .body_max = BEAT_BODY_MAX,
     .table = &host_heartbeat_table,
     .fn = heartbeat_post,
     .name = "internal.heartbeat"},
    {0},
};

void heartbeat_register_metrics(void)
{
    metrics_register(&beats);
    metrics_register(&lost_sandboxes);
}
