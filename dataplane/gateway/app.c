/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/http/health.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/jwt/jwt.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"
#include "common/wire/gate_link.h"
#include "dataplane/gateway/gate/gate.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stats.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/session.h"
#include "dataplane/gateway/stream/streams.h"

enum { APP_DRAIN_LOOK_MS = 50, APP_POOL_CONNS = 64, APP_POOL_IDLE = 8 };

/* ---- units: what a sandbox has here ---- */

static int unit_connect(void *ctx, struct op **slot, http_connected_fn *done, void *arg)
{
    struct unit *u = ctx;

    gate_connect(u->app->gate, u->sandbox->id, (uint32_t) u->app->conf->connect_deadline_ms, slot, done, arg);
    return 0;
}

static struct http_pool *unit_pool(struct unit *u)
{
    struct http_pool_conf conf = {.connect = unit_connect,
                                  .connect_ctx = u,
                                  .host = "agent",
                                  .conns_max = APP_POOL_CONNS,
                                  .idle_max = APP_POOL_IDLE};
    struct http_pool *p;

    if (http_pool_new(&p, u->app->loop, &conf) < 0)
        abort(); /* only for a configuration that makes no sense */
    return p;
}

static void unit_on_added(void *arg, struct sandbox *sb)
{
    struct app *a = arg;
    struct unit *u = xnew(struct unit);
    struct log_ctx ctx = {.sandbox = sb->id};

    u->app = a;
    u->sandbox = sb;
    u->pool = unit_pool(u);
    u->streams = streams_new(&a->env, sb, u->pool);
    sb->user = u;
    log_info(&ctx, "route added", "host", sb->rt);
    /* The routes that are there when we start are linked one after the other; a new sandbox at once. */
    if (gate_state(a->gate) == GATE_STATE_SYNCED)
        streams_run(u->streams, sb->state == SANDBOX_RUNNING);
}

static void unit_on_changed(void *arg, struct sandbox *sb, bool restarted)
{
    struct unit *u = sb->user;
    struct log_ctx ctx = {.sandbox = sb->id};

    (void) arg;
    log_info(&ctx, "route changed", "state", sb->state == SANDBOX_RUNNING ? "running" : "paused", "restarted", restarted ? "true" : "false");
    if (restarted) {
        /* Connections to the machine that was there before lead nowhere. */
        struct http_pool *old = u->pool;

        u->pool = unit_pool(u);
        streams_restarted(u->streams, u->pool);
        http_pool_free(old);
    }
    streams_run(u->streams, sb->state == SANDBOX_RUNNING);
}

static void unit_on_gone(void *arg, struct sandbox *sb, const char *reason)
{
    struct unit *u = sb->user;
    struct log_ctx ctx = {.sandbox = sb->id};
    bool for_ever = str_eq(reason, "killed") || str_eq(reason, "timeout");

    (void) arg;
    log_info(&ctx, "route gone", "reason", reason);
    sb->user = NULL;
    streams_end(u->streams, for_ever);
    http_pool_free(u->pool);
    free(u);
}

/* ---- vmhost ---- */

static void app_on_gate_up(void *arg)
{
    struct app *a = arg;

    sandbox_table_sync_begin(a->sandboxes);
}

static void app_on_route(void *arg, const struct gate_msg *m)
{
    struct app *a = arg;
    struct log_ctx ctx = {.sandbox = m->id};
    int r = sandbox_table_route(a->sandboxes, m);

    if (r < 0)
        log_warn(&ctx, "vmhost tells a route that cannot be, ignoring", "reason", strerror(-r));
    else
        auth_routes_changed(a);
}

static void app_on_gone(void *arg, const struct gate_msg *m)
{
    struct app *a = arg;

    sandbox_table_gone(a->sandboxes, m);
}

static void app_on_synced(void *arg)
{
    struct app *a = arg;

    sandbox_table_sync_end(a->sandboxes);
    log_info(NULL, "routes are complete", "count", LOG_U64(sandbox_table_count(a->sandboxes)));
    auth_routes_changed(a);
}

static void app_on_gate_down(void *arg)
{
    (void) arg; /* routes and links stay; connects wait */
}

/* ---- redis ---- */

static void app_on_redis_up(void *arg)
{
    struct app *a = arg;

    streams_env_store_up(&a->env);
}

static void app_on_redis_down(void *arg)
{
    struct app *a = arg;

    streams_env_store_down(&a->env);
}

/* ---- health ---- */

static void app_count_levels(const struct app *a, struct stats_levels *l)
{
    *l = (struct stats_levels){.redis_up = redis_is_up(a->env.redis),
                               .gate_up = gate_state(a->gate) == GATE_STATE_SYNCED,
                               .routes = (unsigned) sandbox_table_count(a->sandboxes),
                               .sessions = session_count(&a->env),
                               .connections = http_server_conns(a->server),
                               .pending_bytes = a->env.pending_bytes};
    LIST_FOR_EACH(n, &a->env.all) {
        const struct streams *s = LIST_ENTRY(n, struct streams, node);

        l->streams += (unsigned) map_count(s->procs);
        l->links += s->link && alink_up(alink_state(s->link));
    }
}

