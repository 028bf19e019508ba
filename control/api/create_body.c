/* SPDX-License-Identifier: Apache-2.0 */
/* create_body - see create_body.h. */
#include "control/api/create_body.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"
#include "control/config.h"
#include "control/sched/catalog.h"

enum {
    NAME_MAX_BYTES = 128,
    METADATA_MAX = 64,
    METADATA_KEY_MAX = 128,
    METADATA_BYTES_MAX = 16 * KIB,
    ENV_MAX = 512,
    ENV_BYTES_MAX = 128 * KIB,
    REF_MAX = 130,
    INIT_MAX = 16 * KIB,
    NETWORK_LIST_MAX = 256,
    MOUNTS_MAX = 32,
    MOUNT_PATH_MAX = 4096,
};

/* ---- tables ---- */
#define OFFSET(member) offsetof(TYPE, member)
#define FIELD(name_, kind_, member, flags_, max_)                                                  \
    {                                                                                              \
        .name = name_, .kind = kind_, .flags = JSON_NULL_OK | (flags_), .offset = OFFSET(member),  \
        .present = JSON_NO_PRESENT, .max = max_                                                    \
    }
#define FIELD_HAS(name_, kind_, member, has_)                                                      \
    {                                                                                              \
        .name = name_, .kind = kind_, .flags = JSON_NULL_OK, .offset = OFFSET(member),             \
        .present = OFFSET(has_)                                                                    \
    }
#define NETWORK_FIELDS(prefix)                                                                     \
    FIELD_HAS("allow_internet_access", JSON_F_BOOL, prefix internet, prefix has_internet),         \
        FIELD_HAS("allow_public_traffic", JSON_F_BOOL, prefix public_traffic, prefix has_public),  \
        FIELD_HAS("allow_package_registry_access", JSON_F_BOOL, prefix registry,                   \
                  prefix has_registry),                                                            \
        FIELD("allow_out", JSON_F_STRINGS, prefix allow_out, JSON_ONE_OR_MANY, NETWORK_LIST_MAX),  \
        FIELD("deny_out", JSON_F_STRINGS, prefix deny_out, JSON_ONE_OR_MANY, NETWORK_LIST_MAX),    \
        FIELD("egress_profile", JSON_F_ANY, prefix egress_profile, 0, 0),                          \
        FIELD("egress_profiles", JSON_F_ANY, prefix egress_profiles, 0, 0),                        \
        FIELD("network_class", JSON_F_ANY, prefix network_class, 0, 0),                            \
        FIELD("rules", JSON_F_ANY, prefix rules, 0, 0),                                            \
        FIELD("mask_request_host", JSON_F_ANY, prefix mask_request_host, 0, 0)

#define TYPE struct network_body
static const struct json_field network_fields[] = {NETWORK_FIELDS(), {0}};
#undef TYPE
static const struct json_table network_table = {.fields = network_fields,
                                                .size = sizeof(struct network_body)};

#define TYPE struct lifecycle_body
static const struct json_field lifecycle_fields[] = {
    FIELD("on_timeout", JSON_F_STRING, on_timeout, 0, 16),
    FIELD_HAS("auto_resume", JSON_F_BOOL, auto_resume, has_auto_resume),
    {0},
};
#undef TYPE
const struct json_table lifecycle_body_table = {.fields = lifecycle_fields,
                                                .size = sizeof(struct lifecycle_body)};

#define TYPE struct create_body
static const struct json_field create_fields[] = {
    FIELD("template_id|template", JSON_F_ID, template_ref, 0, REF_MAX),
    FIELD("template_version_id", JSON_F_ID, version_id, 0, 64),
    FIELD("snapshot_id|checkpoint_id", JSON_F_ID, checkpoint_id, 0, 64),
    FIELD("team", JSON_F_STRING, team, 0, 63),
    FIELD("name", JSON_F_STRING, name, 0, 4 * KIB),
    FIELD("init", JSON_F_STRING, init, 0, INIT_MAX),
    FIELD_HAS("timeout", JSON_F_INT, timeout, has_timeout),
    FIELD_HAS("cpu|cpu_count|cpus", JSON_F_INT, cpu, has_cpu),
    FIELD_HAS("memory_mb", JSON_F_INT, memory_mb, has_memory),
    {.name = "lifecycle",
     .kind = JSON_F_OBJECT,
     .flags = JSON_NULL_OK,
     .offset = OFFSET(lifecycle),
     .present = OFFSET(has_lifecycle),
     .nested = &lifecycle_body_table},
    FIELD("auto_pause", JSON_F_BOOL, auto_pause, 0, 0),
    FIELD("keep_hot", JSON_F_BOOL, keep_hot, 0, 0),
    FIELD("metadata", JSON_F_MAP, metadata, JSON_STRINGIFY, METADATA_MAX),
    FIELD("env_vars|envs|environment|env", JSON_F_MAP, env, 0, ENV_MAX),
    FIELD("volume_mounts", JSON_F_ANY, volume_mounts, 0, 0),
    FIELD("new_volumes", JSON_F_ANY, new_volumes, 0, 0),
    FIELD("mcp", JSON_F_ANY, mcp, 0, 0),
    NETWORK_FIELDS(network.),
    {.name = "network",
     .kind = JSON_F_OBJECT,
     .flags = JSON_NULL_OK,
     .offset = OFFSET(network_nested),
     .present = JSON_NO_PRESENT,
     .nested = &network_table},
    {0},
};
#undef TYPE
const struct json_table create_body_table = {.fields = create_fields,
                                             .size = sizeof(struct create_body)};

