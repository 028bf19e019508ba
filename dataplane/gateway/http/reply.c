/* SPDX-License-Identifier: Apache-2.0 */
/* reply - answers that several handlers give, and what they read from a call. */
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/client_frame.h"

struct sandbox *call_sandbox(const struct route_call *c)
{
    return c->who;
}

struct unit *call_unit(const struct route_call *c)
{
    return call_sandbox(c)->user;
}

const char *agent_bearer(struct http_req *r, const struct sandbox *sb)
{
    return arena_printf(http_req_arena(r), "Bearer %s", (const char *) sb->agent_token.bytes);
}

void reply_overloaded(struct http_req *r)
{
    http_reply_header(r, "Retry-After", "2");
    http_reply_error(r, 503, "sandbox_overloaded", "the sandbox does not answer");
}

void reply_store_down(struct http_req *r)
{
    http_reply_header(r, "Retry-After", "2");
    http_reply_error(r, 503, "storage_unavailable", "the frame store does not answer");
}

void reply_sandbox_gone(struct http_req *r)
{
    http_reply_error(r, 404, "sandbox_not_found", "there is no such sandbox");
}

void reply_process_unknown(struct http_req *r)
{
    http_reply_error(r, 404, "process_not_found", "there is no such process");
}

void reply_bad_query(struct http_req *r, const char *field, const char *what)
{
    cleanup(buf_deinit) struct buf details = BUF_INIT(1024);
    char message[160];
    struct json_writer w;

    snprintf(message, sizeof(message), "%s: %s", field, what);
    json_writer_init(&w, &details);
    jw_object(&w);
    jw_kstr(&w, "field", field);
    jw_object_end(&w);
    http_reply_error_details(r, 400, "bad_request", message, json_writer_end(&w) == 0 ? buf_cstr(&details) : NULL);
}

bool call_pid(struct route_call *c, const char **pid)
{
    *pid = c->params[0];
    if (*pid && process_id_valid(*pid))
        return true;
    reply_process_unknown(c->req);
    return false;
}
