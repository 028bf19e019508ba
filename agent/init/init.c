/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init - a table of steps. Each may be repeated; the token and the thaw come last, so that after any failure the old token is in force and
 * no user code has run.
 */
#include "agent/init/init.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include "agent/agent.h"
#include "agent/init/cgroup.h"
#include "agent/init/identity.h"
#include "agent/init/power.h"
#include "agent/init/quiesce.h"
#include "agent/invalid.h"
#include "agent/procs/env.h"
#include "agent/procs/link.h"
#include "agent/procs/procs.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/loop/loop.h"
#include "common/wire/agent_init.h"

enum { INIT_BODY_MAX = 4 * MIB };

static int step_entropy(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) a;
    return identity_add_entropy(m->entropy.data, m->entropy.len, e);
}

static int step_clock(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) a;
    return identity_set_clock(m->time_ns, e);
}

static int step_hostname(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) a;
    return identity_set_hostname(m->hostname, e);
}

static int step_machine_id(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) a;
    return identity_set_machine_id(m->machine_id, e);
}

static int step_env(struct agent *a, const struct agent_init *m, struct err *e)
{
    struct json_map copy;

    (void) e;
    env_map_copy(&copy, &m->env);
    env_map_wipe(&a->env);
    a->env = copy;
    return 0;
}

static int step_token(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) e;
    if (!secret_equal(&a->token, m->token, strlen(m->token))) {
        secret_set(&a->previous, a->token.bytes, a->token.len);
        secret_set(&a->token, m->token, strlen(m->token));
        links_cut_all(a->links);
    }
    free(a->sandbox_id);
    a->sandbox_id = xstrdup(m->sandbox_id);
    a->generation = m->generation;
    a->inits++;
    return 0;
}

static int step_thaw(struct agent *a, const struct agent_init *m, struct err *e)
{
    (void) a;
    (void) m;
    return cgroup_thaw(e);
}

static const struct {
    const char *name;
    int (*fn)(struct agent *a, const struct agent_init *m, struct err *e);
    bool machine_only;
} init_steps[] = {
    {"entropy", step_entropy, true},       {"clock", step_clock, true}, {"hostname", step_hostname, true},
    {"machine_id", step_machine_id, true}, {"env", step_env, false},    {"token", step_token, false},
    {"thaw", step_thaw, true},
};

static int init_run(struct agent *a, const struct agent_init *m, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(init_steps); i++) {
        int r = init_steps[i].machine_only && !a->machine ? 0 : init_steps[i].fn(a, m, e);

        if (r < 0) {
            log_error(NULL, "init failed", "step", init_steps[i].name, "reason", err_text(e, r));
            return err_wrap(e, r, "%s", init_steps[i].name);
        }
    }
    return 0;
}

/* ---- before any step ---- */

/* false: an error has been answered. */
static bool init_check(struct http_req *r, const struct agent_init *m)
{
    if (strspn(m->token, "0123456789abcdef") != AGENT_TOKEN_LEN)
        reply_invalid(r, "token", "must be 64 lower-case hex digits");
    else if (!hostname_ok(m->hostname))
        reply_invalid(r, "hostname", "must be 1..64 letters, digits, dots and dashes");
    else if (!machine_id_ok(m->machine_id))
        reply_invalid(r, "machine_id", "must be 32 lower-case hex digits");
    else if (env_map_check(&m->env, NULL) != ENV_E_OK)
        reply_invalid(r, "env", "a name must not be empty or hold '='");
    else
        return true;
    return false;
}

/* The machine may be a copy of another sandbox: generations are compared within one only. */
static bool init_is_stale(const struct agent *a, const struct agent_init *m)
{
    return a->sandbox_id && str_eq(a->sandbox_id, m->sandbox_id) && m->generation < a->generation;
}

static bool init_repeats_last(const struct agent *a, const struct agent_init *m)
{
    return a->sandbox_id && str_eq(a->sandbox_id, m->sandbox_id) && m->generation == a->generation &&
           secret_equal(&a->token, m->token, strlen(m->token));
}

static void init_reply(struct http_req *r)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(1024);
    const struct agent_init_result res = {.ok = true, .agent_version = (char *) BIVOUAC_VERSION, .link_version = AGENT_LINK_VERSION};

    if (agent_init_result_write(&json, &res) < 0)
        abort(); /* three words */
    http_reply_json(r, 200, &json);
}

static void init_post(struct route_call *c)
{
    const struct agent_init *m = c->body;
    struct agent *a = c->app;
    struct err e = ERR_INIT;

    /* c->who is set when the token was the one before */
    if (c->who && !init_repeats_last(a, m)) {
        http_reply_error(c->req, 401, "unauthorized", "the token is not valid any more");
        return;
    }
    if (!init_check(c->req, m))
        return;
    if (init_is_stale(a, m)) {
        http_reply_error(c->req, 409, "stale_generation", "this machine has been initialised with a higher generation");
        return;
    }
    quiesce_cancel(a->quiesce);
    if (init_run(a, m, &e) < 0)
        http_reply_error(c->req, 500, "init_failed", e.text);
    else
        init_reply(c->req);
}

