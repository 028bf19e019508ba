/* SPDX-License-Identifier: Apache-2.0 */
/* limits - GET /v1/sandbox_limits: sizes, prices and the team's quota. */
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/api.h"
#include "control/api/errors.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/db/pool.h"
#include "control/db/quotas.h"
#include "control/db/tx.h"

struct limits {
    struct api_call call;
    const struct key_team *team;
};

static void write_price(struct json_writer *w, const char *key, int64_t micros)
{
    jw_kdouble(w, key, (double)micros / 1e6);
}

static void write_prices(struct json_writer *w, const struct control_config *c)
{
    jw_kobject(w, "prices");
    jw_kobject(w, "runtime");
    jw_kstr(w, "currency", c->price_currency);
    write_price(w, "vcpu_hour", c->price_vcpu_hour_micros);
    write_price(w, "memory_gib_hour", c->price_memory_gib_hour_micros);
    jw_object_end(w);
    jw_kobject(w, "storage");
    jw_kstr(w, "currency", c->price_currency);
    write_price(w, "gib_month", c->price_storage_gib_month_micros);
    jw_object_end(w);
    jw_object_end(w);
}

static void write_sizes(struct json_writer *w, const struct app *app)
{
    const struct control_config *c = &app->conf;

    jw_kobject(w, "defaults");
    jw_kint(w, "cpu", c->default_cpu_count);
    jw_kint(w, "memory_mb", c->default_memory_mb);
    jw_object_end(w);
    jw_karray(w, "allowed_cpus");
    for (unsigned i = 0; i < app->cpus_count; i++)
        jw_int(w, app->cpus[i]);
    jw_array_end(w);
    jw_kobject(w, "memory");
    jw_kint(w, "min_mb", c->memory_min_mb);
    jw_kint(w, "max_mb", c->memory_max_mb);
    jw_kint(w, "increment_mb", c->memory_increment_mb);
    jw_object_end(w);
    jw_kint(w, "max_timeout", c->max_timeout_s);
}

static void limits_on_quota(void *arg, int r, const struct db_tx *tx)
{
    struct limits *x = arg;
    const struct app *app = x->call.app;
    cleanup(buf_deinit) struct buf out = BUF_INIT(64 * KIB);
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
    write_sizes(&w, app);
    write_prices(&w, &app->conf);
    jw_key(&w, "quota");
    api_write_quota(&w, x->team->slug, &q, app->conf.default_cpu_count,
                    app->conf.default_memory_mb);
    jw_object_end(&w);
    api_reply_json(x->call.req, 200, json_writer_end(&w), &out);
}

static void limits_get(struct route_call *c)
{
    struct limits *x = api_begin(c, sizeof(*x));

    if (!x)
        return;
    x->team = principal_team(x->call.who, http_req_query(c->req, "team"));
    if (!x->team) {
        api_fail_field(c->req, API_TEAM_NOT_FOUND, "team", "no such team for this API key");
        return;
    }
    struct db_tx *tx = tx_new();

    quotas_add_get(tx, x->team->id);
    db_run(x->call.app->db, tx, 0, &x->call.op, limits_on_quota, x);
}

const struct route limits_routes[] = {
    {HTTP_GET, "/v1/sandbox_limits", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, limits_get, "limits.get"},
    {0},
};
