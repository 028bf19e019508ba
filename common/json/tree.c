/* SPDX-License-Identifier: Apache-2.0 */
/* tree - documents and borrowed values; see json.h */
#include "common/json/library.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/json/json_internal.h"
#include <errno.h>
#include <string.h>

struct json_doc {
    struct json_object *root; /* owned; NULL is the value null */
};

const char json_null_value[1] = {0};

static size_t count_members(struct json_object *o)
{
    size_t n = 0;

    if (json_object_is_type(o, json_type_object)) {
        struct lh_entry *entry;

        lh_foreach(json_object_get_object(o), entry) {
            n += 1 + count_members((struct json_object *) lh_entry_v(entry));
        }
    } else if (json_object_is_type(o, json_type_array)) {
        size_t len = json_object_array_length(o);

        for (size_t i = 0; i < len; i++)
            n += count_members(json_object_array_get_idx(o, i));
    }
    return n;
}

static struct json_tokener *tree_tokener(void)
{
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 2);

    if (tok)
        json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    return tok;
}

static int tree_build(struct json_tokener *tok, const void *p, size_t len, struct json_object **root, struct err *e)
{
    *root = json_tokener_parse_ex(tok, p, (int) len);
    if (json_tokener_get_error(tok) == json_tokener_continue)
        *root = json_tokener_parse_ex(tok, "\n", 1); /* a number at the end of the text ends with it */
    if (json_tokener_get_error(tok) == json_tokener_success)
        return 0;
    json_object_put(*root);
    *root = NULL;
    return err_set(e, -EINVAL, "not valid JSON: %s", json_tokener_error_desc(json_tokener_get_error(tok)));
}

static int tree_parse(struct json_tokener *tok, const void *p, size_t len, struct json_object **root, struct err *e)
{
    size_t members;
    int r = json_scan(p, len, NULL, &members, e);

    if (r == 0)
        r = tree_build(tok, p, len, root, e);
    if (r < 0)
        return r;
    if (count_members(*root) == members)
        return 0;
    /* A name is there twice: the second walk finds out which. */
    json_object_put(*root);
    *root = NULL;
    r = json_scan(p, len, tok, &members, e);
    return r < 0 ? r : err_set(e, -EINVAL, "not valid JSON: a member is there twice");
}

int json_parse(struct json_doc **out, const void *p, size_t len, struct err *e)
{
    struct json_tokener *tok = tree_tokener();
    struct json_object *root = NULL;

    if (!tok)
        return err_set(e, -ENOMEM, "no memory to read JSON");
    int r = tree_parse(tok, p, len, &root, e);

    json_tokener_free(tok);
    if (r < 0)
        return r;
    *out = xnew(struct json_doc);
    (*out)->root = root;
    return 0;
}

void json_doc_free(struct json_doc *d)
{
    if (!d)
        return;
    json_object_put(d->root);
    free(d);
}

void json_doc_freep(struct json_doc **d)
{
    json_doc_free(*d);
    *d = NULL;
}

const struct json *json_root(const struct json_doc *d)
{
    return d ? json_wrap(d->root) : NULL;
}

enum json_type json_type(const struct json *v)
{
    switch (json_object_get_type(json_unwrap(v))) {
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return JSON_INT;
    case json_type_double:
        return JSON_DOUBLE;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const struct json *json_get(const struct json *obj, const char *key)
{
    struct json_object *o = json_unwrap(obj), *member;

    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &member))
        return NULL;
    return json_wrap(member);
}

const struct json *json_at(const struct json *arr, size_t i)
{
    struct json_object *o = json_unwrap(arr);

    if (!json_object_is_type(o, json_type_array) || i >= json_object_array_length(o))
        return NULL;
    return json_wrap(json_object_array_get_idx(o, i));
}

size_t json_count(const struct json *v)
{
    struct json_object *o = json_unwrap(v);

    if (json_object_is_type(o, json_type_array))
        return json_object_array_length(o);
    return json_object_is_type(o, json_type_object) ? (size_t) json_object_object_length(o) : 0;
}

size_t json_str_len(const struct json *v)
{
    struct json_object *o = json_unwrap(v);

    return json_object_is_type(o, json_type_string) ? (size_t) json_object_get_string_len(o) : 0;
}

const char *json_str_raw(const struct json *v)
{
    struct json_object *o = json_unwrap(v);

    return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;
}

const char *json_str(const struct json *v)
{
    const char *s = json_str_raw(v);

    return s && !memchr(s, '\0', json_str_len(v)) ? s : NULL;
}

bool json_u64(const struct json *v, uint64_t *out)
{
    struct json_object *o = json_unwrap(v);

    if (!json_object_is_type(o, json_type_int) || json_object_get_int64(o) < 0)
        return false;
    *out = json_object_get_uint64(o);
    return true;
}

bool json_int(const struct json *v, int64_t *out)
{
    struct json_object *o = json_unwrap(v);
    uint64_t u;

    if (!json_object_is_type(o, json_type_int) || (json_u64(v, &u) && u > INT64_MAX))
        return false;
    *out = json_object_get_int64(o);
    return true;
}

bool json_double(const struct json *v, double *out)
{
    struct json_object *o = json_unwrap(v);

    if (!json_object_is_type(o, json_type_int) && !json_object_is_type(o, json_type_double))
        return false;
    *out = json_object_get_double(o);
    return true;
}

bool json_bool(const struct json *v, bool *out)
{
    struct json_object *o = json_unwrap(v);

    if (!json_object_is_type(o, json_type_boolean))
        return false;
    *out = json_object_get_boolean(o);
    return true;
}

bool json_next(const struct json *obj, struct json_iter *it, const char **key, const struct json **value)
{
    static char at_end;
    struct json_object *o = json_unwrap(obj);
    struct lh_entry *entry = NULL;

    if (!json_object_is_type(o, json_type_object) || it->priv == &at_end)
        return false;
    entry = it->priv ? lh_entry_next((struct lh_entry *) it->priv) : json_object_get_object(o)->head;
    it->priv = entry ? (void *) entry : (void *) &at_end;
    if (!entry)
        return false;
    if (key)
        *key = lh_entry_k(entry);
    if (value)
        *value = json_wrap(lh_entry_v(entry));
    return true;
}
