/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/meta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/wire/agent_link.h"

/* Year 9999: later times have no RFC 3339 form. */
#define META_TIME_MAX_US INT64_C(253402300799000000)

void meta_deinit(struct meta *m)
{
    free(m->started);
    m->started = NULL;
    m->started_len = 0;
}

void meta_copy(struct meta *to, const struct meta *from)
{
    *to = *from;
    if (from->started)
        to->started = xstrndup(from->started, from->started_len);
}

static bool meta_time_ok(int64_t us)
{
    return us >= 0 && us <= META_TIME_MAX_US;
}

int meta_set_started(struct meta *m, const void *json, size_t len)
{
    cleanup(arena_freep) struct arena *a = arena_new(4 * META_STARTED_MAX);
    struct link_started s;

    if (len > META_STARTED_MAX || json_decode(&link_started_table, json, len, a, &s, NULL) < 0)
        return -EINVAL;
    if (s.os_pid < 0 || s.os_pid > INT32_MAX || !meta_time_ok(s.started_at_us))
        return -EINVAL;
    free(m->started);
    m->started = xstrndup(json, len);
    m->started_len = len;
    m->os_pid = s.os_pid;
    return 0;
}

static int meta_error_parse(const char *s, enum meta_exit_error *out)
{
    if (!s)
        *out = META_EXIT_NONE;
    else if (strcmp(s, "killed") == 0)
        *out = META_EXIT_KILLED;
    else if (strcmp(s, "timeout") == 0)
        *out = META_EXIT_TIMEOUT;
    else
        return -EINVAL;
    return 0;
}

static int meta_take_exit(struct meta *m, int64_t code, const char *error, int64_t finished_at_us)
{
    enum meta_exit_error kind;

    if (code < -64 || code > 255 || !meta_time_ok(finished_at_us) || meta_error_parse(error, &kind) < 0)
        return -EINVAL;
    m->exited = true;
    m->exit_code = code;
    m->exit_error = kind;
    m->finished_at_us = finished_at_us;
    return 0;
}

int meta_set_exit(struct meta *m, const void *json, size_t len)
{
    cleanup(arena_freep) struct arena *a = arena_new(16 * META_EXIT_MAX);
    struct link_exit x;

    if (len > META_EXIT_MAX || json_decode(&link_exit_table, json, len, a, &x, NULL) < 0)
        return -EINVAL;
    return meta_take_exit(m, x.exit_code, x.error, x.finished_at_us);
}

const char *meta_exit_error_text(enum meta_exit_error e)
{
    switch (e) {
    case META_EXIT_KILLED:
        return "killed";
    case META_EXIT_TIMEOUT:
        return "timeout";
    case META_EXIT_NONE:
        break;
    }
    return NULL;
}

void meta_exit_text(const struct meta *m, char *out, size_t size)
{
    const char *error = meta_exit_error_text(m->exit_error);

    snprintf(out, size, "%" PRId64 " %s %" PRId64, m->exit_code, error ? error : "-", m->finished_at_us);
}

int meta_read_exit(struct meta *m, const char *text, size_t len)
{
    char copy[96], *code = copy, *error, *time;
    int64_t v, us;

    if (len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    error = strchr(code, ' ');
    time = error ? strchr(error + 1, ' ') : NULL;
    if (!time)
        return -EINVAL;
    *error++ = *time++ = '\0';
    if (str_to_i64(code, &v) < 0 || str_to_i64(time, &us) < 0)
        return -EINVAL;
    return meta_take_exit(m, v, strcmp(error, "-") == 0 ? NULL : error, us);
}

bool meta_finished(const struct meta *m)
{
    return m->exited || m->lost;
}

const char *meta_status(const struct meta *m)
{
    if (!meta_finished(m))
        return "running";
    if (!m->exited)
        return "failed";
    if (m->exit_error == META_EXIT_TIMEOUT)
        return "timed_out";
    if (m->exit_error == META_EXIT_KILLED || m->exit_code < 0)
        return "killed";
    return m->exit_code == 0 ? "succeeded" : "failed";
}

static void meta_write_time(struct json_writer *w, const char *key, int64_t us)
{
    char text[CLOCK_RFC3339_SIZE];

    clock_rfc3339(us, 3, text);
    jw_kstr(w, key, text);
}

void meta_write_end(const struct meta *m, struct json_writer *w)
{
    if (!m->exited) {
        jw_knull(w, "exit_code");
        jw_knull(w, "finished_at");
        return;
    }
    jw_kint(w, "exit_code", m->exit_code);
    meta_write_time(w, "finished_at", m->finished_at_us);
}

static void meta_write_started(const struct link_started *s, struct json_writer *w)
{
    jw_kint(w, "os_pid", s->os_pid);
    jw_kstr(w, "tag", s->tag);
    jw_kstr(w, "cmd", s->cmd);
    jw_karray(w, "args");
    for (size_t i = 0; i < s->args.count; i++)
        jw_str(w, s->args.items[i]);
    jw_array_end(w);
    jw_kstr(w, "cwd", s->cwd);
    jw_kstr(w, "user", s->user);
    jw_kbool(w, "pty", s->pty);
    meta_write_time(w, "started_at", s->started_at_us);
}

void meta_write_process(const struct meta *m, const char *pid, struct json_writer *w)
{
    cleanup(arena_freep) struct arena *a = arena_new(4 * META_STARTED_MAX);
    struct link_started s;

    jw_object(w);
    jw_kstr(w, "id", pid);
    jw_kstr(w, "pid", pid);
    if (m->started && json_decode(&link_started_table, m->started, m->started_len, a, &s, NULL) == 0)
        meta_write_started(&s, w);
    jw_kstr(w, "status", meta_status(m));
    meta_write_end(m, w);
    if (m->lost)
        jw_kstr(w, "error", "process_lost");
    jw_object_end(w);
}
