/* SPDX-License-Identifier: Apache-2.0 */
/* writer - JSON out; see json.h. On the path of every process frame: text without specials is copied by runs. */
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/json/json_internal.h"
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITER_DEPTH_MAX = 63 };

/* 1: stands in a string as it is */
#define PLAIN4(i) PLAIN(i), PLAIN((i) + 1), PLAIN((i) + 2), PLAIN((i) + 3)
#define PLAIN16(i) PLAIN4(i), PLAIN4((i) + 4), PLAIN4((i) + 8), PLAIN4((i) + 12)
#define PLAIN(c) ((c) >= 0x20 && (c) < 0x80 && (c) != '"' && (c) != '\\')
static const unsigned char writer_plain[256] = {
    PLAIN16(0), PLAIN16(16), PLAIN16(32), PLAIN16(48), PLAIN16(64), PLAIN16(80), PLAIN16(96), PLAIN16(112), 0,
};

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out, .start = out->len};
}

static void writer_put(struct json_writer *w, const void *p, size_t len)
{
    if (w->status == 0)
        w->status = buf_append(w->out, p, len);
}

static void writer_put_char(struct json_writer *w, char c)
{
    writer_put(w, &c, 1);
}

/* Comma and bookkeeping before any value. */
static void writer_value(struct json_writer *w)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    if (w->is_object & bit) {
        assert(w->after_key);
        w->after_key = false;
        return;
    }
    if (w->has_items & bit) {
        assert(w->depth > 0); /* one value a document */
        writer_put_char(w, ',');
    }
    w->has_items |= bit;
}

static void writer_open(struct json_writer *w, char bracket)
{
    writer_value(w);
    writer_put_char(w, bracket);
    assert(w->depth < WRITER_DEPTH_MAX);
    w->depth++;

    uint64_t bit = UINT64_C(1) << w->depth;

    w->has_items &= ~bit;
    w->is_object = bracket == '{' ? w->is_object | bit : w->is_object & ~bit;
}

static void writer_close(struct json_writer *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    assert(((w->is_object >> w->depth) & 1) == (bracket == '}'));
    w->is_object &= ~(UINT64_C(1) << w->depth);
    w->depth--;
    writer_put_char(w, bracket);
}

void jw_object(struct json_writer *w)
{
    writer_open(w, '{');
}

void jw_object_end(struct json_writer *w)
{
    writer_close(w, '}');
}

void jw_array(struct json_writer *w)
{
    writer_open(w, '[');
}

void jw_array_end(struct json_writer *w)
{
    writer_close(w, ']');
}

static size_t plain_run(const unsigned char *p, size_t len)
{
    size_t n = 0;

    while (len - n >= 4 && (writer_plain[p[n]] & writer_plain[p[n + 1]] & writer_plain[p[n + 2]] & writer_plain[p[n + 3]]))
        n += 4;
    while (n < len && writer_plain[p[n]])
        n++;
    return n;
}

static void writer_put_escape(struct json_writer *w, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    char text[8];
    int n = found ? snprintf(text, sizeof(text), "\\%c", to[found - from])
                  : snprintf(text, sizeof(text), "\\u%04x", c);

    writer_put(w, text, (size_t) n);
}

static void writer_put_text(struct json_writer *w, const unsigned char *p, size_t len)
{
    while (len) {
        size_t n = plain_run(p, len);

        if (n) {
            writer_put(w, p, n);
        } else if (*p < 0x80) {
            n = 1;
            writer_put_escape(w, *p);
        } else {
            size_t run = 1;

            while (run < len && p[run] >= 0x80)
                run++;
            n = utf8_valid_prefix(p, run);
            if (n) {
                writer_put(w, p, n);
            } else {
                n = 1;
                writer_put(w, "\xef\xbf\xbd", 3);
            }
        }
        p += n;
        len -= n;
    }
}

static void writer_put_string(struct json_writer *w, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *) s;
    uint8_t *to = w->status == 0 && plain_run(p, len) == len ? buf_reserve(w->out, len + 2) : NULL;

    if (to) { /* what nearly all strings are */
        to[0] = '"';
        if (len)
            memcpy(to + 1, p, len);
        to[len + 1] = '"';
        buf_commit(w->out, len + 2);
        return;
    }
    writer_put_char(w, '"');
    writer_put_text(w, p, len);
    writer_put_char(w, '"');
}

void jw_key(struct json_writer *w, const char *key)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    assert((w->is_object & bit) && !w->after_key);
    if (w->has_items & bit)
        writer_put_char(w, ',');
    w->has_items |= bit;
    writer_put_string(w, key, strlen(key));
    writer_put_char(w, ':');
    w->after_key = true;
}

