/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/frame.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/attr.h"

enum { FRAME_DATA_MAX = 64 * KIB };

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->p >= s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The raw inside of a string; escapes stay as they are. */
static bool take_string(struct scan *s, const char **out, size_t *len)
{
    if (!take(s, '"'))
        return false;
    *out = s->p;
    while (s->p < s->end && *s->p != '"') {
        const char *stop = memchr(s->p, '\\', (size_t) (s->end - s->p));
        const char *quote = memchr(s->p, '"', (size_t) (s->end - s->p));

        if (!quote)
            return false;
        if (!stop || stop > quote) {
            s->p = quote;
            break;
        }
        s->p = stop + 2; /* the escaped character is no end */
    }
    if (s->p >= s->end)
        return false;
    *len = (size_t) (s->p - *out);
    s->p++;
    return true;
}

/* A number, true, false or null; nested values do not occur in these frames but in `started`, whose args are skipped by depth. */
static bool take_other(struct scan *s, const char **out, size_t *len)
{
    unsigned depth = 0;
    const char *text;
    size_t n;

    skip_space(s);
    *out = s->p;
    while (s->p < s->end) {
        if (*s->p == '"') {
            if (!take_string(s, &text, &n))
                return false;
            continue;
        }
        if (*s->p == '[' || *s->p == '{')
            depth++;
        else if ((*s->p == ',' || *s->p == '}' || *s->p == ']') && depth == 0)
            break;
        else if (*s->p == ']' || *s->p == '}')
            depth--;
        s->p++;
    }
    *len = (size_t) (s->p - *out);
    while (*len && (*out)[*len - 1] == ' ')
        (*len)--;
    return *len > 0 && s->p < s->end;
}

static void copy_text(char *out, size_t size, const char *p, size_t len)
{
    snprintf(out, size, "%.*s", (int) (len < size ? len : size - 1), p);
}

static bool name_is(const char *p, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(p, name, len) == 0;
}

static const char *take_string_member(struct frame *f, const char *name, size_t name_len, const char *text, size_t len)
{
    if (name_is(name, name_len, "type"))
        copy_text(f->type, sizeof(f->type), text, len);
    else if (name_is(name, name_len, "error") || name_is(name, name_len, "code"))
        copy_text(f->error, sizeof(f->error), text, len);
    else if (name_is(name, name_len, "message"))
        copy_text(f->message, sizeof(f->message), text, len);
    else if (name_is(name, name_len, "cursor") || name_is(name, name_len, "exit_code"))
        return "a string where a number belongs";
    else if (name_is(name, name_len, "data"))
        f->data = text, f->data_len = len;
    return NULL;
}

static const char *take_other_member(struct frame *f, const char *name, size_t name_len, const char *text, size_t len)
{
    char number[32], *end;

    copy_text(number, sizeof(number), text, len);
    if (name_is(name, name_len, "cursor")) {
        f->cursor = strtoull(number, &end, 10);
        f->has_cursor = true;
        return *end || number[0] == '-' ? "cursor is not a number" : NULL;
    }
    if (name_is(name, name_len, "exit_code")) {
        f->exit_code = strtoll(number, &end, 10);
        f->has_exit_code = true;
        return *end ? "exit_code is not a number" : NULL;
    }
    return name_is(name, name_len, "type") || name_is(name, name_len, "data") ? "a string is missing" : NULL;
}

const char *frame_parse(struct frame *f, const char *p, size_t len)
{
    struct scan s = {p, p + len};
    const char *name, *value, *wrong;
    size_t name_len, value_len;

    memset(f, 0, sizeof(*f));
    if (!take(&s, '{'))
        return "not an object";
    do {
        if (!take_string(&s, &name, &name_len) || !take(&s, ':'))
            return "not JSON";
        skip_space(&s);
        if (s.p < s.end && *s.p == '"') {
            if (!take_string(&s, &value, &value_len))
                return "not JSON";
            wrong = take_string_member(f, name, name_len, value, value_len);
        } else {
            if (!take_other(&s, &value, &value_len))
                return "not JSON";
            wrong = take_other_member(f, name, name_len, value, value_len);
        }
        if (wrong)
            return wrong;
    } while (take(&s, ','));
    if (!take(&s, '}'))
        return "not JSON";
    skip_space(&s);
    if (s.p != s.end)
        return "bytes behind the object";
    return f->type[0] ? NULL : "no type";
}

static int base64_value(unsigned char c)
{
    static signed char values[256];
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (!values['B']) {
        memset(values, -1, sizeof(values));
        for (int i = 0; i < 64; i++)
            values[(unsigned char) alphabet[i]] = (signed char) i;
    }
    return values[c];
}

