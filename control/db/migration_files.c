/* SPDX-License-Identifier: Apache-2.0 */
/* migration_files - where migrations come from: built in, or a folder. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "control/db/migrate.h"

enum { MIGRATION_FILE_MAX = 8 * MIB };

/* Made by the build: names and bytes of migrations/, in order. */
extern const struct migration migrations_table[];
extern const size_t migrations_table_count;

static struct migrations embedded;

const struct migrations *migrations_embedded(void)
{
    embedded.items = migrations_table;
    embedded.count = migrations_table_count;
    return &embedded;
}

int64_t migrations_latest(const struct migrations *m)
{
    return m->count ? m->items[m->count - 1].version : 0;
}

/* NNNN_what.sql with a-z, 0-9 and '_' in it. */
static bool migration_version(const char *name, int64_t *version)
{
    size_t len = strlen(name);
    uint64_t n;

    if (len < 10 || len > 100 || name[4] != '_' || !str_ends(name, ".sql") ||
        str_to_u64_n(name, 4, 10, &n) < 0 || n == 0)
        return false;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len - 4)
        return false;
    *version = (int64_t)n;
    return true;
}

static int migration_is_sql(const struct dirent *d)
{
    return str_ends(d->d_name, ".sql");
}

static int migration_load(const char *dir, const char *name, struct migration *out, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(MIGRATION_FILE_MAX);
    cleanup(freep) char *path = xasprintf("%s/%s", dir, name);

    if (!migration_version(name, &out->version))
        return err_set(e, -EINVAL, "'%s': migrations are named NNNN_what.sql", name);
    int r = file_read(path, MIGRATION_FILE_MAX, &text, e);

    if (r < 0)
        return r;
    out->name = xstrdup(name);
    out->sql = xstrndup((const char *)buf_data(&text), text.len);
    return 0;
}

void migrations_free(struct migrations *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free((char *)m->items[i].name);
        free((char *)m->items[i].sql);
    }
    free((struct migration *)m->items);
    *m = (struct migrations){0};
}

int migrations_load(const char *dir, struct migrations *out, struct err *e)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, migration_is_sql, alphasort);

    if (n < 0)
        return err_errno(e, "folder '%s'", dir);
    struct migration *items = xcalloc((size_t)n + 1, sizeof(*items));
    struct migrations m = {.items = items};
    int r = 0;

    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = migration_load(dir, names[i]->d_name, &items[i], e);
        if (r == 0 && i && items[i].version == items[i - 1].version)
            r = err_set(e, -EINVAL, "%s and %s have the same number", items[i - 1].name,
                        items[i].name);
        if (items[i].name)
            m.count++;
        free(names[i]);
    }
    free(names);
    if (r < 0) {
        migrations_free(&m);
        return r;
    }
    *out = m;
    return 0;
}