void jw_str_n(struct json_writer *w, const char *s, size_t len)
{
    writer_value(w);
    writer_put_string(w, s, len);
}

void jw_str(struct json_writer *w, const char *s)
{
    if (s)
        jw_str_n(w, s, strlen(s));
    else
        jw_null(w);
}

/* Decimal digits of v, ending at `end`; returns the first. */
static char *u64_text(uint64_t v, char *end)
{
    do {
        *--end = (char) ('0' + v % 10);
        v /= 10;
    } while (v);
    return end;
}

void jw_u64(struct json_writer *w, uint64_t v)
{
    char text[24], *end = text + sizeof(text), *p = u64_text(v, end);

    writer_value(w);
    writer_put(w, p, (size_t) (end - p));
}

void jw_int(struct json_writer *w, int64_t v)
{
    char text[24], *end = text + sizeof(text), *p = u64_text(v < 0 ? 0 - (uint64_t) v : (uint64_t) v, end);

    if (v < 0)
        *--p = '-';
    writer_value(w);
    writer_put(w, p, (size_t) (end - p));
}

void jw_double(struct json_writer *w, double v)
{
    char text[40];

    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back as the same */
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    writer_value(w);
    writer_put(w, text, strlen(text));
    if (!strpbrk(text, ".e")) /* it stays a double for who reads it */
        writer_put(w, ".0", 2);
}

void jw_bool(struct json_writer *w, bool v)
{
    writer_value(w);
    writer_put(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct json_writer *w)
{
    writer_value(w);
    writer_put(w, "null", 4);
}

void jw_base64(struct json_writer *w, const void *p, size_t len)
{
    size_t text = base64_encoded_len(len);

    writer_value(w);
    uint8_t *to = w->status == 0 ? buf_reserve(w->out, text + 2) : NULL;

    if (!to) {
        w->status = w->status ? w->status : -ENOBUFS;
        return;
    }
    to[0] = '"';
    base64_encode(p, len, (char *) to + 1);
    to[text + 1] = '"'; /* where its NUL was */
    buf_commit(w->out, text + 2);
}

void jw_raw(struct json_writer *w, const char *json, size_t len)
{
    assert(len > 0);
    writer_value(w);
    writer_put(w, json, len);
}

static void writer_tree_items(struct json_writer *w, const struct json *v)
{
    struct json_iter it = JSON_ITER_INIT;
    const struct json *item;
    const char *key;

    if (json_type(v) == JSON_OBJECT) {
        jw_object(w);
        while (json_next(v, &it, &key, &item)) {
            jw_key(w, key);
            jw_tree(w, item);
        }
        jw_object_end(w);
        return;
    }
    jw_array(w);
    for (size_t i = 0; i < json_count(v); i++)
        jw_tree(w, json_at(v, i));
    jw_array_end(w);
}

void jw_tree(struct json_writer *w, const struct json *v)
{
    int64_t i;
    uint64_t u;
    double d;
    bool b;

    if (json_type(v) == JSON_OBJECT || json_type(v) == JSON_ARRAY)
        writer_tree_items(w, v);
    else if (json_type(v) == JSON_STRING)
        jw_str_n(w, json_str_raw(v), json_str_len(v));
    else if (json_int(v, &i))
        jw_int(w, i);
    else if (json_u64(v, &u))
        jw_u64(w, u);
    else if (json_double(v, &d))
        jw_double(w, d);
    else if (json_bool(v, &b))
        jw_bool(w, b);
    else
        jw_null(w);
}

int json_writer_end(struct json_writer *w)
{
    assert(w->depth == 0 && (w->has_items & 1));
    if (w->status < 0)
        w->out->len = w->start;
    return w->status;
}

void jw_kstr(struct json_writer *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_kint(struct json_writer *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_int(w, v);
}

void jw_ku64(struct json_writer *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    jw_u64(w, v);
}

void jw_kdouble(struct json_writer *w, const char *key, double v)
{
    jw_key(w, key);
    jw_double(w, v);
}

void jw_kbool(struct json_writer *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_knull(struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kstr_opt(struct json_writer *w, const char *key, const char *s)
{
    if (s)
        jw_kstr(w, key, s);
}

void jw_kstrings(struct json_writer *w, const char *key, const struct json_strings *list)
{
    jw_karray(w, key);
    for (size_t i = 0; i < list->count; i++)
        jw_str(w, list->items[i]);
    jw_array_end(w);
}

void jw_kmap(struct json_writer *w, const char *key, const struct json_map *m)
{
    jw_kobject(w, key);
    for (size_t i = 0; i < m->count; i++)
        jw_kstr(w, m->items[i].key, m->items[i].value);
    jw_object_end(w);
}

void jw_kobject(struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_object(w);
}

void jw_karray(struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_array(w);
}
