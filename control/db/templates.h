/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* templates - templates, their versions and tags. */
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_templates_stmts;

/* What a manifest says; strings borrowed. */
struct template_manifest {
    const char *slug, *version, *name, *description, *architecture, *default_user, *workdir;
    int64_t cpu_count, memory_mb;
    const char *json; /* the whole of it */
};
/*
 * Registers a provider's version as ready; the same version again changes nothing but the
 * template's name and description. One row: template id, version id, whether it is new.
 */
void templates_add_register(struct db_tx *tx, const struct template_manifest *m);

/* The provider's catalog: templates by slug, versions newest first. Rows of the three statements
 * that this adds: */
struct template_row {
    int64_t id;
    const char *slug, *name, *description, *metadata; /* metadata: JSON object */
};
struct version_row {
    int64_t id, template_id;
    const char *version, *status, *source_kind, *architecture, *default_user, *workdir;
    const char *error_message; /* may be NULL */
    int64_t cpu_count, memory_mb;
    int64_t built_us, created_us; /* built: 0 = not yet */
};
struct tag_row {
    int64_t template_id, version_id;
    const char *tag;
};
enum { CATALOG_TEMPLATES, CATALOG_VERSIONS, CATALOG_TAGS, CATALOG_STMTS };
void templates_add_catalog(struct db_tx *tx);
int template_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                    struct template_row *out) must_check;
int version_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                   struct version_row *out) must_check;
int tag_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
               struct tag_row *out) must_check;
