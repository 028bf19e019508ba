/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - see log.h
 * A line is built on the stack and written by one write(), so that lines of several processes and threads do not mix.
 * A pair that does not fit is left out as a whole and the line says "cut":true.
 */
#include "common/base/log.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 16 * KIB, LOG_VALUE_MAX = KIB, LOG_TAIL = 16, LOG_WINDOW_MS = 60000 };

static const char *const log_level_names[] = {"debug", "info", "warn", "error"};

static struct {
    char program[32];
    int fd;
    enum log_level min;
} log_state = {.program = "bivouac", .fd = STDERR_FILENO, .min = LOG_INFO};

struct log_line {
    size_t len;
    bool cut;
    char text[LOG_LINE_MAX];
};

void log_init(const char *program, int fd, enum log_level min)
{
    snprintf(log_state.program, sizeof(log_state.program), "%s", program);
    log_state.fd = fd;
    log_state.min = min;
}

int log_level_parse(const char *s, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(log_level_names); i++) {
        if (str_eq(s, log_level_names[i])) {
            *out = (enum log_level) i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_enabled(enum log_level level)
{
    return level >= log_state.min;
}

struct log_num log_num_u64(uint64_t v)
{
    struct log_num n;

    snprintf(n.text, sizeof(n.text), "%" PRIu64, v);
    return n;
}

struct log_num log_num_i64(int64_t v)
{
    struct log_num n;

    snprintf(n.text, sizeof(n.text), "%" PRId64, v);
    return n;
}

static bool line_put(struct log_line *l, const char *s, size_t len)
{
    if (len > sizeof(l->text) - LOG_TAIL - l->len)
        return false;
    memcpy(l->text + l->len, s, len);
    l->len += len;
    return true;
}

static bool line_put_escape(struct log_line *l, unsigned char c)
{
    char text[8];

    if (c == '"' || c == '\\')
        snprintf(text, sizeof(text), "\\%c", c);
    else if (c == '\n')
        snprintf(text, sizeof(text), "\\n");
    else
        snprintf(text, sizeof(text), "\\u%04x", c);
    return line_put(l, text, strlen(text));
}

/* The bytes from p on that need no escape. */
static size_t plain_run(const unsigned char *p, size_t len)
{
    size_t n = 0;

    while (n < len && p[n] >= 0x20 && p[n] != '"' && p[n] != '\\' && p[n] != 0x7f)
        n++;
    return n;
}

static bool line_put_string(struct log_line *l, const char *s)
{
    static const char replacement[] = "\\ufffd", ellipsis[] = "...";
    size_t len = strnlen(s, LOG_VALUE_MAX + 1);
    bool longer = len > LOG_VALUE_MAX;
    const unsigned char *p = (const unsigned char *) s;
    bool ok = line_put(l, "\"", 1);

    if (longer) {
        len = LOG_VALUE_MAX;
        len -= utf8_incomplete_tail(s, len);
    }
    while (ok && len) {
        size_t valid = utf8_valid_prefix(p, len), run = plain_run(p, valid);

        ok = line_put(l, (const char *) p, run);
        p += run;
        len -= run;
        if (!ok || !len)
            break;
        ok = run < valid ? line_put_escape(l, *p) : line_put(l, replacement, sizeof(replacement) - 1);
        p++;
        len--;
    }
    if (longer)
        ok = ok && line_put(l, ellipsis, sizeof(ellipsis) - 1);
    return ok && line_put(l, "\"", 1);
}

static void line_pair(struct log_line *l, const char *key, const char *value)
{
    size_t before = l->len;
    bool ok = l->len == 0 ? line_put(l, "{", 1) : line_put(l, ",", 1);

    ok = ok && line_put_string(l, key) && line_put(l, ":", 1);
    ok = ok && (value ? line_put_string(l, value) : line_put(l, "null", 4));
    if (!ok) {
        l->len = before;
        l->cut = true;
    }
}

static void line_context(struct log_line *l, const struct log_ctx *ctx)
{
    if (ctx->request)
        line_pair(l, "request", ctx->request);
    if (ctx->sandbox)
        line_pair(l, "sandbox", ctx->sandbox);
    if (ctx->team)
        line_pair(l, "team", ctx->team);
}

/* "gateway/proxy.c:12": the last two parts of the path. */
static void line_source(struct log_line *l, const char *file, int line)
{
    const char *last = strrchr(file, '/');
    char text[128];

    while (last && last > file && last[-1] != '/')
        last--;
    snprintf(text, sizeof(text), "%s:%d", last ? last : file, line);
    line_pair(l, "src", text);
}

static void line_write(struct log_line *l)
{
    static const char tail[] = "}\n", tail_cut[] = ",\"cut\":true}\n";
    const char *end = l->cut ? tail_cut : tail;
    size_t len = strlen(end);
    int saved = errno;

    memcpy(l->text + l->len, end, len); /* LOG_TAIL keeps the room */
    for (size_t done = 0; done < l->len + len;) {
        ssize_t n = write(log_state.fd, l->text + done, l->len + len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* there is nobody left to tell */
        done += (size_t) n;
    }
    errno = saved;
}

void log_write(enum log_level level, const char *file, int line, const struct log_ctx *ctx, const char *msg, ...)
{
    struct log_line l;
    char text[CLOCK_RFC3339_SIZE];
    const char *key;
    va_list ap;

    l.len = 0;
    l.cut = false;
    clock_rfc3339((int64_t) (clock_real_ns() / 1000), 6, text);
    line_pair(&l, "ts", text);
    line_pair(&l, "level", log_level_names[level]);
    line_pair(&l, "program", log_state.program);
    snprintf(text, sizeof(text), "%d", (int) getpid());
    line_pair(&l, "pid", text);
    line_pair(&l, "msg", msg);
    if (ctx)
        line_context(&l, ctx);
    line_source(&l, file, line);
    va_start(ap, msg);
    while ((key = va_arg(ap, const char *)) != NULL)
        line_pair(&l, key, va_arg(ap, const char *));
    va_end(ap);
    line_write(&l);
}

bool log_allow_at(struct log_limit *l, const char *file, int line)
{
    uint64_t now = clock_mono_ms();

    if (l->count == 0 || now - l->window_ms >= LOG_WINDOW_MS) {
        if (l->dropped)
            log_write(LOG_WARN, file, line, NULL, "lines from here were dropped", "count", LOG_U64(l->dropped), NULL);
        l->window_ms = now;
        l->count = l->dropped = 0;
    }
    if (l->count >= l->burst) {
        l->dropped++;
        return false;
    }
    l->count++;
    return true;
}
