/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* app - one gateway worker: its parts, and what each sandbox has here. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "common/base/secret.h"
#include "dataplane/gateway/config.h"
#include "dataplane/gateway/stream/env.h"

struct err;
struct gate;
struct health;
struct http_pool;
struct http_server;
struct jwt_verifier;
struct loop;
struct router;
struct sandbox;
struct sandbox_table;
struct streams;
struct timer;
struct tls_ctx;

struct app {
    const struct gateway_conf *conf;
    struct loop *loop;
    struct stream_env env;
    struct sandbox_table *sandboxes;
    struct gate *gate;
    struct jwt_verifier *verifier;
    struct secret redis_password;
    struct tls_ctx *tls; /* NULL: plain */
    struct http_server *server;
    struct router *router;
    struct health *health;
    struct list route_waiters; /* requests for unknown hosts while vmhost is away (http/auth.c) */
    uint64_t reading_bytes;    /* what GET process/{pid}/output may hold at the moment */
    struct timer *drain;
    bool draining;
    uint64_t drain_until_ms;
};

/* What a sandbox has in this worker; sandbox->user. */
struct unit {
    struct app *app;
    struct sandbox *sandbox; /* borrowed: holds the unit */
    struct http_pool *pool;  /* owned; HTTP to the agent */
    struct streams *streams; /* ends itself */
};

int app_new(struct app **out, const struct gateway_conf *conf, unsigned worker, struct err *e) must_check;
int app_run(struct app *a) must_check; /* until SIGTERM and the drain behind it */
void app_free(struct app *a);
