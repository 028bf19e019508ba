/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json - the only door to the JSON library. Strict: RFC 8259, UTF-8, one value, no NaN, no single quotes, no comments,
 * no raw control characters, no duplicate members, integers that do not fit are errors, depth <= 32.
 *
 * Two ways in: a tree of borrowed values for documents of unknown shape, and tables that decode into a struct.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;
struct err;

/* ---- tree ---- */
struct json_doc; /* owns a whole parsed document */
struct json;     /* one value in it; borrowed from its document */

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

int json_parse(struct json_doc **out, const void *p, size_t len, struct err *e) must_check; /* -EINVAL, -E2BIG (depth) */
void json_doc_free(struct json_doc *d);
void json_doc_freep(struct json_doc **d);
const struct json *json_root(const struct json_doc *d);

/* All getters take NULL and answer as for a missing value. No coercion: "12" is not a number, 1.0 is not an int. */
enum json_type json_type(const struct json *v); /* JSON_NULL for NULL */
const struct json *json_get(const struct json *obj, const char *key); /* NULL when absent or not an object */
const struct json *json_at(const struct json *arr, size_t i);
size_t json_count(const struct json *v); /* members or elements */
const char *json_str(const struct json *v); /* NULL when not a string, or when it holds a NUL character */
size_t json_str_len(const struct json *v);
bool json_int(const struct json *v, int64_t *out);
bool json_u64(const struct json *v, uint64_t *out);
bool json_double(const struct json *v, double *out); /* ints too */
bool json_bool(const struct json *v, bool *out);

struct json_iter {
    void *priv;
};
#define JSON_ITER_INIT {0}
/* Members in order; false at the end. */
bool json_next(const struct json *obj, struct json_iter *it, const char **key, const struct json **value);

/* ---- tables ---- */
enum json_kind {
    JSON_F_BOOL,    /* bool */
    JSON_F_INT,     /* int64_t, min..max */
    JSON_F_U64,     /* uint64_t, min..max */
    JSON_F_DOUBLE,  /* double, min..max */
    JSON_F_STRING,  /* char *, arena; length min..max bytes; no NUL character */
    JSON_F_ID,      /* char *, arena: a string or a non-negative integer, as text; length <= max */
    JSON_F_BASE64,  /* struct json_bytes, arena, decoded; max bytes */
    JSON_F_OBJECT,  /* struct at offset, decoded by `nested` */
    JSON_F_MAP,     /* struct json_map, arena: string values; max members; flag JSON_STRINGIFY makes text of others */
    JSON_F_STRINGS, /* struct json_strings, arena; max elements; a single string counts as one with JSON_ONE_OR_MANY */
    JSON_F_ARRAY,   /* struct json_array, arena: elements decoded by `nested` (nested->size each); max elements */
    JSON_F_ANY,     /* const struct json *: borrowed from the document (use json_decode_tree and keep the doc) */
};

enum {
    JSON_REQUIRED = 1,     /* absent (or null) is an error */
    JSON_NULL_OK = 2,      /* null is as absent; without it null is an error */
    JSON_STRINGIFY = 4,
    JSON_ONE_OR_MANY = 8,
    JSON_NULL_REMOVES = 16, /* JSON_F_MAP: members with null are skipped */
};

struct json_bytes {
    uint8_t *data;
    size_t len;
};
struct json_pair {
    char *key, *value;
};
struct json_map {
    struct json_pair *items;
    size_t count;
};
struct json_strings {
    char **items;
    size_t count;
};
struct json_array {
    void *items;
    size_t count;
};

struct json_field {
    const char *name;  /* further spellings after '|': "env_vars|envs|env"; the first one that is there and not null is used */
    enum json_kind kind;
    unsigned flags;
    size_t offset;     /* of the member */
    size_t present;    /* of a bool that says "was given", or JSON_NO_PRESENT */
    /*
     * Range, length or count by kind. 0,0 = the kind's default: numbers any that fit, strings 1 MiB, ids 64 bytes, base64 16 MiB,
     * maps 1000 members, lists 10000 elements. Texts inside of maps and lists have 1 MiB each, names in maps 4 KiB.
     */
    int64_t min, max;
    const struct json_table *nested;
};
#define JSON_NO_PRESENT ((size_t) -1)

struct json_table {
    const struct json_field *fields; /* ends with a NULL name */
    size_t size;                     /* of the struct */
    bool refuse_unknown;             /* default: ignore */
};

/*
 * Decodes into *out (zeroed first for `size`). On failure the text names the path: "timeout: must be 1..86400", "files[2].path:
 * is required". -EINVAL; -E2BIG when nested too deep or too large for the arena. base64 is taken with or without padding.
 */
int json_decode(const struct json_table *t, const void *p, size_t len, struct arena *a, void *out, struct err *e) must_check;
int json_decode_tree(const struct json_table *t, const struct json *v, struct arena *a, void *out, struct err *e) must_check;

/* ---- writer ---- */
struct buf;
/*
 * Writes into a struct buf, commas and escapes included. Misuse (value without key) asserts; a full buffer is remembered and
 * answered by json_writer_end(), which then takes back what was written. Strings are taken as UTF-8; bytes that are not are replaced by U+FFFD.
 */
struct json_writer {
    struct buf *out;
    unsigned depth;
    uint64_t has_items; /* a bit per depth */
    uint64_t is_object;
    bool after_key;
    int status;
    size_t start; /* of out->len */
};
void json_writer_init(struct json_writer *w, struct buf *out);
void jw_object(struct json_writer *w);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_array_end(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_str(struct json_writer *w, const char *s); /* NULL writes null */
void jw_str_n(struct json_writer *w, const char *s, size_t len);
void jw_int(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
void jw_double(struct json_writer *w, double v); /* not finite writes null */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_base64(struct json_writer *w, const void *p, size_t len);
void jw_raw(struct json_writer *w, const char *json, size_t len); /* trusted, already JSON */
void jw_tree(struct json_writer *w, const struct json *v);
int json_writer_end(struct json_writer *w) must_check; /* 0 or -ENOBUFS */

/* key and value in one */
void jw_kstr(struct json_writer *w, const char *key, const char *s);
void jw_kint(struct json_writer *w, const char *key, int64_t v);
void jw_ku64(struct json_writer *w, const char *key, uint64_t v);
void jw_kdouble(struct json_writer *w, const char *key, double v);
void jw_kbool(struct json_writer *w, const char *key, bool v);
void jw_knull(struct json_writer *w, const char *key);
void jw_kstr_opt(struct json_writer *w, const char *key, const char *s); /* NULL leaves the member out */
void jw_kmap(struct json_writer *w, const char *key, const struct json_map *m);
void jw_kstrings(struct json_writer *w, const char *key, const struct json_strings *list);
void jw_kobject(struct json_writer *w, const char *key);
void jw_karray(struct json_writer *w, const char *key);
