/* SPDX-License-Identifier: Apache-2.0 */
/* templates - register a built image, list. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "control/admin/command.h"
#include "control/db/templates.h"
#include "control/db/tx.h"
#include "control/sched/catalog.h"

enum { MANIFEST_MAX = MIB };

struct manifest {
    char *slug, *version, *name, *description, *architecture, *default_user, *workdir;
    int64_t cpu_count, memory_mb;
};

#define TEXT(name_, flags_, max_)                                                                  \
    {                                                                                              \
        .name = #name_, .kind = JSON_F_STRING, .flags = flags_,                                    \
        .offset = offsetof(struct manifest, name_), .present = JSON_NO_PRESENT, .min = 1,          \
        .max = max_                                                                                \
    }
static const struct json_field manifest_fields[] = {
    TEXT(slug, JSON_REQUIRED, 63),
    TEXT(version, JSON_REQUIRED, 63),
    TEXT(name, 0, 128),
    {.name = "description",
     .kind = JSON_F_STRING,
     .offset = offsetof(struct manifest, description),
     .present = JSON_NO_PRESENT,
     .max = 4096},
    TEXT(architecture, 0, 32),
    TEXT(default_user, 0, 32),
    TEXT(workdir, 0, 4096),
    {.name = "cpu_count",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = offsetof(struct manifest, cpu_count),
     .present = JSON_NO_PRESENT,
     .min = 1,
     .max = 1024},
    {.name = "memory_mb",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = offsetof(struct manifest, memory_mb),
     .present = JSON_NO_PRESENT,
     .min = 128,
     .max = 1048576},
    {0},
};
static const struct json_table manifest_table = {.fields = manifest_fields,
                                                 .size = sizeof(struct manifest)};

static int manifest_read(struct admin *x, struct template_manifest *out, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(MANIFEST_MAX);
    struct manifest m;
    int r = file_read(x->opt.manifest, MANIFEST_MAX, &text, e);

    if (r < 0)
        return r;
    r = json_decode(&manifest_table, buf_data(&text), text.len, x->arena, &m, e);
    if (r < 0)
        return err_wrap(e, r, "manifest '%s'", x->opt.manifest);
    if (!slug_valid(m.slug))
        return err_set(e, -EINVAL, "manifest '%s': slug '%s' is not allowed", x->opt.manifest,
                       m.slug);
    *out = (struct template_manifest){
        .slug = m.slug,
        .version = m.version,
        .name = m.name ? m.name : m.slug,
        .description = m.description ? m.description : "",
        .architecture = m.architecture ? m.architecture : "x86_64",
        .default_user = m.default_user ? m.default_user : "user",
        .workdir = m.workdir ? m.workdir : "/workspace",
        .cpu_count = m.cpu_count,
        .memory_mb = m.memory_mb,
        .json = arena_strndup(x->arena, (const char *)buf_data(&text), text.len),
    };
    return out->json ? 0 : -ENOMEM;
}

static int template_register(struct admin *x, struct err *e)
{
    struct template_manifest m = {0};
    struct db_tx *tx, *done;
    int r = manifest_read(x, &m, e);

    if (r < 0)
        return r;
    tx = tx_new();
    templates_add_register(tx, &m);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    bool fresh = tx_col_bool(done, 0, 0, 2);

    if (x->json) {
        jw_kstr(x->w, "template_id", tx_col(done, 0, 0, 0));
        jw_kstr(x->w, "template_version_id", tx_col(done, 0, 0, 1));
        jw_kstr(x->w, "slug", m.slug);
        jw_kstr(x->w, "version", m.version);
        jw_kbool(x->w, "new", fresh);
    } else {
        printf("template %s version %s %s\n", m.slug, m.version,
               fresh ? "is registered" : "was registered before");
    }
    tx_release(done);
    return 0;
}

static void version_show(struct admin *x, const struct template_row *t, const struct version_row *v)
{
    if (!x->json) {
        printf("%-20s %-34s %-9s %3lld vCPU %6lld MB  id %lld\n", t->slug, v->version, v->status,
               (long long)v->cpu_count, (long long)v->memory_mb, (long long)v->id);
        return;
    }
    jw_object(x->w);
    jw_kstr(x->w, "slug", t->slug);
    jw_kstr(x->w, "version", v->version);
    jw_kstr(x->w, "status", v->status);
    jw_kint(x->w, "template_id", t->id);
    jw_kint(x->w, "template_version_id", v->id);
    jw_kint(x->w, "cpu_count", v->cpu_count);
    jw_kint(x->w, "memory_mb", v->memory_mb);
    jw_object_end(x->w);
}

static int template_list(struct admin *x, struct err *e)
{
    struct db_tx *tx = tx_new(), *done;
    struct catalog c;
    int r;

    templates_add_catalog(tx);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    r = catalog_decode(done, 0, x->arena, &c);
    tx_release(done);
    if (r < 0)
        return err_set(e, r, "too many templates");
    if (x->json)
        jw_karray(x->w, "versions");
    for (size_t t = 0; t < c.templates_count; t++) {
        for (size_t v = 0; v < c.versions_count; v++) {
            if (c.versions[v].template_id == c.templates[t].id)
                version_show(x, &c.templates[t], &c.versions[v]);
        }
    }
    if (x->json)
        jw_array_end(x->w);
    return 0;
}

const struct admin_command admin_templates[] = {
    {"template", "register", "--manifest FILE",
     "Makes the image that this manifest describes a template version; hosts must have its files. "
     "Again is fine.",
     "manifest", "", template_register},
    {"template", "list", "", "Lists template versions, newest first.", "", "", template_list},
    {0},
};