/* ---- checks ---- */
static bool body_bad(struct body_error *e, enum api_error error, const char *field, const char *fmt,
                     ...) printf_like(4, 5);

static bool body_bad(struct body_error *e, enum api_error error, const char *field, const char *fmt,
                     ...)
{
    va_list ap;

    e->error = error;
    e->field = field;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return false;
}

static bool body_unsupported(struct body_error *e, const char *field)
{
    return body_bad(e, API_NOT_SUPPORTED, field, "this is not supported yet");
}

static bool body_given(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        return false;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return json_count(v) > 0;
    default:
        return true;
    }
}

bool body_check_name(const char *name, struct body_error *e)
{
    if (!name)
        return true;
    if (!*name || strlen(name) > NAME_MAX_BYTES)
        return body_bad(e, API_INVALID, "name", "must have 1..%d bytes", NAME_MAX_BYTES);
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return body_bad(e, API_INVALID, "name", "must not hold control characters");
    }
    return true;
}

bool body_check_metadata(const struct json_map *m, struct body_error *e)
{
    size_t bytes = 0;

    for (size_t i = 0; i < m->count; i++) {
        size_t len = strlen(m->items[i].key);

        if (len < 1 || len > METADATA_KEY_MAX)
            return body_bad(e, API_INVALID, "metadata", "names must have 1..%d bytes",
                            METADATA_KEY_MAX);
        bytes += len + strlen(m->items[i].value);
    }
    if (bytes > METADATA_BYTES_MAX)
        return body_bad(e, API_INVALID, "metadata", "must have at most %d bytes",
                        METADATA_BYTES_MAX);
    return true;
}

static bool body_check_env(const struct json_map *m, struct body_error *e)
{
    size_t bytes = 0;

    for (size_t i = 0; i < m->count; i++) {
        const char *key = m->items[i].key;

        if (!*key || strchr(key, '='))
            return body_bad(e, API_INVALID, "env_vars", "names must not be empty or hold '='");
        bytes += strlen(key) + strlen(m->items[i].value);
    }
    if (bytes > ENV_BYTES_MAX)
        return body_bad(e, API_INVALID, "env_vars", "must have at most %d bytes", ENV_BYTES_MAX);
    return true;
}

bool body_check_lifecycle(const struct lifecycle_body *l, struct body_error *e)
{
    bool pause = str_eq(l->on_timeout, "pause");

    if (l->on_timeout && !pause && !str_eq(l->on_timeout, "kill"))
        return body_bad(e, API_INVALID, "lifecycle.on_timeout", "must be kill or pause");
    if (l->auto_resume && !pause)
        return body_bad(e, API_INVALID, "lifecycle.auto_resume", "needs on_timeout to be pause");
    if (pause)
        return body_unsupported(e, "lifecycle.on_timeout");
    return true;
}

static bool body_check_mount(const char *path, const char *name, struct body_error *e)
{
    if (!path || path[0] != '/' || strlen(path) > MOUNT_PATH_MAX)
        return body_bad(e, API_INVALID, "volume_mounts", "paths must be absolute");
    if (!name || !slug_valid(name))
        return body_bad(
            e, API_INVALID, "volume_mounts",
            "names must begin with a letter and have 1..63 letters, digits, '.', '_' or '-'");
    return true;
}

/* {"/path": "name"} or [{"name", "path"}] */
static bool body_check_mounts(const struct json *v, struct body_error *e)
{
    struct json_iter it = JSON_ITER_INIT;
    const struct json *item;
    const char *key;

    if (json_type(v) == JSON_NULL)
        return true;
    if (json_type(v) != JSON_OBJECT && json_type(v) != JSON_ARRAY)
        return body_bad(e, API_INVALID, "volume_mounts", "must be an object or an array");
    if (json_count(v) > MOUNTS_MAX)
        return body_bad(e, API_INVALID, "volume_mounts", "at most %d mounts", MOUNTS_MAX);
    while (json_type(v) == JSON_OBJECT && json_next(v, &it, &key, &item)) {
        if (!body_check_mount(key, json_str(item), e))
            return false;
    }
    for (size_t i = 0; json_type(v) == JSON_ARRAY && i < json_count(v); i++) {
        item = json_at(v, i);
        if (!body_check_mount(json_str(json_get(item, "path")), json_str(json_get(item, "name")),
                              e))
            return false;
    }
    return json_count(v) == 0 || body_unsupported(e, "volume_mounts");
}

