/* SPDX-License-Identifier: Apache-2.0 */
/* templates - statements of tables templates, template_versions and template_tags. */
#include "control/db/templates.h"
#include <errno.h>
#include "common/base/arena.h"
#include "control/db/tx.h"

enum { TEMPLATES_REGISTER, TEMPLATES_ALL, TEMPLATES_VERSIONS, TEMPLATES_TAGS };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt templates_stmts[] = {
    [TEMPLATES_REGISTER] =
        {"templates_register",
         "WITH t AS (INSERT INTO templates (slug, name, description) VALUES ($1, $3, $4)"
         " ON CONFLICT ((coalesce(team_id, 0)), slug) WHERE deleted_at IS NULL"
         " DO UPDATE SET name = excluded.name, description = excluded.description RETURNING id),"
         " v AS (INSERT INTO template_versions (template_id, version, status, source_kind, architecture, default_user,"
         " workdir, cpu_count, memory_mb, manifest, built_at)"
         " SELECT t.id, $2, 'ready', 'image', $5, $6, $7, $8, $9, $10::jsonb, now() FROM t"
         " ON CONFLICT (template_id, version) DO NOTHING RETURNING id)"
         " SELECT t.id, coalesce(v.id, o.id), v.id IS NOT NULL FROM t LEFT JOIN v ON true"
         " LEFT JOIN template_versions o ON o.template_id = t.id AND o.version = $2",
         10},
    [TEMPLATES_ALL] = {"templates_all",
                       "SELECT id, slug, name, description, metadata FROM templates"
                       " WHERE team_id IS NULL AND deleted_at IS NULL ORDER BY slug LIMIT 1000",
                       0},
    [TEMPLATES_VERSIONS] =
        {"templates_versions",
         "SELECT v.id, v.template_id, v.version, v.status, v.source_kind, v.architecture, v.default_user, v.workdir,"
         " v.error_message, v.cpu_count, v.memory_mb, to_us(v.built_at), to_us(v.created_at)"
         " FROM template_versions v JOIN templates t ON t.id = v.template_id"
         " WHERE t.team_id IS NULL AND t.deleted_at IS NULL ORDER BY v.id DESC LIMIT 1000",
         0},
    [TEMPLATES_TAGS] = {"templates_tags",
                        "SELECT g.template_id, g.version_id, g.tag FROM template_tags g"
                        " JOIN templates t ON t.id = g.template_id WHERE t.team_id IS NULL AND t.deleted_at IS NULL"
                        " ORDER BY g.tag LIMIT 1000",
                        0},
};
/* clang-format on */
const struct db_stmts db_templates_stmts = {templates_stmts, ARRAY_LEN(templates_stmts)};

void templates_add_register(struct db_tx *tx, const struct template_manifest *m)
{
    tx_add(tx, &templates_stmts[TEMPLATES_REGISTER]);
    tx_text(tx, m->slug);
    tx_text(tx, m->version);
    tx_text(tx, m->name);
    tx_text(tx, m->description);
    tx_text(tx, m->architecture);
    tx_text(tx, m->default_user);
    tx_text(tx, m->workdir);
    tx_i64(tx, m->cpu_count);
    tx_i64(tx, m->memory_mb);
    tx_text(tx, m->json);
}

void templates_add_catalog(struct db_tx *tx)
{
    tx_add(tx, &templates_stmts[TEMPLATES_ALL]);
    tx_add(tx, &templates_stmts[TEMPLATES_VERSIONS]);
    tx_add(tx, &templates_stmts[TEMPLATES_TAGS]);
}

int template_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                    struct template_row *out)
{
    struct template_row t = {
        .id = tx_col_i64(tx, stmt, row, 0),
        .slug = tx_col_dup(tx, stmt, row, 1, a),
        .name = tx_col_dup(tx, stmt, row, 2, a),
        .description = tx_col_dup(tx, stmt, row, 3, a),
        .metadata = tx_col_dup(tx, stmt, row, 4, a),
    };

    if (!t.slug || !t.name || !t.description || !t.metadata)
        return -ENOMEM;
    *out = t;
    return 0;
}

int version_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                   struct version_row *out)
{
    struct version_row v = {
        .id = tx_col_i64(tx, stmt, row, 0),
        .template_id = tx_col_i64(tx, stmt, row, 1),
        .version = tx_col_dup(tx, stmt, row, 2, a),
        .status = tx_col_dup(tx, stmt, row, 3, a),
        .source_kind = tx_col_dup(tx, stmt, row, 4, a),
        .architecture = tx_col_dup(tx, stmt, row, 5, a),
        .default_user = tx_col_dup(tx, stmt, row, 6, a),
        .workdir = tx_col_dup(tx, stmt, row, 7, a),
        .error_message = tx_col_dup(tx, stmt, row, 8, a),
        .cpu_count = tx_col_i64(tx, stmt, row, 9),
        .memory_mb = tx_col_i64(tx, stmt, row, 10),
        .built_us = tx_col_i64(tx, stmt, row, 11),
        .created_us = tx_col_i64(tx, stmt, row, 12),
    };

    if (!v.version || !v.status || !v.source_kind || !v.architecture || !v.default_user ||
        !v.workdir)
        return -ENOMEM;
    *out = v;
    return 0;
}

int tag_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a, struct tag_row *out)
{
    struct tag_row g = {
        .template_id = tx_col_i64(tx, stmt, row, 0),
        .version_id = tx_col_i64(tx, stmt, row, 1),
        .tag = tx_col_dup(tx, stmt, row, 2, a),
    };

    if (!g.tag)
        return -ENOMEM;
    *out = g;
    return 0;
}
