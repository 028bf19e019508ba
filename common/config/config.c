/* SPDX-License-Identifier: Apache-2.0 */
/* config - see config.h. A value is checked the same way whether it comes from the file or is a default. */
#include "common/config/config.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/config/config_internal.h"
#include "common/json/json.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *config_type_name(enum config_type type)
{
    static const char *const names[] = {
        [CONFIG_STRING] = "string", [CONFIG_INT] = "integer",  [CONFIG_BOOL] = "boolean",
        [CONFIG_PATH] = "path",     [CONFIG_ADDR] = "address", [CONFIG_ADDRS] = "addresses",
    };

    return names[type];
}

static int set_int(const struct config_key *k, int64_t v, void *out, struct err *e)
{
    if ((k->min || k->max) && (v < k->min || v > k->max))
        return err_set(e, -EINVAL, "%s: must be %" PRId64 "..%" PRId64, k->name, k->min, k->max);
    *(int64_t *) ((char *) out + k->offset) = v;
    return 0;
}

/* NULL when the text is fine for the key. */
static const char *text_check(const struct config_key *k, const char *s)
{
    if (k->type == CONFIG_STRING)
        return NULL;
    if (!*s) /* a key that may be empty says so by its default */
        return k->fallback && !*k->fallback ? NULL : "must not be empty";
    if (k->type == CONFIG_PATH)
        return s[0] == '/' ? NULL : "must be an absolute path";
    return config_addr_check(s, k->type == CONFIG_ADDRS);
}

static int set_text(const struct config_key *k, const char *s, struct arena *a, void *out, struct err *e)
{
    int64_t max = k->max ? k->max : CONFIG_STRING_MAX;
    size_t len = strlen(s);
    const char *wrong = text_check(k, s);

    if (wrong)
        return err_set(e, -EINVAL, "%s: %s", k->name, wrong);
    if (len < (uint64_t) k->min || len > (uint64_t) max)
        return err_set(e, -EINVAL, "%s: must have %" PRId64 "..%" PRId64 " bytes", k->name, k->min, max);
    const char *copy = arena_strndup(a, s, len);

    if (!copy)
        return err_set(e, -ENOMEM, "%s: no memory", k->name);
    *(const char **) ((char *) out + k->offset) = copy;
    return 0;
}

static int set_bool(const struct config_key *k, bool v, void *out)
{
    *(bool *) ((char *) out + k->offset) = v;
    return 0;
}

static int set_default(const struct config_key *k, struct arena *a, void *out, struct err *e)
{
    int64_t v;

    if (k->type == CONFIG_INT && str_to_i64(k->fallback, &v) < 0)
        return err_set(e, -EINVAL, "%s: the default '%s' is no integer", k->name, k->fallback);
    if (k->type == CONFIG_INT)
        return set_int(k, v, out, e);
    if (k->type == CONFIG_BOOL)
        return set_bool(k, str_eq(k->fallback, "true"), out);
    return set_text(k, k->fallback, a, out, e);
}

static int set_value(const struct config_key *k, const struct json *v, struct arena *a, void *out, struct err *e)
{
    int64_t i;
    bool b;

    if (k->type == CONFIG_INT)
        return json_int(v, &i) ? set_int(k, i, out, e) : err_set(e, -EINVAL, "%s: must be an integer", k->name);
    if (k->type == CONFIG_BOOL)
        return json_bool(v, &b) ? set_bool(k, b, out) : err_set(e, -EINVAL, "%s: must be true or false", k->name);
    const char *s = json_str(v);

    return s ? set_text(k, s, a, out, e) : err_set(e, -EINVAL, "%s: must be a string", k->name);
}

static int refuse_unknown(const struct config_table *t, const struct json *root, struct err *e)
{
    struct json_iter it = JSON_ITER_INIT;
    const char *name;

    while (json_next(root, &it, &name, NULL)) {
        const struct config_key *k = t->keys;

        while (k->name && !str_eq(k->name, name))
            k++;
        if (!k->name)
            return err_set(e, -EINVAL, "%.64s: unknown key; %s --help lists the known ones", name, t->program);
    }
    return 0;
}

static int fill(const struct config_table *t, const struct json *root, struct arena *a, void *out, struct err *e)
{
    int r = refuse_unknown(t, root, e);

    for (const struct config_key *k = t->keys; r == 0 && k->name; k++) {
        const struct json *v = json_get(root, k->name);

        if (v)
            r = set_value(k, v, a, out, e);
        else if (k->fallback)
            r = set_default(k, a, out, e);
        else
            r = err_set(e, -EINVAL, "%s: is required", k->name);
    }
    return r;
}

int config_defaults(const struct config_table *t, struct arena *a, void *out, struct err *e)
{
    int r = 0;

    memset(out, 0, t->size);
    for (const struct config_key *k = t->keys; r == 0 && k->name; k++) {
        if (k->fallback)
            r = set_default(k, a, out, e);
    }
    return r;
}

int config_load(const struct config_table *t, const char *path, struct arena *a, void *out, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(CONFIG_FILE_MAX + 1);
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    int r;

    memset(out, 0, t->size);
    r = file_read(path, CONFIG_FILE_MAX, &text, e);
    if (r < 0)
        return err_wrap(e, r, "configuration");
    r = json_parse(&doc, buf_data(&text), text.len, e);
    if (r == 0 && json_type(json_root(doc)) != JSON_OBJECT)
        r = err_set(e, -EINVAL, "must be a JSON object");
    if (r == 0)
        r = fill(t, json_root(doc), a, out, e);
    return r < 0 ? err_wrap(e, r, "configuration '%s'", path) : 0;
}
