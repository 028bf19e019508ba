/* SPDX-License-Identifier: Apache-2.0 */
/* gate_link - see gate_link.h */
#include "common/wire/gate_link.h"
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/wire/fields.h"
#include <errno.h>

#define T struct gate_msg
static const struct json_field gate_fields[] = {
    F_TEXT(T, "t", t, JSON_REQUIRED, 1, 16),
    F_INT(T, "v", v, 0, 1, 1000000),
    F_TEXT(T, "host", host, 0, 1, 253),
    F_TEXT(T, "id", id, 0, 1, WIRE_ID_MAX),
    F_TEXT(T, "rt", rt, 0, 1, WIRE_ID_MAX),
    F_U64(T, "generation", generation, 0),
    F_TEXT(T, "state", state, 0, 1, 32),
    F_TEXT(T, "agent_token", agent_token, 0, 1, WIRE_ID_MAX),
    F_TEXT(T, "team", team, 0, 1, WIRE_ID_MAX),
    F_INT(T, "deadline_ms", deadline_ms, 0, 0, INT64_MAX),
    F_TEXT(T, "reason", reason, 0, 1, WIRE_ID_MAX),
    F_U64(T, "req", req, 0),
    F_TEXT(T, "error", error, 0, 1, WIRE_ID_MAX),
    F_TEXT(T, "message", message, 0, 0, WIRE_TEXT_MAX),
    F_END,
};
#undef T
const struct json_table gate_msg_table = {.fields = gate_fields, .size = sizeof(struct gate_msg)};

static bool is_state(const char *s)
{
    return str_eq(s, "running") || str_eq(s, "paused");
}

static bool hello_complete(const struct gate_msg *m)
{
    return m->v > 0;
}

static bool route_complete(const struct gate_msg *m)
{
    return m->id && m->rt && m->agent_token && is_state(m->state);
}

static bool synced_complete(const struct gate_msg *m)
{
    (void) m;
    return true;
}

static bool gone_complete(const struct gate_msg *m)
{
    return m->id && m->rt && m->reason;
}

static bool connect_complete(const struct gate_msg *m)
{
    return m->req && m->id;
}

static bool connected_complete(const struct gate_msg *m)
{
    return m->req != 0;
}

static const struct {
    const char *name;
    bool (*complete)(const struct gate_msg *m);
} gate_types[] = {
    [GATE_HELLO] = {"hello", hello_complete}, [GATE_ROUTE] = {"route", route_complete},
    [GATE_SYNCED] = {"synced", synced_complete}, [GATE_GONE] = {"gone", gone_complete},
    [GATE_CONNECT] = {"connect", connect_complete}, [GATE_CONNECTED] = {"connected", connected_complete},
};

int gate_msg_type(const struct gate_msg *m, enum gate_type *out)
{
    for (size_t i = 0; i < ARRAY_LEN(gate_types); i++) {
        if (!str_eq(m->t, gate_types[i].name))
            continue;
        if (!gate_types[i].complete(m))
            return -EINVAL;
        *out = (enum gate_type) i;
        return 0;
    }
    return -EINVAL;
}

static void write_u64(struct json_writer *w, const char *key, uint64_t v)
{
    if (v)
        jw_ku64(w, key, v);
}

static void write_int(struct json_writer *w, const char *key, int64_t v)
{
    if (v)
        jw_kint(w, key, v);
}

int gate_msg_write(struct buf *out, const struct gate_msg *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "t", m->t);
    write_int(&w, "v", m->v);
    jw_kstr_opt(&w, "host", m->host);
    jw_kstr_opt(&w, "id", m->id);
    jw_kstr_opt(&w, "rt", m->rt);
    write_u64(&w, "generation", m->generation);
    jw_kstr_opt(&w, "state", m->state);
    jw_kstr_opt(&w, "agent_token", m->agent_token);
    jw_kstr_opt(&w, "team", m->team);
    write_int(&w, "deadline_ms", m->deadline_ms);
    jw_kstr_opt(&w, "reason", m->reason);
    write_u64(&w, "req", m->req);
    jw_kstr_opt(&w, "error", m->error);
    jw_kstr_opt(&w, "message", m->message);
    jw_object_end(&w);
    return json_writer_end(&w);
}