long frame_decode(const char *p, size_t len, unsigned char *out)
{
    unsigned char *to = out;

    if (len % 4)
        return -1;
    for (size_t i = 0; i < len; i += 4) {
        unsigned pad = i + 4 == len ? (p[i + 3] == '=') + (p[i + 3] == '=' && p[i + 2] == '=') : 0;
        int a = base64_value((unsigned char) p[i]), b = base64_value((unsigned char) p[i + 1]);
        int c = pad > 1 ? 0 : base64_value((unsigned char) p[i + 2]), d = pad > 0 ? 0 : base64_value((unsigned char) p[i + 3]);

        if ((a | b | c | d) < 0)
            return -1;
        *to++ = (unsigned char) (a << 2 | b >> 4);
        if (pad < 2)
            *to++ = (unsigned char) (b << 4 | c >> 2);
        if (pad < 1)
            *to++ = (unsigned char) (c << 6 | d);
    }
    return to - out;
}

/* ---- the stream ---- */

#define TROUBLE(c, ...)                                                                            \
    do {                                                                                           \
        if (!(c)->trouble[0])                                                                      \
            snprintf((c)->trouble, sizeof((c)->trouble), __VA_ARGS__);                             \
    } while (0)

static void check_cursor(struct frame_checker *c, const struct frame *f)
{
    if (!f->has_cursor) {
        TROUBLE(c, "%s without cursor", f->type);
        return;
    }
    if (f->cursor % 2 == 0)
        TROUBLE(c, "even cursor %llu", (unsigned long long) f->cursor);
    if (c->last == 0) {
        c->last = f->cursor;
        return;
    }
    if (c->last == 1 && c->since > 1) { /* `started` came out of line, as it must */
        if (f->cursor <= c->since)
            TROUBLE(c, "cursor %llu is not above %llu", (unsigned long long) f->cursor, (unsigned long long) c->since);
        else if (f->cursor > c->since + 2)
            TROUBLE(c, "cursor %llu leaves a gap after %llu", (unsigned long long) f->cursor, (unsigned long long) c->since);
    } else if (f->cursor != c->last + 2) {
        TROUBLE(c, "cursor %llu after %llu", (unsigned long long) f->cursor, (unsigned long long) c->last);
    }
    c->last = f->cursor;
}

static void check_lines(struct frame_checker *c, const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != '\n') {
            if (c->line_len + 1 < sizeof(c->line))
                c->line[c->line_len++] = (char) p[i];
            continue;
        }
        char want[32];

        c->line[c->line_len] = '\0';
        snprintf(want, sizeof(want), "%llu", (unsigned long long) c->next_line);
        if (strcmp(want, c->line) != 0)
            TROUBLE(c, "line '%s' where '%s' belongs", c->line, want);
        c->next_line++;
        c->line_len = 0;
    }
}

static void check_data(struct frame_checker *c, const struct frame *f)
{
    static unsigned char bytes[FRAME_DATA_MAX / 3 * 3 + 8];
    long n;

    if (!f->data) {
        TROUBLE(c, "%s without data", f->type);
        return;
    }
    if (f->data_len > (FRAME_DATA_MAX + 2) / 3 * 4) {
        TROUBLE(c, "%zu characters of data", f->data_len);
        return;
    }
    n = frame_decode(f->data, f->data_len, bytes);
    if (n <= 0 || n > FRAME_DATA_MAX)
        TROUBLE(c, n == 0 ? "empty data" : "data is not base64 of at most 64 KiB");
    if (n > 0) {
        c->bytes += (uint64_t) n;
        if (c->check_lines && strcmp(f->type, "stdout") == 0)
            check_lines(c, bytes, (size_t) n);
    }
}

void frame_check(struct frame_checker *c, const struct frame *f)
{
    bool output = !strcmp(f->type, "stdout") || !strcmp(f->type, "stderr") || !strcmp(f->type, "pty");

    if (!strcmp(f->type, "error")) {
        TROUBLE(c, "error frame: %s %s", f->error, f->message);
        return;
    }
    if (!output && strcmp(f->type, "started") && strcmp(f->type, "exit"))
        return;
    if (c->ended)
        TROUBLE(c, "%s after exit", f->type);
    if (!strcmp(f->type, "started")) {
        if (c->started || f->cursor != 1)
            TROUBLE(c, "started with cursor %llu%s", (unsigned long long) f->cursor, c->started ? ", again" : "");
        c->started = true;
    } else if (!c->started) {
        TROUBLE(c, "%s before started", f->type);
    }
    c->frames++;
    check_cursor(c, f);
    if (output)
        check_data(c, f);
    if (!strcmp(f->type, "exit")) {
        c->ended = true;
        c->exit_code = f->exit_code;
        snprintf(c->exit_error, sizeof(c->exit_error), "%s", f->error);
        if (!f->has_exit_code)
            TROUBLE(c, "exit without exit_code");
        if (c->line_len)
            TROUBLE(c, "the last line is not whole");
    }
}
