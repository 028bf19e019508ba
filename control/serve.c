/* SPDX-License-Identifier: Apache-2.0 */
/* serve - see serve.h. Built from the inside out, torn down in the opposite order. */
#include "control/serve.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/http/health.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/jwt/jwt.h"
#include "common/loop/loop.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "control/api/api.h"
#include "control/api/errors.h"
#include "control/api/sandbox_json.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/auth/box.h"
#include "control/db/pool.h"
#include "control/hosts/heartbeat.h"
#include "control/hosts/host_client.h"
#include "control/jobs/jobs.h"
#include "control/life/ender.h"
#include "control/life/launch.h"
#include "control/open.h"
#include "control/sched/fleet.h"

enum { SERVE_DRAIN_MS = 10000, SERVE_DRAIN_STEP_MS = 50, SERVE_ADDR_MAX = 256 };
static const char serve_program[] = "bivouac-control";

struct serve {
    struct app app;
    struct arena *arena;
    struct secret password;
    struct tls_ctx *public_tls, *host_tls, *client_tls;
    struct router *public_router, *host_router;
    struct http_server *public_server, *host_server;
    struct health *admin;
    struct timer *drain;
    uint64_t drain_end_ms;
    bool draining;
};

/* ---- requests ---- */
static bool serve_health(void *arg, struct json_writer *w)
{
    const struct serve *s = arg;
    struct db_stats stats;

    db_stats(s->app.db, &stats);
    jw_kstr(w, "database", stats.up ? "up" : "away");
    if (!stats.up && *stats.last_error)
        jw_kstr(w, "database_error", stats.last_error);
    jw_kint(w, "hosts_fresh", fleet_hosts_fresh(s->app.fleet));
    jw_kint(w, "creating", launches_count(s->app.launches));
    jw_kbool(w, "draining", s->draining);
    return stats.up;
}

/* The public one says only whether it works. */
static bool serve_public_health(void *arg, struct json_writer *w)
{
    const struct serve *s = arg;
    struct db_stats stats;

    (void)w;
    db_stats(s->app.db, &stats);
    return stats.up;
}

static void serve_on_public(void *arg, struct http_req *r)
{
    struct serve *s = arg;

    if (str_eq(http_req_path(r), "/health") &&
        health_handle(r, serve_program, serve_public_health, s))
        return;
    router_dispatch(s->public_router, r);
}

static void serve_on_host(void *arg, struct http_req *r)
{
    struct serve *s = arg;

    router_dispatch(s->host_router, r);
}

static void serve_log_request(void *arg, const struct http_req *r, int status, uint64_t bytes,
                              uint64_t us)
{
    struct log_ctx ctx = {.request = http_req_id(r)};
    enum log_level level = status >= 500 ? LOG_WARN : LOG_INFO;

    (void)arg;
    log_at_(level, &ctx, status ? "request" : "client left", "method",
            http_req_head(r)->method_text, "path", http_req_path(r), "status", LOG_I64(status),
            "peer", http_req_peer(r), "bytes", LOG_U64(bytes), "us", LOG_U64(us));
}

/* Reports come every two seconds from every host: only what went wrong is worth a line. */
static void serve_log_report(void *arg, const struct http_req *r, int status, uint64_t bytes,
                             uint64_t us)
{
    if (status != 200)
        serve_log_request(arg, r, status, bytes, us);
}

/* ---- the parts ---- */
static int serve_open_secrets(struct serve *s, struct err *e)
{
    const struct control_config *c = &s->app.conf;
    struct tls_conf host = {.cert_file = c->tls_cert,
                            .key_file = c->tls_key,
                            .ca_file = c->tls_ca,
                            .require_peer = true};
    struct tls_conf open = {.cert_file = c->public_tls_cert, .key_file = c->public_tls_key};
    int r = jwt_signer_load(&s->app.signer, c->session_kid, c->session_key_file, e);

    if (r < 0)
        return err_wrap(e, r, "session_key_file");
    r = boxes_load(&s->app.boxes, c->data_keys_file, e);
    if (r < 0)
        return err_wrap(e, r, "data_keys_file");
    r = tls_ctx_new(&s->host_tls, &host, true, e);
    if (r == 0)
        r = tls_ctx_new(&s->client_tls, &host, false, e);
    if (r < 0)
        return err_wrap(e, r, "tls_cert, tls_key, tls_ca");
    if (*c->public_tls_cert)
        r = tls_ctx_new(&s->public_tls, &open, true, e);
    return r < 0 ? err_wrap(e, r, "public_tls_cert, public_tls_key") : 0;
}

