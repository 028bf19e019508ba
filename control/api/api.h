/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* api - what the handlers of the public API share: the state of a call in its request's arena, and
 * the route tables. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

#include "common/http/route.h"

struct app;
struct buf;
struct http_req;
struct json_writer;
struct principal;
struct quota_row;
struct op;

struct api_call { /* first member of a handler's own struct */
    struct app *app;
    struct http_req *req;
    const struct route_call *route;
    const struct principal *who;
    struct op *op; /* what is waited for; cancelled when the client goes */
};

/* Zeroed, in the request's arena, op cancelled when the client goes. NULL: answered with 500. */
void *api_begin(struct route_call *c, size_t size) must_check;

/* An id of a path that could exist; otherwise answers 404 and returns -1. */
int64_t api_path_id(struct route_call *c, unsigned param);

/*
 * The sandbox of a get's result, in the request's arena. false: answered: the database's refusal,
 * or 404 for one that is not there, another team's, or destroyed.
 */
struct db_tx;
struct sandbox_row;
bool api_decode_sandbox(struct api_call *a, int r, const struct db_tx *tx, unsigned stmt,
                        struct sandbox_row *out) must_check;

/* {"team","limits":{..},"usage":{..},"reservation":{..}} */
void api_write_quota(struct json_writer *w, const char *team, const struct quota_row *q,
                     int64_t cpu_count, int64_t memory_mb);

/* Answers what a writer made, or 500. */
void api_reply_json(struct http_req *r, int status, int writer_result, const struct buf *out);

extern const struct route sandbox_routes[], sandbox_life_routes[], limits_routes[],
    template_routes[];
