/* SPDX-License-Identifier: Apache-2.0 */
/* authorize - see authorize.h. */
#include "control/auth/authorize.h"
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/loop/op.h"
#include "control/api/errors.h"
#include "control/app.h"
#include "control/db/pool.h"
#include "control/db/tx.h"

struct authorizing { /* request's arena */
    struct route_call *call;
    struct apikey key;
    struct op *op;
};

static void authorize_gone(void *arg, struct http_req *r)
{
    struct authorizing *z = arg;

    (void)r;
    op_cancel(&z->op);
}

const struct key_team *principal_team(const struct principal *p, const char *slug)
{
    if (!slug)
        return p->key.home < p->key.teams_count ? &p->key.teams[p->key.home] : NULL;
    for (size_t i = 0; i < p->key.teams_count; i++) {
        if (str_eq(p->key.teams[i].slug, slug))
            return &p->key.teams[i];
    }
    return NULL;
}

static void authorize_touch(struct app *app, const char *key_id)
{
    struct db_tx *tx = tx_new();

    keys_add_touch(tx, key_id);
    db_run(app->db, tx, 0, NULL, NULL, NULL); /* nobody waits; the next request tries again */
}

static struct principal *principal_new(const struct authorizing *z, const struct key_row *key)
{
    struct arena *a = http_req_arena(z->call->req);
    struct principal *p = arena_alloc(a, sizeof(*p));
    int64_t *ids = arena_alloc(a, key->teams_count * sizeof(*ids));

    if (!p || !ids)
        return NULL;
    memcpy(p->key_id, z->key.id, sizeof(p->key_id));
    snprintf(p->actor, sizeof(p->actor), "key:%s", z->key.id);
    p->key = *key;
    for (size_t i = 0; i < key->teams_count; i++)
        ids[i] = key->teams[i].id;
    p->team_ids = ids;
    return p;
}

static void authorize_on_key(void *arg, int r, const struct db_tx *tx)
{
    struct authorizing *z = arg;
    struct route_call *c = z->call;
    struct key_row key;

    if (r != DB_OK) {
        api_fail_db(c->req, r, tx);
        return;
    }
    if (keys_decode(tx, 0, http_req_arena(c->req), &key) < 0 ||
        !apikey_hash_equal(&z->key, key.secret_hash) || key.dead) {
        api_fail(c->req, API_UNAUTHORIZED, "the API key is unknown, revoked or expired");
        return;
    }
    if ((c->route->scope & SCOPE_WRITE && !key.writes) ||
        (c->route->scope & SCOPE_READ && !key.reads)) {
        api_fail(c->req, API_FORBIDDEN,
                 c->route->scope & SCOPE_WRITE ? "the API key lacks the scope 'write'"
                                               : "the API key lacks the scope 'read'");
        return;
    }
    c->who = principal_new(z, &key);
    if (!c->who) {
        api_fail(c->req, API_INTERNAL, NULL);
        return;
    }
    if (key.touch)
        authorize_touch(c->app, z->key.id);
    http_req_on_gone(c->req, NULL, NULL);
    route_proceed(c);
}

void authorize_call(struct route_call *c)
{
    struct app *app = c->app;
    const char *header = http_req_header(c->req, "Authorization"),
               *plain = http_req_header(c->req, "X-API-Key");
    struct authorizing *z = arena_alloc(http_req_arena(c->req), sizeof(*z));

    if (!z) {
        api_fail(c->req, API_INTERNAL, NULL);
        return;
    }
    z->call = c;
    if (!(header ? apikey_parse_bearer(APIKEY_PREFIX, header, &z->key)
                 : apikey_parse(APIKEY_PREFIX, plain, &z->key))) {
        api_fail(c->req, API_UNAUTHORIZED, NULL);
        return;
    }
    struct db_tx *tx = tx_new();

    http_req_on_gone(c->req, authorize_gone, z);
    keys_add_lookup(tx, z->key.id);
    db_run(app->db, tx, 0, &z->op, authorize_on_key, z);
}