static int serve_open_db(struct serve *s, struct err *e)
{
    struct db_conf conf = {0};
    int r = open_db_conf(&s->app.conf, true, s->arena, &conf, &s->password, e);

    return r < 0 ? r : db_open(&s->app.db, s->app.loop, &conf, e);
}

static void serve_open_parts(struct serve *s)
{
    struct app *a = &s->app;

    a->fleet = fleet_new(a->loop, a->db, (uint32_t)a->conf.heartbeat_fresh_ms);
    a->clients = host_clients_new(a->loop, s->client_tls);
    a->ender = ender_new(a->loop, a->db, a->fleet, a->clients, (uint32_t)a->conf.host_call_ms);
    struct launches_conf launches = {
        .loop = a->loop,
        .db = a->db,
        .fleet = a->fleet,
        .clients = a->clients,
        .ender = a->ender,
        .boxes = a->boxes,
        .total_ms = (uint32_t)a->conf.create_ms,
        .start_ms = (uint32_t)a->conf.host_start_ms,
        .idempotency_keep_s = a->conf.idempotency_keep_s,
        .compose = sandbox_compose,
        .app = a,
    };

    a->launches = launches_new(&launches);
    a->jobs = jobs_new(a);
    heartbeat_register_metrics();
}

/* ---- listeners ---- */
static int serve_listen_one(struct http_server *server, const char *text, struct err *e)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (text[0] == '/')
        return http_server_listen_unix(server, text, 0660, e);
    if (!colon || str_to_u64(colon + 1, &port) < 0 || port > 65535)
        return err_set(e, -EINVAL, "'%s' is not address:port", text);
    size_t len = (size_t)(colon - text);

    if (text[0] == '[' && len > 2) {
        text++;
        len -= 2;
    }
    if (len < 1 || len >= sizeof(host))
        return err_set(e, -EINVAL, "'%s' is not address:port", text);
    memcpy(host, text, len);
    host[len] = '\0';
    return http_server_listen(server, str_eq(host, "localhost") ? "127.0.0.1" : host,
                              (uint16_t)port, false, e);
}

/* A list of addresses with spaces between. */
static int serve_listen(struct http_server *server, const char *key, const char *list,
                        struct err *e)
{
    int r = 0;

    for (list += strspn(list, " "); *list && r == 0; list += strspn(list, " ")) {
        char one[SERVE_ADDR_MAX];
        size_t len = strcspn(list, " ");

        if (len >= sizeof(one))
            return err_set(e, -EINVAL, "%s: an address is too long", key);
        memcpy(one, list, len);
        one[len] = '\0';
        r = serve_listen_one(server, one, e);
        list += len;
    }
    return r < 0 ? err_wrap(e, r, "%s", key) : 0;
}

static int serve_routes(struct serve *s, struct err *e)
{
    const struct route *const tables[] = {sandbox_routes, sandbox_life_routes, limits_routes,
                                          template_routes};
    int r = router_new(&s->public_router, &s->app, authorize_call, e);

    for (size_t i = 0; i < ARRAY_LEN(tables) && r == 0; i++)
        r = router_add(s->public_router, tables[i], e);
    if (r == 0)
        r = router_new(&s->host_router, &s->app, NULL, e);
    return r < 0 ? r : router_add(s->host_router, heartbeat_routes, e);
}

static int serve_open_servers(struct serve *s, struct err *e)
{
    const struct control_config *c = &s->app.conf;
    struct http_server_conf open = {
        .tls = s->public_tls, .name = "public", .on_done = serve_log_request};
    struct http_server_conf hosts = {
        .tls = s->host_tls, .name = "hosts", .on_done = serve_log_report};
    int r = serve_routes(s, e);

    if (r == 0)
        r = http_server_new(&s->public_server, s->app.loop, &open, serve_on_public, s);
    if (r == 0)
        r = http_server_new(&s->host_server, s->app.loop, &hosts, serve_on_host, s);
    if (r == 0)
        r = serve_listen(s->public_server, "public_listen", c->public_listen, e);
    if (r == 0)
        r = serve_listen(s->host_server, "host_listen", c->host_listen, e);
    if (r < 0)
        return r;
    r = health_listen(&s->admin, s->app.loop, c->admin_listen, serve_program, serve_health, s, e);
    return r < 0 ? err_wrap(e, r, "admin_listen") : 0;
}

