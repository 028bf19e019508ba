/* SPDX-License-Identifier: Apache-2.0 */
/* agent_init - see agent_init.h */
#include "common/wire/agent_init.h"
#include "common/base/buf.h"
#include "common/wire/fields.h"

#define T struct agent_init
static const struct json_field init_fields[] = {
    F_TEXT(T, "token", token, JSON_REQUIRED, AGENT_TOKEN_LEN, AGENT_TOKEN_LEN),
    F_U64(T, "generation", generation, JSON_REQUIRED),
    F_TEXT(T, "sandbox_id", sandbox_id, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_TEXT(T, "hostname", hostname, JSON_REQUIRED, 1, 64),
    F_TEXT(T, "machine_id", machine_id, JSON_REQUIRED, 32, 32),
    F_(T, JSON_F_BASE64, "entropy_b64", entropy, JSON_REQUIRED, AGENT_ENTROPY_LEN, AGENT_ENTROPY_LEN, NULL),
    F_INT(T, "time_ns", time_ns, JSON_REQUIRED, 1, INT64_MAX),
    F_MAP(T, "env", env, JSON_NULL_OK),
    F_END,
};
#undef T
const struct json_table agent_init_table = {.fields = init_fields, .size = sizeof(struct agent_init)};

#define T struct agent_init_result
static const struct json_field result_fields[] = {
    F_BOOL(T, "ok", ok, JSON_REQUIRED),
    F_TEXT(T, "agent_version", agent_version, JSON_REQUIRED, 1, WIRE_ID_MAX),
    F_INT(T, "link_version", link_version, JSON_REQUIRED, 1, 1000000),
    F_END,
};
#undef T
const struct json_table agent_init_result_table = {.fields = result_fields, .size = sizeof(struct agent_init_result)};

int agent_init_write(struct buf *out, const struct agent_init *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "token", m->token);
    jw_ku64(&w, "generation", m->generation);
    jw_kstr(&w, "sandbox_id", m->sandbox_id);
    jw_kstr(&w, "hostname", m->hostname);
    jw_kstr(&w, "machine_id", m->machine_id);
    jw_key(&w, "entropy_b64");
    jw_base64(&w, m->entropy.data, m->entropy.len);
    jw_kint(&w, "time_ns", m->time_ns);
    jw_kmap(&w, "env", &m->env);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int agent_init_result_write(struct buf *out, const struct agent_init_result *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kbool(&w, "ok", m->ok);
    jw_kstr(&w, "agent_version", m->agent_version);
    jw_kint(&w, "link_version", m->link_version);
    jw_object_end(&w);
    return json_writer_end(&w);
}