static bool body_check_network(const struct network_body *n, struct body_error *e)
{
    const struct {
        const char *name;
        bool given;
    } refused[] = {
        {"allow_internet_access", n->has_internet && !n->internet},
        {"allow_public_traffic", n->has_public && !n->public_traffic},
        {"allow_out", n->allow_out.count > 0},
        {"deny_out", n->deny_out.count > 0},
        {"egress_profile", body_given(n->egress_profile)},
        {"egress_profiles", body_given(n->egress_profiles)},
        {"network_class", body_given(n->network_class)},
        {"rules", body_given(n->rules)},
        {"mask_request_host", body_given(n->mask_request_host)},
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (refused[i].given)
            return body_unsupported(e, refused[i].name);
    }
    return true;
}

static bool body_check_size(const struct create_body *b, const struct control_config *conf,
                            struct body_error *e)
{
    int64_t cpus[CONFIG_CPUS_MAX];
    unsigned count = 0, i = 0;

    if (b->has_cpu) {
        if (config_allowed_cpus(conf, cpus, &count, NULL) < 0)
            count = 0; /* checked at start-up */
        while (i < count && cpus[i] != b->cpu)
            i++;
        if (i == count)
            return body_bad(e, API_INVALID, "cpu", "must be one of %s", conf->allowed_cpus);
    }
    if (b->has_memory &&
        (b->memory_mb < conf->memory_min_mb || b->memory_mb > conf->memory_max_mb ||
         b->memory_mb % conf->memory_increment_mb))
        return body_bad(e, API_INVALID, "memory_mb", "must be %lld..%lld in steps of %lld",
                        (long long)conf->memory_min_mb, (long long)conf->memory_max_mb,
                        (long long)conf->memory_increment_mb);
    return true;
}

static bool body_check_timeout(struct create_body *b, const struct control_config *conf,
                               struct body_error *e)
{
    if (!b->has_timeout)
        b->timeout = conf->default_timeout_s;
    if (b->timeout < 1 || b->timeout > conf->max_timeout_s)
        return body_bad(e, API_INVALID, "timeout", "must be 1..%lld",
                        (long long)conf->max_timeout_s);
    return true;
}

static bool body_check_sources(const struct create_body *b, struct body_error *e)
{
    if (b->checkpoint_id)
        return body_unsupported(e, "checkpoint_id");
    if (b->init && *b->init)
        return body_unsupported(e, "init");
    if (body_given(b->new_volumes))
        return body_unsupported(e, "new_volumes");
    if (b->template_ref && !*b->template_ref)
        return body_bad(e, API_INVALID, "template_id", "must not be empty");
    return true;
}

bool create_body_check(struct create_body *b, const struct control_config *conf,
                       struct body_error *e)
{
    if (b->auto_pause && !b->lifecycle.on_timeout)
        b->lifecycle.on_timeout = (char *)"pause";
    if (b->auto_pause && str_eq(b->lifecycle.on_timeout, "kill"))
        return body_bad(e, API_INVALID, "auto_pause", "contradicts lifecycle.on_timeout");
    if (!body_check_timeout(b, conf, e) || !body_check_name(b->name, e) ||
        !body_check_metadata(&b->metadata, e) || !body_check_env(&b->env, e) ||
        !body_check_size(b, conf, e) || !body_check_lifecycle(&b->lifecycle, e) ||
        !body_check_mounts(b->volume_mounts, e) || !body_check_network(&b->network, e) ||
        !body_check_network(&b->network_nested, e))
        return false;
    if (!b->lifecycle.on_timeout)
        b->lifecycle.on_timeout = (char *)"kill";
    return body_check_sources(b, e);
}

/* ---- as it is stored ---- */
static char *body_finish(struct json_writer *w, struct buf *out, struct arena *a)
{
    return json_writer_end(w) == 0 ? arena_strndup(a, (const char *)buf_data(out), out->len) : NULL;
}

char *body_map_json(const struct json_map *m, struct arena *a)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(MIB);
    struct json_writer w;

    json_writer_init(&w, &out);
    jw_object(&w);
    for (size_t i = 0; i < m->count; i++)
        jw_kstr(&w, m->items[i].key, m->items[i].value);
    jw_object_end(&w);
    return body_finish(&w, &out, a);
}

/* Only what differs from this is refused so far, but for the registry, which matters only without
 * the internet. */
char *body_network_json(const struct create_body *b, struct arena *a)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(64 * KIB);
    bool registry =
        b->network_nested.has_registry ? b->network_nested.registry : b->network.registry;
    struct json_writer w;

    json_writer_init(&w, &out);
    jw_object(&w);
    jw_kbool(&w, "allow_internet_access", true);
    jw_kbool(&w, "allow_public_traffic", true);
    jw_karray(&w, "allow_out");
    jw_array_end(&w);
    jw_karray(&w, "deny_out");
    jw_array_end(&w);
    jw_kbool(&w, "allow_package_registry_access", registry);
    jw_object_end(&w);
    return body_finish(&w, &out, a);
}
