/* SPDX-License-Identifier: Apache-2.0 */
/* templates - the routes that read templates and their versions. */
#include <stdio.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "control/api/api.h"
#include "control/api/errors.h"
#include "control/app.h"
#include "control/auth/authorize.h"
#include "control/db/pool.h"
#include "control/sched/catalog.h"
#include "control/sched/fleet.h"

enum { TEMPLATES_ANSWER_MAX = 8 * MIB };

/* What a route writes once the catalog is fresh; answers 404 itself and returns false. */
typedef bool templates_write_fn(struct api_call *x, const struct catalog *c, struct json_writer *w);

struct templates {
    struct api_call call;
    templates_write_fn *write;
};

static void write_id(struct json_writer *w, const char *key, int64_t id)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)id);
    jw_kstr(w, key, text);
}

static void write_template(struct json_writer *w, const struct catalog *c,
                           const struct template_row *t)
{
    jw_object(w);
    write_id(w, "id", t->id);
    jw_kstr(w, "slug", t->slug);
    jw_kstr(w, "name", t->name);
    jw_knull(w, "team");
    jw_kstr(w, "visibility", "provider");
    jw_kstr(w, "status", catalog_latest(c, t->id) ? "ready" : "building");
    jw_kstr(w, "description", t->description);
    jw_key(w, "metadata");
    jw_raw(w, t->metadata, strlen(t->metadata));
    jw_object_end(w);
}

static void write_version(struct json_writer *w, const struct template_row *t,
                          const struct version_row *v)
{
    char at[CLOCK_RFC3339_SIZE];

    jw_object(w);
    write_id(w, "id", v->id);
    write_id(w, "template_id", t->id);
    jw_kstr(w, "template_slug", t->slug);
    jw_kstr(w, "version", v->version);
    jw_kstr(w, "status", v->status);
    jw_kstr(w, "source_kind", v->source_kind);
    jw_kstr(w, "architecture", v->architecture);
    jw_kstr(w, "default_user", v->default_user);
    jw_kstr(w, "workdir", v->workdir);
    jw_kobject(w, "runtime_baseline");
    jw_kint(w, "cpu", v->cpu_count);
    jw_kint(w, "memory_mb", v->memory_mb);
    jw_object_end(w);
    jw_knull(w, "build_spec"); /* images are built by the operator: no steps of ours, no log */
    jw_kint(w, "build_log_entry_count", 0);
    jw_karray(w, "latest_build_log_entries");
    jw_array_end(w);
    jw_knull(w, "build_failure");
    jw_kstr(w, "last_error_message", v->error_message);
    if (v->built_us)
        clock_rfc3339(v->built_us, 3, at);
    jw_kstr(w, "built_at", v->built_us ? at : NULL);
    jw_object_end(w);
}

static bool list_templates(struct api_call *x, const struct catalog *c, struct json_writer *w)
{
    (void)x;
    jw_karray(w, "sandbox_templates");
    for (size_t i = 0; i < c->templates_count; i++)
        write_template(w, c, &c->templates[i]);
    jw_array_end(w);
    return true;
}

static const struct template_row *find_template(struct api_call *x, const struct catalog *c)
{
    const struct template_row *t = catalog_template(c, x->route->params[0]);

    if (!t)
        api_fail(x->req, API_TEMPLATE_NOT_FOUND, NULL);
    return t;
}

static bool get_template(struct api_call *x, const struct catalog *c, struct json_writer *w)
{
    const struct template_row *t = find_template(x, c);

    if (!t)
        return false;
    jw_key(w, "sandbox_template");
    write_template(w, c, t);
    return true;
}

static bool list_versions(struct api_call *x, const struct catalog *c, struct json_writer *w)
{
    const struct template_row *t = find_template(x, c);

    if (!t)
        return false;
    jw_karray(w, "sandbox_template_versions");
    for (size_t i = 0; i < c->versions_count; i++) {
        if (c->versions[i].template_id == t->id)
            write_version(w, t, &c->versions[i]);
    }
    jw_array_end(w);
    return true;
}

static bool get_version(struct api_call *x, const struct catalog *c, struct json_writer *w)
{
    const struct template_row *t = find_template(x, c);
    const struct version_row *v = t ? catalog_version(c, t->id, x->route->params[1]) : NULL;

    if (t && !v)
        api_fail(x->req, API_VERSION_NOT_FOUND, NULL);
    if (!v)
        return false;
    jw_key(w, "sandbox_template_version");
    write_version(w, t, v);
    return true;
}

static void templates_on_catalog(void *arg, int r)
{
    struct templates *x = arg;
    cleanup(buf_deinit) struct buf out = BUF_INIT(TEMPLATES_ANSWER_MAX);
    struct json_writer w;

    if (r != DB_OK) {
        api_fail(x->call.req, API_OVERLOADED, "the database cannot be reached now");
        return;
    }
    json_writer_init(&w, &out);
    jw_object(&w);
    if (!x->write(&x->call, fleet_catalog(x->call.app->fleet), &w))
        return;
    jw_object_end(&w);
    api_reply_json(x->call.req, 200, json_writer_end(&w), &out);
}

static void templates_begin(struct route_call *c, templates_write_fn *write_fn)
{
    struct templates *x = api_begin(c, sizeof(*x));

    if (!x)
        return;
    x->write = write_fn;
    fleet_refresh(x->call.app->fleet, &x->call.op, templates_on_catalog, x);
}

static void templates_list(struct route_call *c)
{
    templates_begin(c, list_templates);
}

static void template_get(struct route_call *c)
{
    templates_begin(c, get_template);
}

static void versions_list(struct route_call *c)
{
    templates_begin(c, list_versions);
}

static void version_get(struct route_call *c)
{
    templates_begin(c, get_version);
}

const struct route template_routes[] = {
    {HTTP_GET, "/v1/sandbox_templates", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, templates_list,
     "templates.list"},
    {HTTP_GET, "/v1/sandbox_templates/{id}", SCOPE_READ, ROUTE_NO_BODY, 0, NULL, template_get,
     "templates.get"},
    {HTTP_GET, "/v1/sandbox_templates/{id}/versions", SCOPE_READ, ROUTE_NO_BODY, 0, NULL,
     versions_list, "template_versions.list"},
    {HTTP_GET, "/v1/sandbox_templates/{id}/versions/{version}", SCOPE_READ, ROUTE_NO_BODY, 0, NULL,
     version_get, "template_versions.get"},
    {0},
};
