/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes - the routes that read, list, edit and end sandboxes. */
#include <errno.h>
#include <stdio.h>
#include <stddef.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/api.h"
#include "control/api/create_body.h"
#include "control/api/errors.h"
#include "control/api/list_query.h"
#include "control/api/sandbox_create.h"
#include "control/api/sandbox_json.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/db/pool.h"
#include "control/db/sandboxes.h"
#include "control/db/sandboxes_life.h"
#include "control/db/tx.h"
#include "control/life/ender.h"
#include "control/life/state.h"

enum {
    CREATE_BODY_MAX = MIB,
    PATCH_BODY_MAX = 64 * KIB,
    LIST_BYTES_MAX = 16 * MIB,
    ANSWER_MAX = MIB
};

static void reply_sandbox(struct api_call *x, const struct sandbox_row *s)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(ANSWER_MAX);

    api_reply_json(x->req, 200, sandbox_answer(x->app, s, &out), &out);
}

/* ---- get ---- */
static void get_on_row(void *arg, int r, const struct db_tx *tx)
{
    struct api_call *x = arg;
    struct sandbox_row s;

    if (api_decode_sandbox(x, r, tx, 0, &s))
        reply_sandbox(x, &s);
}

static void sandbox_get(struct route_call *c)
{
    int64_t id = api_path_id(c, 0);
    struct api_call *x = id < 0 ? NULL : api_begin(c, sizeof(*x));

    if (!x)
        return;
    struct db_tx *tx = tx_new();

    sandboxes_add_get(tx, id, x->who->team_ids, x->who->key.teams_count);
    db_run(x->app->db, tx, 0, &x->op, get_on_row, x);
}

/* ---- list ---- */
struct list {
    struct api_call call;
    struct page page;
};

static int list_write(struct list *x, const struct db_tx *tx, struct buf *out)
{
    struct arena *a = http_req_arena(x->call.req);
    int rows = tx_rows(tx, 0);
    int shown = rows > (int)x->page.limit ? (int)x->page.limit : rows; /* one more was asked for */
    struct json_writer w;
    struct sandbox_row s = {0};

    json_writer_init(&w, out);
    jw_object(&w);
    jw_karray(&w, "sandboxes");
    for (int i = 0; i < shown; i++) {
        int r = sandbox_decode(tx, 0, i, a, &s);

        if (r < 0)
            return r;
        sandbox_write(&w, x->call.app, &s);
    }
    jw_array_end(&w);
    if (rows > shown) {
        struct page next = x->page;

        next.before_id = s.id;
        char *token = page_encode(&next, a);

        if (!token)
            return -ENOBUFS;
        jw_kstr(&w, "next_token", token);
    }
    jw_object_end(&w);
    return json_writer_end(&w);
}

static void list_on_rows(void *arg, int r, const struct db_tx *tx)
{
    struct list *x = arg;
    cleanup(buf_deinit) struct buf out = BUF_INIT(LIST_BYTES_MAX);

    if (r != DB_OK) {
        api_fail_db(x->call.req, r, tx);
        return;
    }
    api_reply_json(x->call.req, 200, list_write(x, tx, &out), &out);
}

static void list_fail(struct http_req *r, int why)
{
    switch (why) {
    case LIST_E_LIMIT:
        api_fail_field(r, API_INVALID, "limit", "must be 1..%d", PAGE_LIMIT_MAX);
        return;
    case LIST_E_TOKEN:
        api_fail_field(r, API_INVALID, "next_token", "is not one that a list has answered");
        return;
    case LIST_E_STATE:
        api_fail_field(r, API_INVALID, "query[state]", "names no state");
        return;
    case LIST_E_FILTERS:
        api_fail_field(r, API_INVALID, "query", "malformed, or more than %d filters",
                       PAGE_FILTERS_MAX);
        return;
    default:
        api_fail(r, API_BAD_REQUEST, "the query has a broken percent escape");
    }
}

static void list_run(struct list *x, const char *const *states, size_t states_count)
{
    const struct principal *who = x->call.who;
    const struct key_team *team = x->page.team ? principal_team(who, x->page.team) : NULL;
    struct arena *a = http_req_arena(x->call.req);
    struct sandbox_filter f = {
        .teams = team ? &team->id : who->team_ids,
        .teams_count = team ? 1 : who->key.teams_count,
        .states = states_count ? states : NULL,
        .states_count = states_count,
        .metadata = x->page.metadata.count ? body_map_json(&x->page.metadata, a) : NULL,
        .before_id = x->page.before_id,
        .limit = x->page.limit + 1,
    };

    if (x->page.team && !team) {
        api_fail_field(x->call.req, API_TEAM_NOT_FOUND, "team", "no such team for this API key");
        return;
    }
    struct db_tx *tx = tx_new();

    sandboxes_add_list(tx, &f);
    db_run(x->call.app->db, tx, 0, &x->call.op, list_on_rows, x);
}

