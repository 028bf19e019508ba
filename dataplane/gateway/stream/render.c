/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/meta.h"

static const struct {
    enum link_kind kind;
    char letter;
    const char *text;
} render_kinds[] = {
    {LINK_STARTED, 's', "started"}, {LINK_STDOUT, 'o', "stdout"}, {LINK_STDERR, 'e', "stderr"},
    {LINK_PTY, 'p', "pty"},         {LINK_EXIT, 'x', "exit"},
};

const char *render_kind_text(enum link_kind k)
{
    for (size_t i = 0; i < ARRAY_LEN(render_kinds); i++) {
        if (render_kinds[i].kind == k)
            return render_kinds[i].text;
    }
    return "?";
}

char render_kind_letter(enum link_kind k)
{
    for (size_t i = 0; i < ARRAY_LEN(render_kinds); i++) {
        if (render_kinds[i].kind == k)
            return render_kinds[i].letter;
    }
    return '?';
}

int render_kind_from_letter(char c, enum link_kind *out)
{
    for (size_t i = 0; i < ARRAY_LEN(render_kinds); i++) {
        if (render_kinds[i].letter == c) {
            *out = render_kinds[i].kind;
            return 0;
        }
    }
    return -EINVAL;
}

int render_started(struct buf *out, const char *pid, const struct meta *m, bool truncated)
{
    return buf_printf(out, "{\"type\":\"started\",\"pid\":\"%s\",\"os_pid\":%" PRId64 ",\"cursor\":%" PRIu64 "%s}", pid,
                      m->os_pid, CURSOR_STARTED, truncated ? ",\"truncated\":true" : "");
}

static char *render_put(char *p, const char *s, size_t len)
{
    memcpy(p, s, len);
    return p + len;
}

static char *render_number(char *p, uint64_t v)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[n++] = (char) ('0' + v % 10);
        v /= 10;
    } while (v);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

#define RENDER_LIT(p, s) render_put(p, s, sizeof(s) - 1)

int render_output(struct buf *out, const char *pid, enum link_kind k, uint64_t cursor, const void *data, size_t len)
{
    const char *type = render_kind_text(k);
    size_t pid_len = strlen(pid), b64 = base64_encoded_len(len);
    char *start = (char *) buf_reserve(out, 80 + pid_len + b64), *p = start;

    if (!p)
        return -ENOBUFS;
    p = RENDER_LIT(p, "{\"type\":\"");
    p = render_put(p, type, strlen(type));
    p = RENDER_LIT(p, "\",\"pid\":\"");
    p = render_put(p, pid, pid_len);
    p = RENDER_LIT(p, "\",\"data\":\"");
    base64_encode(data, len, p);
    p += b64;
    p = RENDER_LIT(p, "\",\"cursor\":");
    p = render_number(p, cursor);
    *p++ = '}';
    buf_commit(out, (size_t) (p - start));
    return 0;
}

int render_exit(struct buf *out, const char *pid, uint64_t cursor, const struct meta *m)
{
    const char *error = meta_exit_error_text(m->exit_error);

    return buf_printf(out,
                      "{\"type\":\"exit\",\"pid\":\"%s\",\"exit_code\":%" PRId64 ",\"error\":%s%s%s,\"cursor\":%" PRIu64 "}",
                      pid, m->exit_code, error ? "\"" : "", error ? error : "null", error ? "\"" : "", cursor);
}

int render_error(struct buf *out, const char *pid, const char *code, const char *message)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "type", "error");
    if (pid)
        jw_kstr(&w, "pid", pid);
    jw_kstr(&w, "code", code);
    jw_kstr(&w, "message", message);
    jw_object_end(&w);
    return json_writer_end(&w);
}

int render_ack(struct buf *out, const char *type, const char *pid)
{
    return buf_printf(out, "{\"type\":\"%s\"%s%s%s}", type, pid ? ",\"pid\":\"" : "", pid ? pid : "", pid ? "\"" : "");
}
