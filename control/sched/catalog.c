/* SPDX-License-Identifier: Apache-2.0 */
/* catalog - see catalog.h. */
#include "control/sched/catalog.h"
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "control/db/tx.h"

enum { CATALOG_PIN_MAX = 64 };

int64_t id_parse(const char *s)
{
    uint64_t v;

    if (!s || *s < '1' || *s > '9' || str_to_u64(s, &v) < 0 || v > INT64_MAX)
        return -1;
    return (int64_t)v;
}

int slug_valid(const char *s)
{
    size_t len = s ? strlen(s) : 0;

    if (len < 1 || len > 63 || !((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')))
        return 0;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

int catalog_decode(const struct db_tx *tx, unsigned stmt, struct arena *a, struct catalog *out)
{
    struct catalog c = {
        .templates_count = (size_t)tx_rows(tx, stmt + CATALOG_TEMPLATES),
        .versions_count = (size_t)tx_rows(tx, stmt + CATALOG_VERSIONS),
        .tags_count = (size_t)tx_rows(tx, stmt + CATALOG_TAGS),
    };
    struct template_row *templates = arena_alloc(a, c.templates_count * sizeof(*templates));
    struct version_row *versions = arena_alloc(a, c.versions_count * sizeof(*versions));
    struct tag_row *tags = arena_alloc(a, c.tags_count * sizeof(*tags));
    int r = templates && versions && tags ? 0 : -ENOMEM;

    for (size_t i = 0; i < c.templates_count && r == 0; i++)
        r = template_decode(tx, stmt + CATALOG_TEMPLATES, (int)i, a, &templates[i]);
    for (size_t i = 0; i < c.versions_count && r == 0; i++)
        r = version_decode(tx, stmt + CATALOG_VERSIONS, (int)i, a, &versions[i]);
    for (size_t i = 0; i < c.tags_count && r == 0; i++)
        r = tag_decode(tx, stmt + CATALOG_TAGS, (int)i, a, &tags[i]);
    if (r < 0)
        return r;
    c.templates = templates;
    c.versions = versions;
    c.tags = tags;
    *out = c;
    return 0;
}

static const struct template_row *catalog_template_by_id(const struct catalog *c, int64_t id)
{
    for (size_t i = 0; i < c->templates_count; i++) {
        if (c->templates[i].id == id)
            return &c->templates[i];
    }
    return NULL;
}

static const struct template_row *catalog_template_by_slug(const struct catalog *c,
                                                           const char *slug)
{
    for (size_t i = 0; i < c->templates_count; i++) {
        if (str_eq(c->templates[i].slug, slug))
            return &c->templates[i];
    }
    return NULL;
}

const struct template_row *catalog_template(const struct catalog *c, const char *ref)
{
    const struct template_row *t = catalog_template_by_slug(c, ref);

    return t ? t : catalog_template_by_id(c, id_parse(ref));
}

const struct version_row *catalog_latest(const struct catalog *c, int64_t template_id)
{
    for (size_t i = 0; i < c->versions_count; i++) {
        if (c->versions[i].template_id == template_id && str_eq(c->versions[i].status, "ready"))
            return &c->versions[i];
    }
    return NULL;
}

const struct version_row *catalog_version(const struct catalog *c, int64_t template_id,
                                          const char *id)
{
    int64_t n = id_parse(id);

    for (size_t i = 0; i < c->versions_count; i++) {
        if (c->versions[i].id == n && (!template_id || c->versions[i].template_id == template_id))
            return &c->versions[i];
    }
    return NULL;
}

/* What stands after the colon: a version's name, a tag, a version's id. */
static const struct version_row *catalog_pinned(const struct catalog *c, int64_t template_id,
                                                const char *pin)
{
    for (size_t i = 0; i < c->versions_count; i++) {
        if (c->versions[i].template_id == template_id && str_eq(c->versions[i].version, pin))
            return &c->versions[i];
    }
    for (size_t i = 0; i < c->tags_count; i++) {
        if (c->tags[i].template_id != template_id || !str_eq(c->tags[i].tag, pin))
            continue;
        for (size_t k = 0; k < c->versions_count; k++) {
            if (c->versions[k].id == c->tags[i].version_id)
                return &c->versions[k];
        }
    }
    return catalog_version(c, template_id, pin);
}

static int catalog_answer(const struct template_row *t, const struct version_row *v,
                          struct catalog_hit *out)
{
    if (!t)
        return CATALOG_E_UNKNOWN;
    if (!v || !str_eq(v->status, "ready"))
        return CATALOG_E_NOT_READY;
    *out = (struct catalog_hit){.template_row = t, .version = v};
    return CATALOG_OK;
}

int catalog_resolve(const struct catalog *c, const char *ref, const char *version_id,
                    struct catalog_hit *out)
{
    const char *colon = strchr(ref, ':');
    char slug[CATALOG_PIN_MAX];
    const struct template_row *t;
    const struct version_row *v;

    if (colon) {
        size_t len = (size_t)(colon - ref);

        if (len >= sizeof(slug))
            return CATALOG_E_UNKNOWN;
        memcpy(slug, ref, len);
        slug[len] = '\0';
        t = catalog_template(c, slug);
        v = t ? catalog_pinned(c, t->id, colon + 1) : NULL;
        if (!v)
            return CATALOG_E_UNKNOWN;
    } else {
        t = catalog_template(c, ref);
        v = t ? NULL : catalog_version(c, 0, ref);
        if (!t && !v)
            return CATALOG_E_UNKNOWN;
        if (v)
            t = catalog_template_by_id(c, v->template_id);
    }
    if (version_id) {
        const struct version_row *wanted = t ? catalog_version(c, t->id, version_id) : NULL;

        if (!wanted || (v && v != wanted))
            return CATALOG_E_UNKNOWN;
        v = wanted;
    }
    if (!v)
        v = catalog_latest(c, t->id);
    return catalog_answer(t, v, out);
}