static void sandbox_list(struct route_call *c)
{
    struct list *x = api_begin(c, sizeof(*x));
    const char *states[STATES_COUNT];
    size_t count;

    if (!x)
        return;
    int r = list_query_read(c->req, http_req_arena(c->req), &x->page);

    if (r == LIST_OK && list_query_states(&x->page.states, states, &count) < 0)
        r = LIST_E_STATE;
    if (r != LIST_OK)
        list_fail(c->req, r);
    else
        list_run(x, states, count);
}

/* ---- patch ---- */
struct patch_body {
    char *name;
    bool has_metadata, has_keep_hot, has_lifecycle;
    struct json_map metadata;
    bool keep_hot;
    struct lifecycle_body lifecycle;
};

static const struct json_field patch_fields[] = {
    {.name = "name",
     .kind = JSON_F_STRING,
     .flags = JSON_NULL_OK,
     .offset = offsetof(struct patch_body, name),
     .present = JSON_NO_PRESENT},
    {.name = "metadata",
     .kind = JSON_F_MAP,
     .flags = JSON_NULL_OK | JSON_STRINGIFY,
     .offset = offsetof(struct patch_body, metadata),
     .present = offsetof(struct patch_body, has_metadata),
     .max = 64},
    {.name = "keep_hot",
     .kind = JSON_F_BOOL,
     .flags = JSON_NULL_OK,
     .offset = offsetof(struct patch_body, keep_hot),
     .present = offsetof(struct patch_body, has_keep_hot)},
    {.name = "lifecycle",
     .kind = JSON_F_OBJECT,
     .flags = JSON_NULL_OK,
     .offset = offsetof(struct patch_body, lifecycle),
     .present = offsetof(struct patch_body, has_lifecycle),
     .nested = &lifecycle_body_table},
    {0},
};
static const struct json_table patch_table = {.fields = patch_fields,
                                              .size = sizeof(struct patch_body)};

static void patch_on_row(void *arg, int r, const struct db_tx *tx)
{
    struct api_call *x = arg;
    struct sandbox_row s;

    if (r != DB_OK)
        api_fail_db(x->req, r, tx);
    else if (tx_rows(tx, 1) == 0 || str_eq(tx_col(tx, 1, 0, 4), state_name(STATE_DESTROYED)))
        api_fail(x->req, API_SANDBOX_NOT_FOUND, NULL);
    else if (tx_rows(tx, 0) == 0)
        api_fail(x->req, API_STATE_CONFLICT, "the sandbox has ended");
    else if (sandbox_decode(tx, 0, 0, http_req_arena(x->req), &s) < 0)
        api_fail(x->req, API_INTERNAL, NULL);
    else
        reply_sandbox(x, &s);
}

static void sandbox_patch(struct route_call *c)
{
    const struct patch_body *b = c->body;
    int64_t id = api_path_id(c, 0);
    struct api_call *x = id < 0 ? NULL : api_begin(c, sizeof(*x));
    struct sandbox_patch patch = {.name = b->name,
                                  .keep_hot = b->has_keep_hot ? &b->keep_hot : NULL};
    struct body_error e;

    if (!x)
        return;
    if (!body_check_name(b->name, &e) || !body_check_metadata(&b->metadata, &e) ||
        !body_check_lifecycle(&b->lifecycle, &e)) {
        api_fail_field(c->req, e.error, e.field, "%s", e.text);
        return;
    }
    if (b->has_metadata) {
        patch.metadata = body_map_json(&b->metadata, http_req_arena(c->req));
        if (!patch.metadata) {
            api_fail(c->req, API_INTERNAL, NULL);
            return;
        }
    }
    struct db_tx *tx = tx_new();

    sandboxes_add_patch(tx, id, x->who->team_ids, x->who->key.teams_count, &patch);
    sandboxes_add_get(tx, id, x->who->team_ids,
                      x->who->key.teams_count); /* why there was nothing to change */
    db_run(x->app->db, tx, 0, &x->op, patch_on_row, x);
}

