/* SPDX-License-Identifier: Apache-2.0 */
/* decode - JSON into structs by table; see json.h. A path of where we are lives on the C stack and is written out on error. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/json/json_internal.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DECODE_NAME_SHOWN = 64, DECODE_PATH_MAX = 300, DECODE_MAP_KEY_MAX = 4 * KIB };

struct decode_at {
    const struct decode_at *up;
    const char *name; /* member, or NULL for element `index`; need not end after name_len */
    size_t name_len;
    size_t index;
};

struct decode {
    struct arena *arena;
    struct err *e;
    bool keep_tree; /* the document outlives the result */
};

struct decode_limits {
    int64_t min, max;
};

static const struct decode_limits decode_default[] = {
    [JSON_F_BOOL] = {0, 0},           [JSON_F_INT] = {INT64_MIN, INT64_MAX}, [JSON_F_U64] = {0, INT64_MAX},
    [JSON_F_DOUBLE] = {0, 0},         [JSON_F_STRING] = {0, MIB},            [JSON_F_ID] = {0, 64},
    [JSON_F_BASE64] = {0, 16 * MIB},  [JSON_F_OBJECT] = {0, 0},              [JSON_F_MAP] = {0, 1000},
    [JSON_F_STRINGS] = {0, 10000},    [JSON_F_ARRAY] = {0, 10000},           [JSON_F_ANY] = {0, 0},
};

static int decode_object(struct decode *d, const struct json_table *t, const struct json *v, const struct decode_at *at,
                         void *out);

static size_t path_write(const struct decode_at *at, char *out, size_t size)
{
    if (!at)
        return 0;
    size_t n = path_write(at->up, out, size);

    if (n >= size - 1)
        return n;
    size_t shown = at->name_len > DECODE_NAME_SHOWN ? DECODE_NAME_SHOWN : at->name_len;
    int more = at->name ? snprintf(out + n, size - n, "%s%.*s", n ? "." : "", (int) shown, at->name)
                        : snprintf(out + n, size - n, "[%zu]", at->index);

    n += more > 0 ? (size_t) more : 0;
    return n < size ? n : size - 1;
}

static int decode_bad(struct decode *d, const struct decode_at *at, const char *fmt, ...) printf_like(3, 4);

static int decode_bad(struct decode *d, const struct decode_at *at, const char *fmt, ...)
{
    char path[DECODE_PATH_MAX] = "", text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    path_write(at, path, sizeof(path));
    path[utf8_valid_prefix(path, strlen(path))] = '\0'; /* a name may have been cut inside of a character */
    return err_set(d->e, -EINVAL, "%s%s%s", path, path[0] ? ": " : "", text);
}

static int decode_full(struct decode *d, const struct decode_at *at)
{
    (void) decode_bad(d, at, "too large");
    if (d->e)
        d->e->code = -E2BIG;
    return -E2BIG;
}

static struct decode_limits field_limits(const struct json_field *f)
{
    struct decode_limits l = {f->min, f->max};

    if (l.min == 0 && l.max == 0)
        l = decode_default[f->kind];
    assert(l.min <= l.max);
    return l;
}

static int decode_int(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                      int64_t *out)
{
    struct decode_limits l = field_limits(f);
    int64_t n;

    if (json_type(v) != JSON_INT)
        return decode_bad(d, at, "must be an integer");
    if (!json_int(v, &n) || n < l.min || n > l.max)
        return decode_bad(d, at, "must be %" PRId64 "..%" PRId64, l.min, l.max);
    *out = n;
    return 0;
}

static int decode_u64(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                      uint64_t *out)
{
    bool any = f->min == 0 && f->max == 0;
    uint64_t min = (uint64_t) f->min, max = any ? UINT64_MAX : (uint64_t) f->max, n;

    if (json_type(v) != JSON_INT)
        return decode_bad(d, at, "must be an integer");
    if (!json_u64(v, &n) || n < min || n > max)
        return decode_bad(d, at, "must be %" PRIu64 "..%" PRIu64, min, max);
    *out = n;
    return 0;
}

