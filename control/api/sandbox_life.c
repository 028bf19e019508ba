/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_life - the routes that move a sandbox's deadline: resume (connect, start) and timeout. */
#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/api.h"
#include "control/api/errors.h"
#include "control/api/sandbox_json.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/db/pool.h"
#include "control/db/sandboxes.h"
#include "control/db/tx.h"
#include "control/hosts/host_client.h"
#include "control/sched/fleet.h"

enum { LIFE_BODY_MAX = 64 * KIB, LIFE_ANSWER_MAX = MIB };
enum { LIFE_BEFORE, LIFE_AFTER }; /* statements: the row as it was, the row as it is */

struct timeout_body {
    bool has_timeout;
    int64_t timeout;
};

static const struct json_field resume_fields[] = {
    {.name = "timeout",
     .kind = JSON_F_INT,
     .flags = JSON_NULL_OK,
     .offset = offsetof(struct timeout_body, timeout),
     .present = offsetof(struct timeout_body, has_timeout)},
    {0},
};
static const struct json_field timeout_fields[] = {
    {.name = "timeout",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = offsetof(struct timeout_body, timeout),
     .present = offsetof(struct timeout_body, has_timeout)},
    {0},
};
static const struct json_table resume_table = {.fields = resume_fields,
                                               .size = sizeof(struct timeout_body)};
static const struct json_table timeout_table = {.fields = timeout_fields,
                                                .size = sizeof(struct timeout_body)};

struct moving {
    struct api_call call;
    bool resume; /* extends only, and answers with a session */
    struct sandbox_row row;
};

static void moving_reply(struct moving *x)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(LIFE_ANSWER_MAX);
    int r = x->resume ? sandbox_answer_session(x->call.app, &x->row, &out)
                      : sandbox_answer(x->call.app, &x->row, &out);

    api_reply_json(x->call.req, 200, r, &out);
}

/* The host must know, for it is the host that ends the sandbox. If it does not hear of it now,
 * reports bring it up again. */
static void moving_on_host(void *arg, const struct host_answer *a)
{
    struct moving *x = arg;

    if (a->outcome == HOST_OK)
        moving_reply(x);
    else
        api_fail(x->call.req, API_HOST_UNREACHABLE,
                 "the sandbox's host could not be told the new deadline; try again");
}

static void moving_tell_host(struct moving *x)
{
    struct fleet_host to;

    if (!fleet_host(x->call.app->fleet, x->row.host_id, &to)) {
        api_fail(x->call.req, API_HOST_UNREACHABLE, NULL);
        return;
    }
    host_vm_deadline(x->call.app->clients, &to, x->row.id, x->row.generation,
                     x->row.deadline_us / 1000, (uint32_t)x->call.app->conf.host_call_ms,
                     &x->call.op, moving_on_host, x);
}

static void moving_on_row(void *arg, int r, const struct db_tx *tx)
{
    struct moving *x = arg;
    struct sandbox_row before;

    if (!api_decode_sandbox(&x->call, r, tx, LIFE_BEFORE, &before))
        return;
    if (tx_rows(tx, LIFE_AFTER) == 0) {
        api_fail(x->call.req, API_STATE_CONFLICT, NULL);
        return;
    }
    if (sandbox_decode(tx, LIFE_AFTER, 0, http_req_arena(x->call.req), &x->row) < 0)
        api_fail(x->call.req, API_INTERNAL, NULL);
    else if (x->row.deadline_us == before.deadline_us)
        moving_reply(x);
    else
        moving_tell_host(x);
}

static void moving_begin(struct route_call *c, bool resume)
{
    const struct timeout_body *b = c->body;
    int64_t id = api_path_id(c, 0);
    struct moving *x = id < 0 ? NULL : api_begin(c, sizeof(*x));

    if (!x)
        return;
    x->resume = resume;
    if (b->has_timeout && (b->timeout < 1 || b->timeout > x->call.app->conf.max_timeout_s)) {
        api_fail_field(c->req, API_INVALID, "timeout", "must be 1..%lld",
                       (long long)x->call.app->conf.max_timeout_s);
        return;
    }
    struct db_tx *tx = tx_new();
    const struct principal *who = x->call.who;

    tx_actor(tx, who->actor, http_req_id(c->req));
    sandboxes_add_get(tx, id, who->team_ids, who->key.teams_count);
    sandboxes_add_deadline(tx, id, who->team_ids, who->key.teams_count,
                           b->has_timeout ? b->timeout : 0, resume);
    db_run(x->call.app->db, tx, 0, &x->call.op, moving_on_row, x);
}

static void sandbox_resume(struct route_call *c)
{
    moving_begin(c, true);
}

static void sandbox_timeout(struct route_call *c)
{
    moving_begin(c, false);
}

const struct route sandbox_life_routes[] = {
    {HTTP_POST, "/v1/sandboxes/{id}/resume", SCOPE_WRITE, ROUTE_JSON, LIFE_BODY_MAX, &resume_table,
     sandbox_resume, "sandboxes.resume"},
    {HTTP_POST, "/v1/sandboxes/{id}/connect", SCOPE_WRITE, ROUTE_JSON, LIFE_BODY_MAX, &resume_table,
     sandbox_resume, "sandboxes.connect"},
    {HTTP_POST, "/v1/sandboxes/{id}/start", SCOPE_WRITE, ROUTE_JSON, LIFE_BODY_MAX, &resume_table,
     sandbox_resume, "sandboxes.start"},
    {HTTP_POST, "/v1/sandboxes/{id}/timeout", SCOPE_WRITE, ROUTE_JSON, LIFE_BODY_MAX,
     &timeout_table, sandbox_timeout, "sandboxes.timeout"},
    {0},
};