static bool app_on_health(void *arg, struct json_writer *w)
{
    struct app *a = arg;
    struct stats_levels l;

    app_count_levels(a, &l);
    stats_levels(&l);
    jw_kstr(w, "redis", l.redis_up ? "up" : "down");
    jw_kstr(w, "gate", l.gate_up ? "up" : "down");
    jw_ku64(w, "routes", l.routes);
    jw_ku64(w, "links", l.links);
    jw_ku64(w, "streams", l.streams);
    jw_ku64(w, "sessions", l.sessions);
    jw_kbool(w, "draining", a->draining);
    return l.redis_up && !a->draining;
}

/* ---- signals and the end ---- */

static void app_on_hup(void *arg, int signo)
{
    struct app *a = arg;
    struct err e = ERR_INIT;

    (void) signo;
    if (jwt_verifier_reload(a->verifier, &e) < 0)
        log_error(NULL, "cannot read session keys, keeping the old ones", "reason", e.text);
    else
        log_info(NULL, "session keys read again");
}

static void app_on_drain_look(void *arg)
{
    struct app *a = arg;
    bool idle = http_server_conns(a->server) == 0 && a->env.pending_bytes == 0;

    if (idle || loop_now_ms(a->loop) >= a->drain_until_ms)
        loop_stop(a->loop);
    else
        timer_set(a->drain, APP_DRAIN_LOOK_MS);
}

static void app_on_term(void *arg, int signo)
{
    struct app *a = arg;

    (void) signo;
    if (a->draining) {
        loop_stop(a->loop); /* asked twice */
        return;
    }
    log_info(NULL, "stopping", "sessions", LOG_U64(session_count(&a->env)));
    a->draining = true;
    http_server_drain(a->server);
    session_drain_all(&a->env);
    a->drain_until_ms = loop_now_ms(a->loop) + (uint64_t) a->conf->drain_ms;
    timer_set(a->drain, 0);
}

/* ---- construction ---- */

static void app_limits(struct app *a)
{
    const struct gateway_conf *c = a->conf;

    a->env.limits = (struct stream_limits){
        .retention_bytes = (uint64_t) c->retention_bytes,
        .sandbox_retention_bytes = (uint64_t) c->sandbox_retention_bytes,
        .frames_ttl_ms = (uint64_t) c->retention_after_exit_s * 1000,
        .proc_ttl_ms = (uint64_t) (c->tombstone_s > c->retention_after_exit_s ? c->tombstone_s : c->retention_after_exit_s) * 1000,
        .sandbox_pending_bytes = (size_t) c->pending_sandbox_bytes,
        .total_pending_bytes = (size_t) c->pending_total_bytes,
        .watcher_queue_bytes = (size_t) c->watcher_queue_bytes,
        .watchers_per_process = (unsigned) c->watchers_per_process_max,
        .processes_per_sandbox = (unsigned) c->processes_per_sandbox_max,
        .start_ms = (uint32_t) c->agent_deadline_ms,
        .first_message_ms = (uint32_t) c->first_message_s * 1000,
    };
}

static int app_open_redis(struct app *a, struct err *e)
{
    static const struct redis_ops ops = {.on_up = app_on_redis_up, .on_down = app_on_redis_down};
    struct redis_conf conf = {.address = a->conf->redis_addr, .password = &a->redis_password, .scripts = store_scripts};

    if (!str_empty(a->conf->redis_password_file)) {
        int r = secret_load(&a->redis_password, a->conf->redis_password_file, e);

        if (r < 0)
            return r;
    }
    return redis_new(&a->env.redis, a->loop, &conf, &ops, a, e);
}

static int app_listen_one(struct app *a, const char *addr, struct err *e)
{
    const char *colon = strrchr(addr, ':');
    char host[64] = "";
    uint64_t port;
    size_t len;

    if (addr[0] == '/')
        return http_server_listen_unix(a->server, addr, 0660, e);
    if (!colon || str_to_u64(colon + 1, &port) < 0 || port > UINT16_MAX)
        return err_set(e, -EINVAL, "public_listen '%s': must be host:port", addr);
    len = (size_t) (colon - addr);
    if (addr[0] == '[' && len > 2) {
        addr++;
        len -= 2;
    }
    if (len >= sizeof(host))
        return err_set(e, -EINVAL, "public_listen '%s': the host is too long", addr);
    memcpy(host, addr, len);
    return http_server_listen(a->server, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, (uint16_t) port, a->conf->workers > 1, e);
}

static int app_listen(struct app *a, struct err *e)
{
    char *list = xstrdup(a->conf->public_listen), *save = NULL;
    int r = 0;

    for (char *addr = strtok_r(list, " ", &save); addr && r == 0; addr = strtok_r(NULL, " ", &save))
        r = app_listen_one(a, addr, e);
    free(list);
    return r;
}

