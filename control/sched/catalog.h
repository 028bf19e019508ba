/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * catalog - the provider's templates, versions and tags as they were a moment ago, and the rules by
 * which a name finds one: template slug, template id, version id, in this order; "slug:pin" with a
 * version, a tag or a version id. Slugs never look like ids.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/templates.h"

struct arena;
struct db_tx;

struct catalog {
    const struct template_row *templates; /* by slug */
    size_t templates_count;
    const struct version_row *versions; /* newest first */
    size_t versions_count;
    const struct tag_row *tags;
    size_t tags_count;
};

/* From the results of templates_add_catalog() whose first statement is `stmt`; memory in the arena.
 */
int catalog_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                   struct catalog *out) must_check;

enum {
    CATALOG_OK,
    CATALOG_E_UNKNOWN,   /* no such template or version */
    CATALOG_E_NOT_READY, /* it is there, but nothing of it can run */
};
struct catalog_hit {
    const struct template_row *template_row;
    const struct version_row *version;
};
/* ref: what the client wrote (never NULL). version_id: an explicit one besides, or NULL. */
int catalog_resolve(const struct catalog *c, const char *ref, const char *version_id,
                    struct catalog_hit *out) must_check;
/* By slug or id; NULL: unknown. */
const struct template_row *catalog_template(const struct catalog *c, const char *ref);
/* The newest version that can run; NULL: none. */
const struct version_row *catalog_latest(const struct catalog *c, int64_t template_id);
/* By id, of that template (0: of any). */
const struct version_row *catalog_version(const struct catalog *c, int64_t template_id,
                                          const char *id);

/* An id as clients send it: decimal, 1..INT64_MAX, no leading zero. -1: it cannot exist. */
int64_t id_parse(const char *s);
/* [A-Za-z][A-Za-z0-9._-]{0,62} */
int slug_valid(const char *s);
