/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* http_app - the data plane's routes: how a request is authorised and who serves it. */
#include "common/base/attr.h"
#include "common/http/route.h"

struct app;
struct http_headers;
struct http_req;
struct sandbox;
struct unit;

enum { SCOPE_READ = 1, SCOPE_WRITE = 2 };

/* ---- front.c ---- */
int front_router_new(struct app *a, struct router **out, struct err *e) must_check;
void front_on_request(void *arg, struct http_req *r); /* http_request_fn of the public server */
void front_on_done(void *arg, const struct http_req *r, int status, uint64_t bytes, uint64_t us);

/* ---- auth.c: sets call->who to the sandbox ---- */
void auth_check(struct route_call *c);
void auth_routes_changed(struct app *a); /* requests that wait for routes look again */

/* ---- handlers ---- */
void relay_handle(struct route_call *c);          /* files, directories */
void process_list(struct route_call *c);          /* or its socket */
void process_list_socket(struct route_call *c);
void process_get(struct route_call *c);
void process_delete(struct route_call *c);
void process_signal(struct route_call *c);
void process_output(struct route_call *c);
void process_connect(struct route_call *c);

/* ---- shared by handlers ---- */
struct sandbox *call_sandbox(const struct route_call *c);
struct unit *call_unit(const struct route_call *c);
/* "Bearer <the agent's token>" in the request's memory. */
const char *agent_bearer(struct http_req *r, const struct sandbox *sb);
void reply_overloaded(struct http_req *r);          /* 503 sandbox_overloaded */
void reply_store_down(struct http_req *r);          /* 503 storage_unavailable */
void reply_sandbox_gone(struct http_req *r);        /* 404 sandbox_not_found */
void reply_process_unknown(struct http_req *r);     /* 404 process_not_found */
void reply_bad_query(struct http_req *r, const char *field, const char *what); /* 400 */
/* The {pid} of the path; false: answered 404, such a process cannot be. */
bool call_pid(struct route_call *c, const char **pid);
