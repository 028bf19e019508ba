/* SPDX-License-Identifier: Apache-2.0 */
/* agent_link_json - the JSON bodies of agent_link.h: tables and writers side by side. */
#include "common/wire/agent_link.h"
#include "common/base/buf.h"
#include "common/wire/fields.h"

enum { LINK_ARGS_MAX = 10000 };

#define T struct link_pty
static const struct json_field pty_fields[] = {
    F_INT(T, "cols", cols, JSON_REQUIRED, 1, 1000),
    F_INT(T, "rows", rows, JSON_REQUIRED, 1, 1000),
    F_END,
};
#undef T
static const struct json_table pty_table = {.fields = pty_fields, .size = sizeof(struct link_pty)};

#define T struct link_start
static const struct json_field start_fields[] = {
    F_TEXT(T, "id", id, 0, 1, LINK_PID_MAX),
    F_TEXT(T, "tag", tag, 0, 0, WIRE_TEXT_MAX),
    F_TEXT(T, "cmd", cmd, JSON_REQUIRED, 1, 128 * KIB),
    F_TEXT(T, "cwd", cwd, 0, 1, WIRE_TEXT_MAX),
    F_TEXT(T, "user", user, 0, 1, WIRE_ID_MAX),
    F_STRINGS(T, "args", args, 0, LINK_ARGS_MAX),
    F_MAP(T, "env", env, 0),
    F_BOOL(T, "stdin", stdin_open, 0),
    F_INT(T, "timeout_ms", timeout_ms, 0, 0, INT64_MAX),
    {.name = "pty", .kind = JSON_F_OBJECT, .offset = offsetof(T, pty), .present = offsetof(T, has_pty), .nested = &pty_table},
    F_END,
};
#undef T
const struct json_table link_start_table = {.fields = start_fields, .size = sizeof(struct link_start)};

#define T struct link_result
static const struct json_field result_fields[] = {
    F_TEXT(T, "error", error, 0, 1, WIRE_ID_MAX),
    F_TEXT(T, "message", message, 0, 0, WIRE_TEXT_MAX),
    F_TEXT(T, "pid", pid, 0, 1, LINK_PID_MAX),
    F_INT(T, "os_pid", os_pid, 0, 0, INT32_MAX),
    F_END,
};
#undef T
const struct json_table link_result_table = {.fields = result_fields, .size = sizeof(struct link_result)};

#define T struct link_signal
static const struct json_field signal_fields[] = {
    F_INT(T, "signal", signal, JSON_REQUIRED, 1, 64),
    F_BOOL(T, "group", group, 0),
    F_END,
};
#undef T
const struct json_table link_signal_table = {.fields = signal_fields, .size = sizeof(struct link_signal)};

#define T struct link_started
static const struct json_field started_fields[] = {
    F_INT(T, "os_pid", os_pid, JSON_REQUIRED, 1, INT32_MAX),
    F_INT(T, "started_at_us", started_at_us, JSON_REQUIRED, 0, INT64_MAX),
    F_TEXT(T, "cmd", cmd, JSON_REQUIRED, 1, 128 * KIB),
    F_TEXT(T, "cwd", cwd, 0, 1, WIRE_TEXT_MAX),
    F_TEXT(T, "user", user, 0, 1, WIRE_ID_MAX),
    F_TEXT(T, "tag", tag, 0, 0, WIRE_TEXT_MAX),
    F_STRINGS(T, "args", args, 0, LINK_ARGS_MAX),
    F_BOOL(T, "pty", pty, 0),
    F_BOOL(T, "stdin", stdin_open, 0),
    F_END,
};
#undef T
const struct json_table link_started_table = {.fields = started_fields, .size = sizeof(struct link_started)};

#define T struct link_exit
static const struct json_field exit_fields[] = {
    F_INT(T, "exit_code", exit_code, JSON_REQUIRED, -64, 255),
    F_TEXT(T, "error", error, JSON_NULL_OK, 1, WIRE_ID_MAX),
    F_INT(T, "finished_at_us", finished_at_us, JSON_REQUIRED, 0, INT64_MAX),
    F_END,
};
#undef T
const struct json_table link_exit_table = {.fields = exit_fields, .size = sizeof(struct link_exit)};

int link_write_start(struct buf *out, const struct link_start *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr_opt(&w, "id", m->id);
    jw_kstr_opt(&w, "tag", m->tag);
    jw_kstr(&w, "cmd", m->cmd);
    jw_kstr_opt(&w, "cwd", m->cwd);
    jw_kstr_opt(&w, "user", m->user);
    jw_kstrings(&w, "args", &m->args);
    jw_kmap(&w, "env", &m->env);
    jw_kbool(&w, "stdin", m->stdin_open);
    jw_kint(&w, "timeout_ms", m->timeout_ms);
    if (m->has_pty) {
        jw_kobject(&w, "pty");
        jw_kint(&w, "cols", m->pty.cols);
        jw_kint(&w, "rows", m->pty.rows);
        jw_object_end(&w);
    }
    jw_object_end(&w);
    return json_writer_end(&w);
}

int link_write_result(struct buf *out, const struct link_result *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr_opt(&w, "error", m->error);
    jw_kstr_opt(&w, "message", m->message);
    jw_kstr_opt(&w, "pid", m->pid);
    if (m->os_pid)
        jw_kint(&w, "os_pid", m->os_pid);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int link_write_signal(struct buf *out, const struct link_signal *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kint(&w, "signal", m->signal);
    jw_kbool(&w, "group", m->group);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int link_write_started(struct buf *out, const struct link_started *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kint(&w, "os_pid", m->os_pid);
    jw_kint(&w, "started_at_us", m->started_at_us);
    jw_kstr(&w, "cmd", m->cmd);
    jw_kstr_opt(&w, "cwd", m->cwd);
    jw_kstr_opt(&w, "user", m->user);
    jw_kstr_opt(&w, "tag", m->tag);
    jw_kstrings(&w, "args", &m->args);
    jw_kbool(&w, "pty", m->pty);
    jw_kbool(&w, "stdin", m->stdin_open);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int link_write_exit(struct buf *out, const struct link_exit *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kint(&w, "exit_code", m->exit_code);
    jw_kstr(&w, "error", m->error);
    jw_kint(&w, "finished_at_us", m->finished_at_us);
    jw_object_end(&w);
    return json_writer_end(&w);
}