static int decode_double(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                         double *out)
{
    bool any = f->min == 0 && f->max == 0;
    double n;

    if (!json_double(v, &n))
        return decode_bad(d, at, "must be a number");
    if (!any && (n < (double) f->min || n > (double) f->max))
        return decode_bad(d, at, "must be %" PRId64 "..%" PRId64, f->min, f->max);
    *out = n;
    return 0;
}

static int decode_bool(struct decode *d, const struct json *v, const struct decode_at *at, bool *out)
{
    return json_bool(v, out) ? 0 : decode_bad(d, at, "must be true or false");
}

/* Any string value to text in the arena. */
static int decode_text(struct decode *d, const struct json *v, const struct decode_at *at, struct decode_limits l,
                       char **out)
{
    size_t len = json_str_len(v);

    if (json_type(v) != JSON_STRING)
        return decode_bad(d, at, "must be a string");
    if (len < (uint64_t) l.min || len > (uint64_t) l.max) {
        if (l.min == 1 && len == 0)
            return decode_bad(d, at, "must not be empty");
        return decode_bad(d, at, "must have %" PRId64 "..%" PRId64 " bytes", l.min, l.max);
    }
    const char *s = json_str(v);

    if (!s)
        return decode_bad(d, at, "must not hold a NUL character");
    *out = arena_strndup(d->arena, s, len);
    return *out ? 0 : decode_full(d, at);
}

static int decode_id(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                     char **out)
{
    uint64_t n;

    if (json_type(v) == JSON_STRING)
        return decode_text(d, v, at, field_limits(f), out);
    if (!json_u64(v, &n))
        return decode_bad(d, at, "must be a string or a number that is not negative");
    *out = arena_printf(d->arena, "%" PRIu64, n);
    return *out ? 0 : decode_full(d, at);
}

static int decode_base64(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                         struct json_bytes *out)
{
    struct decode_limits l = field_limits(f);
    size_t len = json_str_len(v);

    if (json_type(v) != JSON_STRING)
        return decode_bad(d, at, "must be a base64 string");
    if (len / 4 > (uint64_t) l.max / 3 + 1) /* before memory is spent on it */
        return decode_bad(d, at, "must be at most %" PRId64 " bytes", l.max);
    out->data = arena_alloc(d->arena, len / 4 * 3 + 3);
    if (!out->data)
        return decode_full(d, at);
    ssize_t n = base64_decode(json_str_raw(v), len, true, out->data);

    if (n < 0)
        return decode_bad(d, at, "must be valid base64");
    if (n < l.min || n > l.max)
        return decode_bad(d, at, "must be %" PRId64 "..%" PRId64 " bytes", l.min, l.max);
    out->len = (size_t) n;
    return 0;
}

/* Text of any value: strings as they are, others as JSON. */
static int decode_stringify(struct decode *d, const struct json *v, const struct decode_at *at, char **out)
{
    struct decode_limits l = decode_default[JSON_F_STRING];
    cleanup(buf_deinit) struct buf text = BUF_INIT((size_t) l.max);
    struct json_writer w;

    if (json_type(v) == JSON_STRING)
        return decode_text(d, v, at, l, out);
    json_writer_init(&w, &text);
    jw_tree(&w, v);
    if (json_writer_end(&w) < 0)
        return decode_full(d, at);
    *out = arena_strndup(d->arena, (const char *) buf_data(&text), text.len);
    return *out ? 0 : decode_full(d, at);
}

static int decode_count(struct decode *d, const struct json_field *f, size_t count, const struct decode_at *at,
                        const char *what)
{
    struct decode_limits l = field_limits(f);

    if (count < (uint64_t) l.min || count > (uint64_t) l.max)
        return decode_bad(d, at, "must have %" PRId64 "..%" PRId64 " %s", l.min, l.max, what);
    return 0;
}