static int app_open_server(struct app *a, struct err *e)
{
    const struct gateway_conf *c = a->conf;
    struct http_server_conf conf = {.limits = {.conns_max = (uint32_t) c->conns_max, .conns_per_peer_max = (uint32_t) c->conns_per_peer_max},
                                    .name = "data plane",
                                    .on_done = front_on_done};
    int r = 0;

    if (!str_empty(c->tls_cert)) {
        struct tls_conf tls = {.cert_file = c->tls_cert, .key_file = c->tls_key};

        r = tls_ctx_new(&a->tls, &tls, true, e);
    }
    if (r < 0)
        return r;
    conf.tls = a->tls;
    r = front_router_new(a, &a->router, e);
    if (r == 0)
        r = http_server_new(&a->server, a->loop, &conf, front_on_request, a);
    return r < 0 ? r : app_listen(a, e);
}

/* Worker N of several answers N ports above the configured one. */
static int app_open_health(struct app *a, struct err *e)
{
    const char *addr = a->conf->admin_listen, *colon = strrchr(addr, ':');
    char text[128];
    uint64_t port;

    if (a->env.worker == 0 || !colon || str_to_u64(colon + 1, &port) < 0 || port == 0)
        return health_listen(&a->health, a->loop, addr, "bivouac-gateway", app_on_health, a, e);
    snprintf(text, sizeof(text), "%.*s:%u", (int) (colon - addr), addr, (unsigned) port + a->env.worker);
    return health_listen(&a->health, a->loop, text, "bivouac-gateway", app_on_health, a, e);
}

static int app_signals(struct app *a)
{
    int r = loop_signal(a->loop, SIGTERM, app_on_term, a);

    if (r == 0)
        r = loop_signal(a->loop, SIGINT, app_on_term, a);
    return r == 0 ? loop_signal(a->loop, SIGHUP, app_on_hup, a) : r;
}

static int app_open(struct app *a, struct err *e)
{
    static const struct sandbox_table_ops table_ops = {.on_added = unit_on_added, .on_changed = unit_on_changed, .on_gone = unit_on_gone};
    static const struct gate_ops gate_ops = {.on_up = app_on_gate_up, .on_route = app_on_route, .on_gone = app_on_gone,
                                             .on_synced = app_on_synced, .on_down = app_on_gate_down};
    int r = app_signals(a);

    if (r < 0)
        return err_set(e, r, "cannot watch signals: %s", strerror(-r));
    r = jwt_verifier_load(&a->verifier, a->conf->session_keys_dir, e);
    if (r == 0)
        r = app_open_redis(a, e);
    if (r < 0)
        return r;
    a->sandboxes = sandbox_table_new(&table_ops, a);
    a->gate = gate_new(a->loop, a->conf->gate_socket, &gate_ops, a);
    r = app_open_server(a, e);
    return r < 0 ? r : app_open_health(a, e);
}

int app_new(struct app **out, const struct gateway_conf *conf, unsigned worker, struct err *e)
{
    struct app *a = xnew(struct app);
    int r = loop_new(&a->loop);

    if (r < 0) {
        free(a);
        return err_set(e, r, "cannot make an event loop: %s", strerror(-r));
    }
    a->conf = conf;
    a->env.loop = a->loop;
    a->env.worker = worker;
    a->env.workers = (unsigned) conf->workers;
    list_init(&a->env.all);
    list_init(&a->env.sessions);
    list_init(&a->route_waiters);
    a->drain = timer_new(a->loop, app_on_drain_look, a);
    app_limits(a);
    stats_register();
    r = app_open(a, e);
    if (r < 0) {
        app_free(a);
        return r;
    }
    *out = a;
    return 0;
}

int app_run(struct app *a)
{
    log_info(NULL, "listening", "addresses", a->conf->public_listen, "admin", a->conf->admin_listen, "domain", a->conf->domain);
    return loop_run(a->loop);
}

static void app_cut_sandbox(void *arg, struct sandbox *sb)
{
    struct unit *u = sb->user;

    (void) arg;
    sandbox_cut_flows(sb);
    streams_free(u->streams);
    http_pool_free(u->pool);
    sb->user = NULL;
    free(u);
}

void app_free(struct app *a)
{
    if (!a)
        return;
    health_free(a->health);
    http_server_free(a->server);
    session_cut_all(&a->env);
    if (a->sandboxes)
        sandbox_each(a->sandboxes, app_cut_sandbox, a);
    LIST_FOR_EACH_SAFE(n, tmp, &a->env.all)
        streams_free(LIST_ENTRY(n, struct streams, node));
    gate_free(a->gate);
    redis_free(a->env.redis);
    sandbox_table_free(a->sandboxes);
    router_free(a->router);
    jwt_verifier_free(a->verifier);
    timer_free(a->drain);
    (void) !loop_turn(a->loop, 0); /* the reaper's turn */
    tls_ctx_free(a->tls);
    secret_deinit(&a->redis_password);
    loop_free(a->loop);
    free(a);
}
