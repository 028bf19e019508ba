/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - Host and token decide: which sandbox, and may this caller speak to it. Runs before every handler.
 * The token names its sandbox twice (sub and rt); both must be the one that the Host names. A token is never logged.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/jwt/jwt.h"
#include "common/loop/loop.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/gate/gate.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/routes/label.h"
#include "dataplane/gateway/routes/sandbox.h"

/* A request for a host that is not known while vmhost has not told its routes. */
struct auth_wait {
    struct list node; /* in app.route_waiters */
    struct app *app;
    struct route_call *call;
    struct label label;
    struct timer *deadline;
};

/* ---- token ---- */

static const char *auth_bearer(const struct http_req *r)
{
    const char *v = http_req_header(r, "Authorization");

    if (!v || strncasecmp(v, "Bearer ", 7) != 0)
        return NULL;
    for (v += 7; *v == ' '; v++)
        ;
    return v;
}

/* Browsers cannot set headers on a WebSocket: there the token may be in the query. */
static const char *auth_token(const struct http_req *r)
{
    const char *v = auth_bearer(r);

    if (!v && ws_wanted(r)) {
        v = http_req_query(r, "token");
        v = v ? v : http_req_query(r, "access_token");
    }
    return str_empty(v) ? NULL : v;
}

static bool auth_scope(const struct session_claims *claims, unsigned wanted)
{
    return strcmp(claims->scope, "read") != 0 || !(wanted & SCOPE_WRITE);
}

static bool auth_token_ok(struct route_call *c, const struct app *a, const struct sandbox *sb)
{
    const char *token = auth_token(c->req);
    struct session_claims claims;
    unsigned wanted = c->route->scope;
    int r;

    if (!token) {
        http_reply_error(c->req, 401, "unauthorized", "a session token is needed: Authorization: Bearer <token>");
        return false;
    }
    r = jwt_verify_session(a->verifier, token, strlen(token), clock_real_ms() / 1000, &claims);
    if (r != 0) {
        http_reply_error(c->req, 401, "unauthorized", r > 0 ? jwt_outcome_text(r) : "the session token cannot be checked");
        return false;
    }
    if (strcmp(claims.sandbox_id, sb->id) != 0 || strcmp(claims.route_token, sb->rt) != 0) {
        http_reply_error(c->req, 401, "unauthorized", "the session token belongs to another sandbox");
        return false;
    }
    if (ws_wanted(c->req) && strcmp(c->route->name, "process.list") == 0)
        wanted = SCOPE_WRITE;
    if (!auth_scope(&claims, wanted)) {
        http_reply_error(c->req, 403, "forbidden", "the session token may only read");
        return false;
    }
    return true;
}

/* ---- sandbox ---- */

static void auth_with(struct route_call *c, struct app *a, struct sandbox *sb)
{
    if (!auth_token_ok(c, a, sb))
        return;
    if (sb->state == SANDBOX_PAUSED) {
        http_reply_error(c->req, 409, "sandbox_paused", "the sandbox is paused");
        return;
    }
    if (sb->flow_count >= (unsigned) a->conf->sandbox_requests_max) {
        http_reply_header(c->req, "Retry-After", "1");
        http_reply_error(c->req, 429, "too_many_requests", "too many requests of this sandbox are under way");
        return;
    }
    c->who = sb;
    route_proceed(c);
}

static void auth_wait_end(struct auth_wait *w)
{
    list_del(&w->node);
    timer_free(w->deadline);
    free(w);
}

static void auth_wait_timeout(void *arg)
{
    struct auth_wait *w = arg;
    struct http_req *r = w->call->req;

    http_req_on_gone(r, NULL, NULL);
    auth_wait_end(w);
    http_reply_header(r, "Retry-After", "2");
    http_reply_error(r, 503, "host_unavailable", "this host is starting and does not know its sandboxes yet");
}

static void auth_wait_gone(void *arg, struct http_req *r)
{
    (void) r;
    auth_wait_end(arg);
}

static void auth_wait_begin(struct route_call *c, struct app *a, const struct label *label)
{
    struct auth_wait *w = xnew(struct auth_wait);

    w->app = a;
    w->call = c;
    w->label = *label;
    w->deadline = timer_new(a->loop, auth_wait_timeout, w);
    timer_set(w->deadline, (uint64_t) a->conf->connect_deadline_ms);
    list_append(&a->route_waiters, &w->node);
    http_req_on_gone(c->req, auth_wait_gone, w);
}

static void auth_wait_look(struct auth_wait *w, bool synced)
{
    struct sandbox *sb = sandbox_by_rt(w->app->sandboxes, w->label.rt);
    struct route_call *c = w->call;
    struct app *a = w->app;

    if (!sb && !synced)
        return;
    http_req_on_gone(c->req, NULL, NULL);
    auth_wait_end(w);
    if (sb)
        auth_with(c, a, sb);
    else
        reply_sandbox_gone(c->req);
}

void auth_routes_changed(struct app *a)
{
    bool synced = gate_state(a->gate) == GATE_STATE_SYNCED;

    LIST_FOR_EACH_SAFE(n, tmp, &a->route_waiters)
        auth_wait_look(LIST_ENTRY(n, struct auth_wait, node), synced);
}

void auth_check(struct route_call *c)
{
    struct app *a = c->app;
    struct label label;
    struct sandbox *sb;

    label_parse(http_req_head(c->req)->host, a->conf->domain, &label);
    if (label.kind != LABEL_SANDBOX) {
        http_reply_error(c->req, 404, "not_found", "nothing is served under this host name");
        return;
    }
    if (http_req_query_check(c->req) < 0) {
        http_reply_error(c->req, 400, "bad_request", "the query has a broken percent escape");
        return;
    }
    sb = sandbox_by_rt(a->sandboxes, label.rt);
    if (sb)
        auth_with(c, a, sb);
    else if (gate_state(a->gate) == GATE_STATE_SYNCED)
        reply_sandbox_gone(c->req);
    else
        auth_wait_begin(c, a, &label);
}