static int decode_pair(struct decode *d, const struct json_field *f, const char *key, const struct json *v,
                       const struct decode_at *up, struct json_pair *out)
{
    struct decode_at at = {.up = up, .name = key, .name_len = strlen(key)};

    if (at.name_len > DECODE_MAP_KEY_MAX)
        return decode_bad(d, &at, "the name is longer than %d bytes", DECODE_MAP_KEY_MAX);
    int r = f->flags & JSON_STRINGIFY ? decode_stringify(d, v, &at, &out->value)
                                      : decode_text(d, v, &at, decode_default[JSON_F_STRING], &out->value);

    if (r < 0)
        return r;
    out->key = arena_strndup(d->arena, key, at.name_len);
    return out->key ? 0 : decode_full(d, &at);
}

static int decode_map(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                      struct json_map *out)
{
    struct json_iter it = JSON_ITER_INIT;
    const struct json *item;
    const char *key;
    int r;

    if (json_type(v) != JSON_OBJECT)
        return decode_bad(d, at, "must be an object");
    r = decode_count(d, f, json_count(v), at, "members");
    if (r < 0)
        return r;
    out->items = arena_alloc(d->arena, json_count(v) * sizeof(*out->items));
    if (!out->items)
        return decode_full(d, at);
    while (json_next(v, &it, &key, &item)) {
        if (json_type(item) == JSON_NULL && (f->flags & JSON_NULL_REMOVES))
            continue;
        r = decode_pair(d, f, key, item, at, &out->items[out->count]);
        if (r < 0)
            return r;
        out->count++;
    }
    return 0;
}

static int decode_strings(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                          struct json_strings *out)
{
    bool one = (f->flags & JSON_ONE_OR_MANY) && json_type(v) == JSON_STRING;
    size_t count = one ? 1 : json_count(v);
    int r;

    if (!one && json_type(v) != JSON_ARRAY)
        return decode_bad(d, at, f->flags & JSON_ONE_OR_MANY ? "must be a string or an array of strings"
                                                             : "must be an array of strings");
    r = decode_count(d, f, count, at, "elements");
    if (r < 0)
        return r;
    out->items = arena_alloc(d->arena, count * sizeof(*out->items));
    if (!out->items)
        return decode_full(d, at);
    for (size_t i = 0; i < count; i++) {
        struct decode_at here = {.up = at, .index = i};

        r = decode_text(d, one ? v : json_at(v, i), one ? at : &here, decode_default[JSON_F_STRING], &out->items[i]);
        if (r < 0)
            return r;
        out->count++;
    }
    return 0;
}

static int decode_array(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                        struct json_array *out)
{
    size_t count = json_count(v);
    int r;

    if (json_type(v) != JSON_ARRAY)
        return decode_bad(d, at, "must be an array");
    r = decode_count(d, f, count, at, "elements");
    if (r < 0)
        return r;
    out->items = arena_alloc(d->arena, count * f->nested->size);
    if (!out->items)
        return decode_full(d, at);
    for (size_t i = 0; i < count; i++) {
        struct decode_at here = {.up = at, .index = i};

        r = decode_object(d, f->nested, json_at(v, i), &here, (char *) out->items + i * f->nested->size);
        if (r < 0)
            return r;
        out->count++;
    }
    return 0;
}

static int decode_value(struct decode *d, const struct json_field *f, const struct json *v, const struct decode_at *at,
                        void *out)
{
    switch (f->kind) {
    case JSON_F_BOOL:
        return decode_bool(d, v, at, out);
    case JSON_F_INT:
        return decode_int(d, f, v, at, out);
    case JSON_F_U64:
        return decode_u64(d, f, v, at, out);
    case JSON_F_DOUBLE:
        return decode_double(d, f, v, at, out);
    case JSON_F_STRING:
        return decode_text(d, v, at, field_limits(f), out);
    case JSON_F_ID:
        return decode_id(d, f, v, at, out);
    case JSON_F_BASE64:
        return decode_base64(d, f, v, at, out);
    case JSON_F_OBJECT:
        return decode_object(d, f->nested, v, at, out);
    case JSON_F_MAP:
        return decode_map(d, f, v, at, out);
    case JSON_F_STRINGS:
        return decode_strings(d, f, v, at, out);
    case JSON_F_ARRAY:
        return decode_array(d, f, v, at, out);
    case JSON_F_ANY:
        assert(d->keep_tree);
        *(const struct json **) out = v;
        return 0;
    }
    assert(!"a kind of field");
    return -EINVAL;
}

