/* SPDX-License-Identifier: Apache-2.0 */
/* api - see api.h. */
#include "control/api/api.h"
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/errors.h"
#include "control/db/pool.h"
#include "control/db/quotas.h"
#include "control/db/sandboxes.h"
#include "control/db/tx.h"
#include "control/life/state.h"
#include "control/sched/catalog.h"

static void api_gone(void *arg, struct http_req *r)
{
    struct api_call *a = arg;

    (void)r;
    op_cancel(&a->op);
}

void *api_begin(struct route_call *c, size_t size)
{
    struct api_call *a = arena_alloc(http_req_arena(c->req), size);

    if (!a) {
        api_fail(c->req, API_INTERNAL, NULL);
        return NULL;
    }
    a->app = c->app;
    a->req = c->req;
    a->route = c;
    a->who = c->who;
    http_req_on_gone(c->req, api_gone, a);
    return a;
}

int64_t api_path_id(struct route_call *c, unsigned param)
{
    int64_t id = id_parse(c->params[param]);

    if (id < 0)
        api_fail(c->req, API_SANDBOX_NOT_FOUND, NULL);
    return id;
}

bool api_decode_sandbox(struct api_call *a, int r, const struct db_tx *tx, unsigned stmt,
                        struct sandbox_row *out)
{
    if (r != DB_OK) {
        api_fail_db(a->req, r, tx);
        return false;
    }
    if (tx_rows(tx, stmt) > 0 && sandbox_decode(tx, stmt, 0, http_req_arena(a->req), out) < 0) {
        api_fail(a->req, API_INTERNAL, NULL);
        return false;
    }
    if (tx_rows(tx, stmt) == 0 || str_eq(out->state, state_name(STATE_DESTROYED))) {
        api_fail(a->req, API_SANDBOX_NOT_FOUND, NULL);
        return false;
    }
    return true;
}

void api_write_quota(struct json_writer *w, const char *team, const struct quota_row *q,
                     int64_t cpu_count, int64_t memory_mb)
{
    jw_object(w);
    jw_kstr(w, "team", team);
    jw_kobject(w, "limits");
    jw_kint(w, "sandboxes", q->max_sandboxes);
    jw_kint(w, "vcpus", q->max_vcpus);
    jw_kint(w, "memory_mb", q->max_memory_mb);
    jw_object_end(w);
    jw_kobject(w, "usage");
    jw_kint(w, "sandboxes", q->used_sandboxes);
    jw_kint(w, "vcpus", q->used_vcpus);
    jw_kint(w, "memory_mb", q->used_memory_mb);
    jw_object_end(w);
    jw_kobject(w, "reservation");
    jw_kint(w, "sandboxes", 1);
    jw_kint(w, "vcpus", cpu_count);
    jw_kint(w, "memory_mb", memory_mb);
    jw_object_end(w);
    jw_object_end(w);
}

void api_reply_json(struct http_req *r, int status, int writer_result, const struct buf *out)
{
    if (writer_result < 0)
        api_fail(r, API_INTERNAL, "the answer is too large");
    else
        http_reply_json(r, status, out);
}
