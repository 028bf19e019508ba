/* SPDX-License-Identifier: Apache-2.0 */
/* files - routes: what the query and the body say is checked here, then it is a helper's. */
#include "agent/files/files.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "agent/agent.h"
#include "agent/files/call.h"
#include "agent/invalid.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/json/json.h"

enum { DEPTH_MAX = 64, MODE_MAX = 07777 };

/* ---- queries ---- */

/* false: an error has been answered. */
static bool invalid(struct http_req *r, const char *field, const char *rule)
{
    reply_invalid(r, field, rule);
    return false;
}

static bool query_ok(struct http_req *r)
{
    if (http_req_query_check(r) == 0)
        return true;
    http_reply_error(r, 400, "bad_request", "the query has a malformed escape or a NUL");
    return false;
}

static bool query_path(struct http_req *r, const char **path)
{
    if (!query_ok(r))
        return false;
    *path = http_req_query(r, "path");
    return str_empty(*path) ? invalid(r, "path", "is required") : true;
}

static bool query_number(struct http_req *r, const char *name, uint64_t max, const char **out)
{
    char rule[64];
    uint64_t v;

    *out = http_req_query(r, name);
    if (!*out || (str_to_u64(*out, &v) == 0 && v <= max))
        return true;
    snprintf(rule, sizeof(rule), "must be 0..%" PRIu64, max);
    return invalid(r, name, rule);
}

static bool query_flag(struct http_req *r, const char *name, bool *out)
{
    const char *text = http_req_query(r, name);

    if (!text || !*text)
        return true;
    if (str_eq(text, "true") || str_eq(text, "1"))
        *out = true;
    else if (str_eq(text, "false") || str_eq(text, "0"))
        *out = false;
    else
        return invalid(r, name, "must be true or false");
    return true;
}

/* A mode in a query is text, hence octal. */
static bool query_mode(struct http_req *r, const char **mode)
{
    uint64_t v;

    *mode = http_req_query(r, "mode");
    if (!*mode || (**mode && strlen(*mode) <= 5 && str_to_u64_n(*mode, strlen(*mode), 8, &v) == 0 && v <= MODE_MAX))
        return true;
    return invalid(r, "mode", "must be octal, 0..7777");
}

static bool gzip_refused(struct http_req *r)
{
    const char *coding = http_req_header(r, "Content-Encoding");
    bool gzip = false;

    if (!query_flag(r, "gzip", &gzip))
        return true;
    if (!gzip && (!coding || str_eq_nocase(coding, "identity")))
        return false;
    http_reply_error(r, 422, "not_supported", "compressed bodies are not supported; send and ask for the bytes as they are");
    return true;
}

/* ---- files ---- */

static void files_put(struct route_call *c)
{
    const struct http_head *h = http_req_head(c->req);
    const char *path, *mode;
    char length[24];

    if (!query_path(c->req, &path) || !query_mode(c->req, &mode) || gzip_refused(c->req))
        return;
    snprintf(length, sizeof(length), "%lld", (long long) h->body);
    const struct file_call_arg args[] = {{"path", path}, {"mode", mode}, {"length", h->body > 0 ? length : NULL}, {0}};

    file_call(c->app, c->req, FOP_WRITE, http_req_query(c->req, "user"), args, true);
}

static void files_get(struct route_call *c)
{
    bool head = http_req_method(c->req) == HTTP_HEAD;
    const char *path, *offset, *limit, *max_bytes;

    if (!query_path(c->req, &path) || !query_number(c->req, "offset", INT64_MAX, &offset) ||
        !query_number(c->req, "limit", INT64_MAX, &limit) || !query_number(c->req, "max_bytes", INT64_MAX, &max_bytes) ||
        gzip_refused(c->req))
        return;
    const struct file_call_arg args[] = {
        {"path", path},
        {"offset", offset},
        {"limit", limit},
        {"max_bytes", max_bytes},
        {"range", http_req_header(c->req, "Range")},
        {"head", head ? "1" : NULL},
        {0},
    };

    file_call(c->app, c->req, FOP_READ, http_req_query(c->req, "user"), args, false);
}