/* ---- end ---- */
static void serve_on_drain(void *arg)
{
    struct serve *s = arg;
    bool busy = http_server_conns(s->public_server) || launches_count(s->app.launches);

    if (busy && loop_now_ms(s->app.loop) < s->drain_end_ms)
        timer_set(s->drain, SERVE_DRAIN_STEP_MS);
    else
        loop_stop(s->app.loop);
}

static void serve_on_stop(void *arg, int signo)
{
    struct serve *s = arg;

    if (s->draining) {
        loop_stop(s->app.loop);
        return;
    }
    log_info(NULL, "stopping: no new requests, finishing what is under way", "signal",
             strsignal(signo));
    s->draining = true;
    s->drain_end_ms = loop_now_ms(s->app.loop) + SERVE_DRAIN_MS;
    http_server_drain(s->public_server);
    http_server_drain(s->host_server);
    timer_set(s->drain, 1);
}

static void serve_on_hangup(void *arg, int signo)
{
    (void)arg;
    (void)signo;
    log_info(NULL, "nothing is read anew at run time; restart to change the configuration");
}

static void serve_close(struct serve *s)
{
    struct app *a = &s->app;

    health_free(s->admin);
    http_server_free(s->public_server);
    http_server_free(s->host_server);
    jobs_free(a->jobs);
    launches_free(a->launches);
    ender_free(a->ender);
    host_clients_free(a->clients);
    fleet_free(a->fleet);
    db_close(a->db);
    router_free(s->public_router);
    router_free(s->host_router);
    timer_free(s->drain);
    /* What the closing has left to the reaper goes before what it refers to. */
    if (a->loop && loop_turn(a->loop, 0) < 0)
        log_warn(NULL, "the event loop failed at the end");
    loop_free(a->loop);
    tls_ctx_free(s->public_tls);
    tls_ctx_free(s->host_tls);
    tls_ctx_free(s->client_tls);
    jwt_signer_free(a->signer);
    boxes_free(a->boxes);
    secret_deinit(&s->password);
    arena_free(s->arena);
}

static int serve_open(struct serve *s, struct err *e)
{
    int r = config_allowed_cpus(&s->app.conf, s->app.cpus, &s->app.cpus_count, e);

    if (r < 0)
        return r;
    r = loop_new(&s->app.loop);
    if (r < 0)
        return err_set(e, r, "event loop: %s", strerror(-r));
    s->drain = timer_new(s->app.loop, serve_on_drain, s);
    r = loop_signal(s->app.loop, SIGTERM, serve_on_stop, s);
    if (r == 0)
        r = loop_signal(s->app.loop, SIGINT, serve_on_stop, s);
    if (r == 0)
        r = loop_signal(s->app.loop, SIGHUP, serve_on_hangup, s);
    if (r < 0)
        return err_set(e, r, "signals: %s", strerror(-r));
    r = serve_open_secrets(s, e);
    if (r == 0)
        r = serve_open_db(s, e);
    if (r < 0)
        return r;
    serve_open_parts(s);
    return serve_open_servers(s, e);
}

int serve_run(const struct control_config *conf, struct err *e)
{
    struct serve s = {.app.conf = *conf, .arena = arena_new(MIB)};
    enum log_level level = LOG_INFO;
    int r;

    if (log_level_parse(conf->log_level, &level) < 0)
        level = LOG_INFO; /* checked before */
    log_init(serve_program, STDERR_FILENO, level);
    (void)signal(SIGPIPE, SIG_IGN);
    r = serve_open(&s, e);
    if (r == 0) {
        log_info(NULL, "bivouac-control is up", "version", BIVOUAC_VERSION, "public",
                 conf->public_listen, "hosts", conf->host_listen, "admin", conf->admin_listen);
        r = loop_run(s.app.loop);
        log_info(NULL, "bivouac-control has stopped");
    }
    serve_close(&s);
    return r;
}
