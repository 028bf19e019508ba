/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_json - see sandbox_json.h. */
#include "control/api/sandbox_json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/jwt/jwt.h"
#include "control/app.h"
#include "control/auth/session.h"
#include "control/db/sandboxes.h"

static void write_id(struct json_writer *w, const char *key, int64_t id)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)id);
    jw_kstr(w, key, text);
}

static void write_time(struct json_writer *w, const char *key, int64_t us)
{
    char text[CLOCK_RFC3339_SIZE];

    if (us <= 0) {
        jw_knull(w, key);
        return;
    }
    clock_rfc3339(us, 3, text);
    jw_kstr(w, key, text);
}

static void write_raw(struct json_writer *w, const char *key, const char *json)
{
    jw_key(w, key);
    jw_raw(w, json, strlen(json));
}

void data_plane_url(const struct app *app, const char *prefix, const char *route_token,
                    char out[URL_MAX], const char **host)
{
    const struct control_config *c = &app->conf;
    int64_t usual = str_eq(c->url_scheme, "https") ? 443 : 80;
    char port[8] = "";

    if (c->data_plane_port && c->data_plane_port != usual)
        snprintf(port, sizeof(port), ":%u", (unsigned)c->data_plane_port);
    snprintf(out, URL_MAX, "%s://%s%s.sandbox.%s%s", c->url_scheme, prefix, route_token, c->domain,
             port);
    if (host)
        *host = strstr(out, "://") + 3;
}

static void write_template(struct json_writer *w, const struct sandbox_row *s)
{
    jw_kstr(w, "template_id", s->template_slug);
    jw_kobject(w, "template");
    write_id(w, "id", s->template_id);
    jw_kstr(w, "slug", s->template_slug);
    jw_kstr(w, "name", s->template_name);
    jw_object_end(w);
    jw_kstr(w, "template_version", s->version);
    jw_kint(w, "template_version_id", s->version_id);
}

static void write_lifecycle(struct json_writer *w, const struct sandbox_row *s)
{
    jw_kobject(w, "lifecycle");
    jw_kstr(w, "on_timeout", s->on_timeout);
    jw_kbool(w, "auto_resume", s->auto_resume);
    jw_object_end(w);
    jw_kbool(w, "keep_hot", s->keep_hot);
}

void sandbox_write(struct json_writer *w, const struct app *app, const struct sandbox_row *s)
{
    char url[URL_MAX];

    data_plane_url(app, "", s->route_token, url, NULL);
    jw_object(w);
    write_id(w, "id", s->id);
    jw_kstr(w, "state", s->state);
    jw_kstr(w, "name", s->name);
    jw_kstr(w, "team", s->team);
    write_template(w, s);
    jw_kstr(w, "route_token", s->route_token);
    jw_kint(w, "timeout", s->timeout_s);
    write_time(w, "deadline_at", s->deadline_us);
    write_time(w, "end_at", s->deadline_us);
    write_time(w, "started_at", s->started_us);
    write_time(w, "created_at", s->created_us);
    write_lifecycle(w, s);
    write_raw(w, "metadata", s->metadata);
    jw_karray(w, "volume_mounts");
    jw_array_end(w);
    jw_kint(w, "cpu_count", s->cpu_count);
    jw_kint(w, "memory_mb", s->memory_mb);
    jw_kstr(w, "data_plane_url", url);
    jw_kstr(w, "sandbox_domain", app->conf.domain);
    jw_kbool(w, "allow_internet_access", true); /* switching it off is refused so far */
    write_raw(w, "network", s->network);
    if (s->ended_us) {
        write_time(w, "ended_at", s->ended_us);
        jw_kstr(w, "end_reason", s->end_reason);
    }
    jw_object_end(w);
}

int session_write(struct json_writer *w, const struct app *app, const struct sandbox_row *s)
{
    struct session_claims c = {.issued_at = clock_real_ms() / 1000};
    char url[URL_MAX];
    char *token = NULL;
    int r;

    c.expires_at = session_expiry(c.issued_at, s->deadline_us / 1000000);
    snprintf(c.sandbox_id, sizeof(c.sandbox_id), "%lld", (long long)s->id);
    snprintf(c.team, sizeof(c.team), "%lld", (long long)s->team_id);
    (void)str_copy(c.scope, sizeof(c.scope), "read write");
    if (!str_copy(c.route_token, sizeof(c.route_token), s->route_token))
        return -EINVAL;
    id_random(c.jti, 24);
    r = jwt_sign_session(app->signer, &c, &token);
    if (r < 0)
        return r;
    data_plane_url(app, "", s->route_token, url, NULL);
    jw_object(w);
    jw_kstr(w, "data_plane_url", url);
    jw_kstr(w, "access_token", token);
    jw_kstr(w, "token", token);
    write_time(w, "expires_at", c.expires_at * 1000000);
    jw_kstr(w, "sandbox_domain", app->conf.domain);
    jw_object_end(w);
    free(token);
    return 0;
}

static int answer(const struct app *app, const struct sandbox_row *s, struct buf *out,
                  bool with_session)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_key(&w, "sandbox");
    sandbox_write(&w, app, s);
    if (with_session) {
        jw_key(&w, "session");
        int r = session_write(&w, app, s);

        if (r < 0)
            return r;
    }
    jw_object_end(&w);
    return json_writer_end(&w);
}

int sandbox_answer(const struct app *app, const struct sandbox_row *s, struct buf *out)
{
    return answer(app, s, out, false);
}

int sandbox_answer_session(const struct app *app, const struct sandbox_row *s, struct buf *out)
{
    return answer(app, s, out, true);
}

int sandbox_compose(void *app, const struct sandbox_row *s, struct buf *out)
{
    return sandbox_answer_session(app, s, out);
}