/* ---- delete ---- */
struct destroy {
    struct api_call call;
    int64_t id;
};

static void destroy_on_host(void *arg, int outcome)
{
    struct destroy *x = arg;

    (void)outcome; /* it has ended in the database; a host that is away ends it when it reports
                      again */
    http_reply_empty(x->call.req, 204);
}

static void destroy_on_row(void *arg, int r, const struct db_tx *tx)
{
    struct destroy *x = arg;

    if (r != DB_OK) {
        api_fail_db(x->call.req, r, tx);
    } else if (tx_rows(tx, 0) == 0) {
        api_fail(x->call.req, API_SANDBOX_NOT_FOUND, NULL);
    } else if (!tx_col_bool(tx, 0, 0, 3)) { /* nothing of it is on a host */
        http_reply_empty(x->call.req, 204);
    } else {
        ender_end_wait(x->call.app->ender, tx_col_i64(tx, 0, 0, 1), x->id, tx_col_i64(tx, 0, 0, 2),
                       x->call.who->actor, &x->call.op, destroy_on_host, x);
    }
}

static void sandbox_delete(struct route_call *c)
{
    int64_t id = api_path_id(c, 0);
    struct destroy *x = id < 0 ? NULL : api_begin(c, sizeof(*x));

    if (!x)
        return;
    struct db_tx *tx = tx_new();

    x->id = id;
    tx_actor(tx, x->call.who->actor, http_req_id(c->req));
    life_add_destroy(tx, id, x->call.who->team_ids, x->call.who->key.teams_count);
    db_run(x->call.app->db, tx, 0, &x->call.op, destroy_on_row, x);
}

/* ---- ports ---- */
struct port {
    struct api_call call;
    uint64_t number;
};

static void port_on_row(void *arg, int r, const struct db_tx *tx)
{
    struct port *x = arg;
    cleanup(buf_deinit) struct buf out = BUF_INIT(ANSWER_MAX);
    char prefix[16], url[URL_MAX];
    const char *host;
    struct sandbox_row s;
    struct json_writer w;

    if (!api_decode_sandbox(&x->call, r, tx, 0, &s))
        return;
    snprintf(prefix, sizeof(prefix), "p%u-", (unsigned)x->number);
    data_plane_url(x->call.app, prefix, s.route_token, url, &host);
    json_writer_init(&w, &out);
    jw_object(&w);
    jw_kobject(&w, "sandbox_port");
    jw_ku64(&w, "port", x->number);
    jw_kstr(&w, "host", host);
    jw_kstr(&w, "url", url);
    jw_object_end(&w);
    jw_object_end(&w);
    api_reply_json(x->call.req, 200, json_writer_end(&w), &out);
}

static void sandbox_port(struct route_call *c)
{
    int64_t id = api_path_id(c, 0);
    struct port *x = id < 0 ? NULL : api_begin(c, sizeof(*x));

    if (!x)
        return;
    if (str_to_u64(c->params[1], &x->number) < 0 || x->number < 1 || x->number > 65535) {
        api_fail_field(c->req, API_INVALID, "port", "must be 1..65535");
        return;
    }
    struct db_tx *tx = tx_new();

    sandboxes_add_get(tx, id, x->call.who->team_ids, x->call.who->key.teams_count);
    db_run(x->call.app->db, tx, 0, &x->call.op, port_on_row, x);
}

const struct route sandbox_routes[] = {
    {HTTP_POST, "/v1/sandboxes", SCOPE_WRITE, ROUTE_JSON, CREATE_BODY_MAX, &create_body_table,
     sandbox_create, "sandboxes.create"},
    {HTTP_GET, "/v1/sandboxes", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, sandbox_list, "sandboxes.list"},
    {HTTP_GET, "/v1/sandboxes/{id}", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, sandbox_get,
     "sandboxes.get"},
    {HTTP_PATCH, "/v1/sandboxes/{id}", SCOPE_WRITE, ROUTE_JSON, PATCH_BODY_MAX, &patch_table,
     sandbox_patch, "sandboxes.patch"},
    {HTTP_DELETE, "/v1/sandboxes/{id}", SCOPE_WRITE, ROUTE_NO_BODY, 0, NULL, sandbox_delete,
     "sandboxes.delete"},
    {HTTP_GET, "/v1/sandboxes/{id}/ports/{port}", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, sandbox_port,
     "sandboxes.port"},
    {0},
};
