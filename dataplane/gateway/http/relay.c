/* SPDX-License-Identifier: Apache-2.0 */
/* relay - requests that the agent answers itself: bodies pass through both ways, the client's token is replaced by the agent's. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/http/relay.h"
#include "common/http/server.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/routes/sandbox.h"

enum { RELAY_WRITE_MS = 45000 }; /* a large tree takes its time to go; the answer is due within 50 s */

struct relay_flow {
    struct sandbox_flow flow;
    struct http_relay *relay;
    struct http_req *req; /* borrowed: alive until its answer begins */
};

static void relay_on_done(void *arg, uint64_t up, uint64_t down, int status)
{
    struct relay_flow *f = arg;

    (void) up;
    (void) down;
    (void) status; /* the server's own log line tells them */
    sandbox_flow_end(&f->flow);
    free(f);
}

static void relay_on_fail(void *arg, int r, int *status, const char **code, const char **message)
{
    struct relay_flow *f = arg;

    if (r == -EPROTO || r == -EMSGSIZE || r == -EBADMSG) {
        *status = 502;
        *code = "bad_gateway";
        *message = "the sandbox's answer makes no sense";
        return;
    }
    http_reply_header(f->req, "Retry-After", "2");
    *status = 503;
    *code = "sandbox_overloaded";
    *message = "the sandbox does not answer";
}

static void relay_on_cut(struct sandbox_flow *flow)
{
    struct relay_flow *f = CONTAINER_OF(flow, struct relay_flow, flow);

    http_relay_cut(f->relay);
    sandbox_flow_end(&f->flow);
    free(f);
}

static uint32_t relay_head_ms(const struct app *a, const struct http_req *r)
{
    bool reads = http_req_method(r) & (HTTP_GET | HTTP_HEAD);

    return reads ? (uint32_t) a->conf->agent_deadline_ms : RELAY_WRITE_MS;
}

void relay_handle(struct route_call *c)
{
    static const char *const drop[] = {"Cookie", "X-API-Key", NULL};
    struct sandbox *sb = call_sandbox(c);
    struct unit *u = call_unit(c);
    struct http_header items[] = {{"Authorization", agent_bearer(c->req, sb)}, {"X-Request-Id", http_req_id(c->req)}};
    struct http_headers set = {items, ARRAY_LEN(items)};
    struct relay_flow *f = xnew(struct relay_flow);
    struct http_relay_conf conf = {.drop = drop,
                                   .set = &set,
                                   .head_ms = relay_head_ms(u->app, c->req),
                                   .allow_upgrade = true,
                                   .on_fail = relay_on_fail,
                                   .on_done = relay_on_done,
                                   .arg = f};

    f->req = c->req;
    if (http_relay(c->req, u->pool, &conf, &f->relay) < 0) {
        free(f);
        http_reply_error(c->req, 400, "bad_request", "the request cannot be passed on");
        return;
    }
    sandbox_flow_begin(&f->flow, sb, relay_on_cut);
}
