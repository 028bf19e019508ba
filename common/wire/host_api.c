/* SPDX-License-Identifier: Apache-2.0 */
/* host_api - see host_api.h; tables first, writers below. */
#include "common/wire/host_api.h"
#include "common/base/buf.h"
#include "common/wire/fields.h"

enum { HOST_VMS_MAX = 10000, HOST_TEMPLATES_MAX = 1000, HOST_CPUS_MAX = 1024, HOST_MEMORY_MAX_MB = 16 * 1024 * 1024 };

#define T struct host_template_ref
static const struct json_field template_ref_fields[] = {
    F_TEXT(T, "slug", slug, JSON_REQUIRED, 1, 63),
    F_TEXT(T, "version", version, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_END,
};
#undef T
static const struct json_table template_ref_table = {.fields = template_ref_fields, .size = sizeof(struct host_template_ref)};

#define T struct host_vm_spec
static const struct json_field vm_spec_fields[] = {
    F_U64(T, "generation", generation, JSON_REQUIRED),
    F_NESTED(T, "template", template_ref, JSON_REQUIRED, &template_ref_table),
    F_INT(T, "cpu_count", cpu_count, JSON_REQUIRED, 1, HOST_CPUS_MAX),
    F_INT(T, "memory_mb", memory_mb, JSON_REQUIRED, 1, HOST_MEMORY_MAX_MB),
    F_TEXT(T, "route_token", route_token, JSON_REQUIRED, 20, 40),
    F_TEXT(T, "team", team, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_TEXT(T, "hostname", hostname, JSON_REQUIRED, 1, 64),
    F_INT(T, "deadline_ms", deadline_ms, JSON_REQUIRED, 0, INT64_MAX),
    F_TEXT(T, "on_timeout", on_timeout, JSON_REQUIRED, 1, 16),
    F_MAP(T, "env", env, JSON_NULL_OK),
    F_END,
};
#undef T
const struct json_table host_vm_spec_table = {.fields = vm_spec_fields, .size = sizeof(struct host_vm_spec)};

#define T struct host_timings
static const struct json_field timings_fields[] = {
    F_INT(T, "slot", slot, 0, 0, INT64_MAX),   F_INT(T, "qemu", qemu, 0, 0, INT64_MAX),
    F_INT(T, "state", state, 0, 0, INT64_MAX), F_INT(T, "run", run, 0, 0, INT64_MAX),
    F_INT(T, "init", init, 0, 0, INT64_MAX),   F_INT(T, "total", total, 0, 0, INT64_MAX),
    F_END,
};
#undef T
static const struct json_table timings_table = {.fields = timings_fields, .size = sizeof(struct host_timings)};

#define T struct host_vm
static const struct json_field vm_fields[] = {
    F_(T, JSON_F_ID, "id", id, JSON_REQUIRED, 1, WIRE_ID_MAX, NULL),
    F_U64(T, "generation", generation, JSON_REQUIRED),
    F_TEXT(T, "state", state, JSON_REQUIRED, 1, 32),
    F_TEXT(T, "end_reason", end_reason, JSON_NULL_OK, 1, 32),
    F_INT(T, "started_at_ms", started_at_ms, 0, 0, INT64_MAX),
    F_INT(T, "ended_at_ms", ended_at_ms, 0, 0, INT64_MAX),
    F_INT(T, "deadline_ms", deadline_ms, 0, 0, INT64_MAX),
    F_INT(T, "cpu_count", cpu_count, 0, 0, HOST_CPUS_MAX),
    F_INT(T, "memory_mb", memory_mb, 0, 0, HOST_MEMORY_MAX_MB),
    F_NESTED(T, "template", template_ref, 0, &template_ref_table),
    {.name = "timings_us", .kind = JSON_F_OBJECT, .offset = offsetof(T, timings_us), .present = offsetof(T, has_timings),
     .nested = &timings_table},
    F_END,
};
#undef T
const struct json_table host_vm_table = {.fields = vm_fields, .size = sizeof(struct host_vm)};

static const struct json_field vm_reply_fields[] = {
    {.name = "vm", .kind = JSON_F_OBJECT, .flags = JSON_REQUIRED, .offset = 0, .present = JSON_NO_PRESENT, .nested = &host_vm_table},
    F_END,
};
const struct json_table host_vm_reply_table = {.fields = vm_reply_fields, .size = sizeof(struct host_vm)};

#define T struct host_template
static const struct json_field template_fields[] = {
    F_TEXT(T, "slug", slug, JSON_REQUIRED, 1, 63),
    F_TEXT(T, "version", version, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_TEXT(T, "status", status, JSON_REQUIRED, 1, 32),
    F_INT(T, "cpu_count", cpu_count, 0, 0, HOST_CPUS_MAX),
    F_INT(T, "memory_mb", memory_mb, 0, 0, HOST_MEMORY_MAX_MB),
    F_TEXT(T, "message", message, JSON_NULL_OK, 0, WIRE_TEXT_MAX),
    F_END,
};
#undef T
static const struct json_table template_table = {.fields = template_fields, .size = sizeof(struct host_template)};

#define T struct host_capacity
static const struct json_field capacity_fields[] = {
    F_INT(T, "vcpus", vcpus, JSON_REQUIRED, 0, INT32_MAX),
    F_INT(T, "memory_mb", memory_mb, JSON_REQUIRED, 0, INT32_MAX),
    F_INT(T, "vms", vms, JSON_REQUIRED, 0, INT32_MAX),
    F_END,
};
#undef T
static const struct json_table capacity_table = {.fields = capacity_fields, .size = sizeof(struct host_capacity)};

#define T struct host_disk
static const struct json_field disk_fields[] = {
    F_INT(T, "bytes_total", bytes_total, JSON_REQUIRED, 0, INT64_MAX),
    F_INT(T, "bytes_free", bytes_free, JSON_REQUIRED, 0, INT64_MAX),
    F_END,
};
#undef T
static const struct json_table disk_table = {.fields = disk_fields, .size = sizeof(struct host_disk)};

#define T struct host_heartbeat
static const struct json_field heartbeat_fields[] = {
    F_TEXT(T, "host_api_url", host_api_url, JSON_REQUIRED, 1, 2048),
    F_TEXT(T, "gateway_url", gateway_url, JSON_REQUIRED, 1, 2048),
    F_TEXT(T, "version", version, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_TEXT(T, "accelerator", accelerator, JSON_REQUIRED, 1, 32),
    F_NESTED(T, "capacity", capacity, JSON_REQUIRED, &capacity_table),
    F_NESTED(T, "used", used, JSON_REQUIRED, &capacity_table),
    F_NESTED(T, "disk", disk, JSON_REQUIRED, &disk_table),
    F_ARRAY(T, "templates", templates, JSON_REQUIRED, HOST_TEMPLATES_MAX, &template_table),
    F_ARRAY(T, "vms", vms, JSON_REQUIRED, HOST_VMS_MAX, &host_vm_table),
    F_END,
};
#undef T
const struct json_table host_heartbeat_table = {.fields = heartbeat_fields, .size = sizeof(struct host_heartbeat)};

#define T struct host_self
static const struct json_field self_fields[] = {
    F_TEXT(T, "name", name, JSON_REQUIRED, 1, 253),
    F_BOOL(T, "drain", drain, JSON_REQUIRED),
    F_END,
};
#undef T
static const struct json_table self_table = {.fields = self_fields, .size = sizeof(struct host_self)};

#define T struct host_heartbeat_reply
static const struct json_field heartbeat_reply_fields[] = {
    F_NESTED(T, "host", host, JSON_REQUIRED, &self_table),
    F_STRINGS(T, "ended_ack", ended_ack, 0, HOST_VMS_MAX),
    F_INT(T, "now_ms", now_ms, JSON_REQUIRED, 0, INT64_MAX),
    F_END,
};
#undef T
const struct json_table host_heartbeat_reply_table = {.fields = heartbeat_reply_fields,
                                                      .size = sizeof(struct host_heartbeat_reply)};

#define T struct host_deadline
static const struct json_field deadline_fields[] = {
    F_U64(T, "generation", generation, JSON_REQUIRED),
    F_INT(T, "deadline_ms", deadline_ms, JSON_REQUIRED, 0, INT64_MAX),
    F_END,
};
#undef T
const struct json_table host_deadline_table = {.fields = deadline_fields, .size = sizeof(struct host_deadline)};

static void write_template_ref(struct json_writer *w, const struct host_template_ref *m)
{
    if (!m->slug)
        return;
    jw_kobject(w, "template");
    jw_kstr(w, "slug", m->slug);
    jw_kstr(w, "version", m->version);
    jw_object_end(w);
}

int host_vm_spec_write(struct buf *out, const struct host_vm_spec *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_ku64(&w, "generation", m->generation);
    write_template_ref(&w, &m->template_ref);
    jw_kint(&w, "cpu_count", m->cpu_count);
    jw_kint(&w, "memory_mb", m->memory_mb);
    jw_kstr(&w, "route_token", m->route_token);
    jw_kstr(&w, "team", m->team);
    jw_kstr(&w, "hostname", m->hostname);
    jw_kint(&w, "deadline_ms", m->deadline_ms);
    jw_kstr(&w, "on_timeout", m->on_timeout);
    jw_kmap(&w, "env", &m->env);
    jw_object_end(&w);
    return json_writer_end(&w);
}

static void write_timings(struct json_writer *w, const struct host_timings *m)
{
    jw_kobject(w, "timings_us");
    jw_kint(w, "slot", m->slot);
    jw_kint(w, "qemu", m->qemu);
    jw_kint(w, "state", m->state);
    jw_kint(w, "run", m->run);
    jw_kint(w, "init", m->init);
    jw_kint(w, "total", m->total);
    jw_object_end(w);
}

static void write_vm(struct json_writer *w, const struct host_vm *m)
{
    jw_object(w);
    jw_kstr(w, "id", m->id);
    jw_ku64(w, "generation", m->generation);
    jw_kstr(w, "state", m->state);
    jw_kstr_opt(w, "end_reason", m->end_reason);
    jw_kint(w, "started_at_ms", m->started_at_ms);
    if (m->ended_at_ms)
        jw_kint(w, "ended_at_ms", m->ended_at_ms);
    jw_kint(w, "deadline_ms", m->deadline_ms);
    jw_kint(w, "cpu_count", m->cpu_count);
    jw_kint(w, "memory_mb", m->memory_mb);
    write_template_ref(w, &m->template_ref);
    if (m->has_timings)
        write_timings(w, &m->timings_us);
    jw_object_end(w);
}

int host_vm_write(struct buf *out, const struct host_vm *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    write_vm(&w, m);
    return json_writer_end(&w);
}

int host_vm_reply_write(struct buf *out, const struct host_vm *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_key(&w, "vm");
    write_vm(&w, m);
    jw_object_end(&w);
    return json_writer_end(&w);
}

static void write_capacity(struct json_writer *w, const char *key, const struct host_capacity *m)
{
    jw_kobject(w, key);
    jw_kint(w, "vcpus", m->vcpus);
    jw_kint(w, "memory_mb", m->memory_mb);
    jw_kint(w, "vms", m->vms);
    jw_object_end(w);
}

static void write_template(struct json_writer *w, const struct host_template *m)
{
    jw_object(w);
    jw_kstr(w, "slug", m->slug);
    jw_kstr(w, "version", m->version);
    jw_kstr(w, "status", m->status);
    jw_kint(w, "cpu_count", m->cpu_count);
    jw_kint(w, "memory_mb", m->memory_mb);
    jw_kstr_opt(w, "message", m->message);
    jw_object_end(w);
}

static void write_heartbeat_lists(struct json_writer *w, const struct host_heartbeat *m)
{
    const struct host_template *templates = m->templates.items;
    const struct host_vm *vms = m->vms.items;

    jw_karray(w, "templates");
    for (size_t i = 0; i < m->templates.count; i++)
        write_template(w, &templates[i]);
    jw_array_end(w);
    jw_karray(w, "vms");
    for (size_t i = 0; i < m->vms.count; i++)
        write_vm(w, &vms[i]);
    jw_array_end(w);
}

int host_heartbeat_write(struct buf *out, const struct host_heartbeat *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "host_api_url", m->host_api_url);
    jw_kstr(&w, "gateway_url", m->gateway_url);
    jw_kstr(&w, "version", m->version);
    jw_kstr(&w, "accelerator", m->accelerator);
    write_capacity(&w, "capacity", &m->capacity);
    write_capacity(&w, "used", &m->used);
    jw_kobject(&w, "disk");
    jw_kint(&w, "bytes_total", m->disk.bytes_total);
    jw_kint(&w, "bytes_free", m->disk.bytes_free);
    jw_object_end(&w);
    write_heartbeat_lists(&w, m);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int host_heartbeat_reply_write(struct buf *out, const struct host_heartbeat_reply *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kobject(&w, "host");
    jw_kstr(&w, "name", m->host.name);
    jw_kbool(&w, "drain", m->host.drain);
    jw_object_end(&w);
    jw_kstrings(&w, "ended_ack", &m->ended_ack);
    jw_kint(&w, "now_ms", m->now_ms);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int host_deadline_write(struct buf *out, const struct host_deadline *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_ku64(&w, "generation", m->generation);
    jw_kint(&w, "deadline_ms", m->deadline_ms);
    jw_object_end(&w);
    return json_writer_end(&w);
}