static void files_path_op(struct route_call *c, enum fop_code op)
{
    const char *path;

    if (!query_path(c->req, &path))
        return;
    const struct file_call_arg args[] = {{"path", path}, {0}};

    file_call(c->app, c->req, op, http_req_query(c->req, "user"), args, false);
}

static void files_stat(struct route_call *c)
{
    files_path_op(c, FOP_STAT);
}

static void files_exists(struct route_call *c)
{
    files_path_op(c, FOP_EXISTS);
}

static void files_delete(struct route_call *c)
{
    bool recursive = false;
    const char *path;

    if (!query_path(c->req, &path) || !query_flag(c->req, "recursive", &recursive))
        return;
    const struct file_call_arg args[] = {{"path", path}, {"recursive", recursive ? "1" : NULL}, {0}};

    file_call(c->app, c->req, FOP_DELETE, http_req_query(c->req, "user"), args, false);
}

struct move_body {
    char *from, *to, *user;
};
#define MOVE_TEXT(spellings, member) \
    {.name = spellings, .kind = JSON_F_STRING, .flags = JSON_NULL_OK, .offset = offsetof(struct move_body, member), .present = JSON_NO_PRESENT, .max = 16 * KIB}
static const struct json_field move_fields[] = {
    MOVE_TEXT("from_path|source", from),
    MOVE_TEXT("to_path|destination", to),
    MOVE_TEXT("user", user),
    {0},
};
static const struct json_table move_table = {.fields = move_fields, .size = sizeof(struct move_body)};

static void files_move(struct route_call *c)
{
    const struct move_body *b = c->body;
    const char *from = http_req_query(c->req, "path"), *user = http_req_query(c->req, "user");

    if (!query_ok(c->req))
        return;
    if (str_empty(from))
        from = b->from;
    if (str_empty(from) || str_empty(b->to)) {
        invalid(c->req, str_empty(from) ? "from_path" : "to_path", "is required");
        return;
    }
    const struct file_call_arg args[] = {{"path", from}, {"to", b->to}, {0}};

    file_call(c->app, c->req, FOP_MOVE, user ? user : b->user, args, false);
}

/* ---- directories ---- */

static void directories_post(struct route_call *c)
{
    const char *path, *mode;
    bool parents = true;

    if (!query_path(c->req, &path) || !query_mode(c->req, &mode) || !query_flag(c->req, "parents", &parents))
        return;
    const struct file_call_arg args[] = {{"path", path}, {"mode", mode}, {"parents", parents ? NULL : "0"}, {0}};

    file_call(c->app, c->req, FOP_MKDIR, http_req_query(c->req, "user"), args, false);
}

static void directories_get(struct route_call *c)
{
    const char *path, *depth;

    if (!query_path(c->req, &path) || !query_number(c->req, "depth", DEPTH_MAX, &depth))
        return;
    const struct file_call_arg args[] = {{"path", path}, {"depth", depth}, {0}};

    file_call(c->app, c->req, FOP_LIST, http_req_query(c->req, "user"), args, false);
}

const struct route files_routes[] = {
    {.method = HTTP_PUT | HTTP_POST, .pattern = "/runtime/v1/files", .body = ROUTE_STREAM, .fn = files_put, .name = "files.put"},
    {.method = HTTP_GET | HTTP_HEAD, .pattern = "/runtime/v1/files", .fn = files_get, .name = "files.get"},
    {.method = HTTP_DELETE, .pattern = "/runtime/v1/files", .fn = files_delete, .name = "files.delete"},
    {.method = HTTP_GET, .pattern = "/runtime/v1/files/stat", .fn = files_stat, .name = "files.stat"},
    {.method = HTTP_GET, .pattern = "/runtime/v1/files/exists", .fn = files_exists, .name = "files.exists"},
    {.method = HTTP_POST, .pattern = "/runtime/v1/files/move", .body = ROUTE_JSON, .body_max = 64 * KIB, .table = &move_table,
     .fn = files_move, .name = "files.move"},
    {.method = HTTP_POST, .pattern = "/runtime/v1/directories", .fn = directories_post, .name = "directories.create"},
    {.method = HTTP_GET, .pattern = "/runtime/v1/directories", .fn = directories_get, .name = "directories.list"},
    {.method = HTTP_DELETE, .pattern = "/runtime/v1/directories", .fn = files_delete, .name = "directories.delete"},
    {0},
};