/* ---- quiesce, shutdown ---- */

struct quiesce_body {
    bool freeze, has_freeze;
};
static const struct json_field quiesce_fields[] = {
    {.name = "freeze", .kind = JSON_F_BOOL, .flags = JSON_NULL_OK, .offset = offsetof(struct quiesce_body, freeze), .present = offsetof(struct quiesce_body, has_freeze)},
    {0},
};
static const struct json_table quiesce_table = {.fields = quiesce_fields, .size = sizeof(struct quiesce_body)};

static void quiesce_post(struct route_call *c)
{
    const struct quiesce_body *b = c->body;
    struct agent *a = c->app;

    quiesce_begin(a->quiesce, c->req, !b->has_freeze || b->freeze);
}

struct shutdown_body {
    char *mode;
};
static const struct json_field shutdown_fields[] = {
    {.name = "mode", .kind = JSON_F_STRING, .flags = JSON_NULL_OK, .offset = offsetof(struct shutdown_body, mode), .present = JSON_NO_PRESENT, .max = 16},
    {0},
};
static const struct json_table shutdown_table = {.fields = shutdown_fields, .size = sizeof(struct shutdown_body)};

static void shutdown_post(struct route_call *c)
{
    const struct shutdown_body *b = c->body;
    struct agent *a = c->app;
    bool reboot = str_eq(b->mode, "reboot");

    if (b->mode && !reboot && !str_eq(b->mode, "poweroff")) {
        reply_invalid(c->req, "mode", "must be poweroff or reboot");
        return;
    }
    http_reply(c->req, 202, "application/json", "{\"ok\":true}", 11);
    power_begin(a->power, reboot ? POWER_REBOOT : POWER_OFF);
}

/* ---- health ---- */

static uint64_t memory_available(void)
{
    cleanup(freep) char *line = NULL;
    size_t size = 0;
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    while (f && getline(&line, &size, f) > 0) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib * 1024;
}

static void health_machine(struct json_writer *w)
{
    struct sysinfo si;
    struct statvfs fs;

    if (sysinfo(&si) == 0) {
        jw_kint(w, "uptime_s", si.uptime);
        jw_karray(w, "load");
        for (int i = 0; i < 3; i++)
            jw_double(w, (double) si.loads[i] / (1 << SI_LOAD_SHIFT));
        jw_array_end(w);
        jw_kobject(w, "memory");
        jw_ku64(w, "total_bytes", (uint64_t) si.totalram * si.mem_unit);
        jw_ku64(w, "available_bytes", memory_available());
        jw_object_end(w);
    }
    if (statvfs("/", &fs) == 0) {
        jw_kobject(w, "disk");
        jw_ku64(w, "total_bytes", (uint64_t) fs.f_blocks * fs.f_frsize);
        jw_ku64(w, "free_bytes", (uint64_t) fs.f_bavail * fs.f_frsize);
        jw_object_end(w);
    }
}

static void health_get(struct route_call *c)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(4096);
    struct agent *a = c->app;
    struct json_writer w;

    json_writer_init(&w, &json);
    jw_object(&w);
    jw_kbool(&w, "ok", true);
    jw_kstr(&w, "agent_version", BIVOUAC_VERSION);
    jw_kint(&w, "link_version", AGENT_LINK_VERSION);
    jw_kbool(&w, "initialised", a->inits > 0);
    jw_ku64(&w, "generation", a->generation);
    jw_kbool(&w, "frozen", cgroup_present() && cgroup_frozen());
    health_machine(&w);
    jw_kobject(&w, "processes");
    jw_ku64(&w, "running", a->procs->active);
    jw_ku64(&w, "finished", a->procs->finished);
    jw_ku64(&w, "frame_bytes", a->procs->budget.bytes);
    jw_object_end(&w);
    jw_ku64(&w, "links", links_count(a->links));
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        abort(); /* a dozen numbers */
    http_reply_json(c->req, 200, &json);
}

static void link_get(struct route_call *c)
{
    struct agent *a = c->app;

    links_accept(a->links, c->req);
}

const struct route init_routes[] = {
    {.method = HTTP_POST, .pattern = "/agent/v1/init", .scope = AGENT_SCOPE_INIT, .body = ROUTE_JSON, .body_max = INIT_BODY_MAX,
     .table = &agent_init_table, .fn = init_post, .name = "agent.init"},
    {.method = HTTP_POST, .pattern = "/agent/v1/quiesce", .body = ROUTE_JSON, .body_max = 4 * KIB, .table = &quiesce_table,
     .fn = quiesce_post, .name = "agent.quiesce"},
    {.method = HTTP_POST, .pattern = "/agent/v1/shutdown", .body = ROUTE_JSON, .body_max = 4 * KIB, .table = &shutdown_table,
     .fn = shutdown_post, .name = "agent.shutdown"},
    {.method = HTTP_GET, .pattern = "/agent/v1/health", .fn = health_get, .name = "agent.health"},
    {.method = HTTP_GET, .pattern = "/agent/v1/link", .fn = link_get, .name = "agent.link"},
    {0},
};