/* Walks "a|b|c": *name and *len are the next spelling; false at the end. */
static bool next_spelling(const char **names, const char **name, size_t *len)
{
    const char *bar;

    if (!**names)
        return false;
    bar = strchrnul(*names, '|');
    *name = *names;
    *len = (size_t) (bar - *names);
    *names = *bar ? bar + 1 : bar;
    return true;
}

/* The member under its first spelling that is there and not null; else one that is null; else NULL. */
static const struct json *field_find(const struct json_field *f, const struct json *obj, struct decode_at *at)
{
    const struct json *found = NULL;
    const char *names = f->name, *name;
    size_t len;

    while (next_spelling(&names, &name, &len)) {
        char key[DECODE_NAME_SHOWN + 1];

        assert(len < sizeof(key));
        memcpy(key, name, len);
        key[len] = '\0';
        const struct json *v = json_get(obj, key);

        if (!at->name || (v && (!found || json_type(found) == JSON_NULL))) {
            at->name = name;
            at->name_len = len;
        }
        if (v)
            found = v;
        if (v && json_type(v) != JSON_NULL)
            break;
    }
    return found;
}

static int decode_field(struct decode *d, const struct json_field *f, const struct json *obj, const struct decode_at *up,
                        char *out)
{
    struct decode_at at = {.up = up};
    const struct json *v = field_find(f, obj, &at);

    if (!v || (json_type(v) == JSON_NULL && f->kind != JSON_F_ANY)) {
        if (f->flags & JSON_REQUIRED)
            return decode_bad(d, &at, "is required");
        if (v && !(f->flags & JSON_NULL_OK))
            return decode_bad(d, &at, "must not be null");
        return 0;
    }
    int r = decode_value(d, f, v, &at, out + f->offset);

    if (r == 0 && f->present != JSON_NO_PRESENT)
        *(bool *) (out + f->present) = true;
    return r;
}

static bool table_knows(const struct json_table *t, const char *key)
{
    size_t key_len = strlen(key), len;

    for (const struct json_field *f = t->fields; f->name; f++) {
        const char *names = f->name, *name;

        while (next_spelling(&names, &name, &len)) {
            if (len == key_len && memcmp(name, key, len) == 0)
                return true;
        }
    }
    return false;
}

static int decode_unknown(struct decode *d, const struct json_table *t, const struct json *v, const struct decode_at *up)
{
    struct json_iter it = JSON_ITER_INIT;
    const char *key;

    while (json_next(v, &it, &key, NULL)) {
        struct decode_at at = {.up = up, .name = key, .name_len = strlen(key)};

        if (!table_knows(t, key))
            return decode_bad(d, &at, "unknown member");
    }
    return 0;
}

static int decode_object(struct decode *d, const struct json_table *t, const struct json *v, const struct decode_at *at,
                         void *out)
{
    if (json_type(v) != JSON_OBJECT)
        return decode_bad(d, at, "must be an object");
    if (t->refuse_unknown) {
        int r = decode_unknown(d, t, v, at);

        if (r < 0)
            return r;
    }
    for (const struct json_field *f = t->fields; f->name; f++) {
        int r = decode_field(d, f, v, at, out);

        if (r < 0)
            return r;
    }
    return 0;
}

int json_decode_tree(const struct json_table *t, const struct json *v, struct arena *a, void *out, struct err *e)
{
    struct decode d = {.arena = a, .e = e, .keep_tree = true};

    memset(out, 0, t->size);
    return decode_object(&d, t, v, NULL, out);
}

int json_decode(const struct json_table *t, const void *p, size_t len, struct arena *a, void *out, struct err *e)
{
    struct decode d = {.arena = a, .e = e};
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    int r;

    memset(out, 0, t->size);
    r = json_parse(&doc, p, len, e);
    if (r < 0)
        return r;
    return decode_object(&d, t, json_root(doc), NULL, out);
}
