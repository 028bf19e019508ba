/* SPDX-License-Identifier: Apache-2.0 */
/* front - the table of the data plane's routes, and what is said of each request in the log. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/routes/label.h"
#include "dataplane/gateway/stats.h"

#define ROW(method, pattern, scope, body, fn, name) {method, "/runtime/v1/" pattern, scope, body, 0, NULL, fn, name}

static const struct route front_routes[] = {
    ROW(HTTP_GET, "process", SCOPE_READ, ROUTE_NO_BODY, process_list, "process.list"),
    ROW(HTTP_GET, "process/{pid}", SCOPE_READ, ROUTE_NO_BODY, process_get, "process.get"),
    ROW(HTTP_DELETE, "process/{pid}", SCOPE_WRITE, ROUTE_STREAM, process_delete, "process.delete"),
    ROW(HTTP_POST, "process/{pid}/signal", SCOPE_WRITE, ROUTE_STREAM, process_signal, "process.signal"),
    ROW(HTTP_GET, "process/{pid}/output", SCOPE_READ, ROUTE_NO_BODY, process_output, "process.output"),
    ROW(HTTP_GET, "process/{pid}/connect", SCOPE_WRITE, ROUTE_NO_BODY, process_connect, "process.connect"),
    ROW(HTTP_GET | HTTP_HEAD, "files", SCOPE_READ, ROUTE_STREAM, relay_handle, "files.read"),
    ROW(HTTP_PUT | HTTP_POST | HTTP_DELETE, "files", SCOPE_WRITE, ROUTE_STREAM, relay_handle, "files.write"),
    ROW(HTTP_GET | HTTP_HEAD, "files/{rest*}", SCOPE_READ, ROUTE_STREAM, relay_handle, "files.read_more"),
    ROW(HTTP_PUT | HTTP_POST | HTTP_DELETE, "files/{rest*}", SCOPE_WRITE, ROUTE_STREAM, relay_handle, "files.write_more"),
    ROW(HTTP_GET | HTTP_HEAD, "directories", SCOPE_READ, ROUTE_STREAM, relay_handle, "directories.read"),
    ROW(HTTP_PUT | HTTP_POST | HTTP_DELETE, "directories", SCOPE_WRITE, ROUTE_STREAM, relay_handle, "directories.write"),
    ROW(HTTP_GET | HTTP_HEAD, "directories/{rest*}", SCOPE_READ, ROUTE_STREAM, relay_handle, "directories.read_more"),
    ROW(HTTP_PUT | HTTP_POST | HTTP_DELETE, "directories/{rest*}", SCOPE_WRITE, ROUTE_STREAM, relay_handle, "directories.write_more"),
    {0},
};

int front_router_new(struct app *a, struct router **out, struct err *e)
{
    int r = router_new(out, a, auth_check, e);

    return r < 0 ? r : router_add(*out, front_routes, e);
}

void front_on_request(void *arg, struct http_req *r)
{
    struct app *a = arg;

    router_dispatch(a->router, r);
}

/* The path without its query: tokens of browsers' WebSockets are there. The host's label is as good as a name for the sandbox. */
void front_on_done(void *arg, const struct http_req *r, int status, uint64_t bytes, uint64_t us)
{
    const struct app *a = arg;
    const struct http_head *h = http_req_head(r);
    struct log_ctx ctx = {.request = http_req_id(r)};
    char code[8];

    stats_request(status, us);
    if (!a->conf->access_log)
        return;
    snprintf(code, sizeof(code), "%d", status);
    log_info(&ctx, "request", "method", h->method_text, "host", h->host, "path", http_req_path(r), "status", code, "bytes", LOG_U64(bytes),
             "us", LOG_U64(us));
}
