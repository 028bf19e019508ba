/* SPDX-License-Identifier: Apache-2.0 */
/* manifest - see manifest.h */
#include "dataplane/vmhost/image/manifest.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "dataplane/vmhost/priv/privop.h"
#include <errno.h>
#include <string.h>

struct manifest_file {
    struct manifest m;
    struct json_map sums;
};

#define AT(member) .offset = offsetof(struct manifest_file, member), .present = JSON_NO_PRESENT

static const struct json_field manifest_fields[] = {
    {"slug", JSON_F_STRING, JSON_REQUIRED, AT(m.slug), .min = 1, .max = MANIFEST_SLUG_MAX},
    {"version", JSON_F_STRING, JSON_REQUIRED, AT(m.version), .min = 1, .max = MANIFEST_VERSION_MAX},
    {"name", JSON_F_STRING, 0, AT(m.name), .max = 200},
    {"architecture", JSON_F_STRING, JSON_REQUIRED, AT(m.architecture), .min = 1, .max = 32},
    {"kernel", JSON_F_STRING, JSON_REQUIRED, AT(m.kernel), .min = 1, .max = 128},
    {"initrd", JSON_F_STRING, JSON_REQUIRED, AT(m.initrd), .min = 1, .max = 128},
    {"rootfs", JSON_F_STRING, JSON_REQUIRED, AT(m.rootfs), .min = 1, .max = 128},
    {"cmdline", JSON_F_STRING, JSON_REQUIRED, AT(m.cmdline), .max = PRIV_CMDLINE_SIZE - 100},
    {"default_user", JSON_F_STRING, 0, AT(m.default_user), .max = 64},
    {"workdir", JSON_F_STRING, 0, AT(m.workdir), .max = 1024},
    {"cpu_count", JSON_F_INT, JSON_REQUIRED, AT(m.cpu_count), .min = 1, .max = PRIV_CPUS_MAX},
    {"memory_mb", JSON_F_INT, JSON_REQUIRED, AT(m.memory_mb), .min = PRIV_MEMORY_MB_MIN, .max = PRIV_MEMORY_MB_MAX},
    {"disk_mb", JSON_F_INT, JSON_REQUIRED, AT(m.disk_mb), .min = 1, .max = PRIV_MEMORY_MB_MAX},
    {"sha256", JSON_F_MAP, JSON_REQUIRED, AT(sums), .max = 64},
    {0},
};
static const struct json_table manifest_table = {manifest_fields, sizeof(struct manifest_file), false};

/* A file in the image's own folder, nothing else. */
static int manifest_check_file(const char *key, const char *name, struct err *e)
{
    if (!privop_name_valid(name, 129))
        return err_set(e, -EINVAL, "%s: must be a plain file name", key);
    return 0;
}

static int manifest_find_sum(const struct json_map *sums, const char *file, const char **out, struct err *e)
{
    for (size_t i = 0; i < sums->count; i++) {
        const char *sum = sums->items[i].value;

        if (!str_eq(sums->items[i].key, file))
            continue;
        if (strlen(sum) != PRIV_HASH_SIZE - 1 || !privop_hash_valid(sum))
            return err_set(e, -EINVAL, "sha256.%s: must be 64 lower-case hex digits", file);
        *out = sum;
        return 0;
    }
    return err_set(e, -EINVAL, "sha256: has no entry for '%s'", file);
}

static int manifest_check(struct manifest_file *f, struct err *e)
{
    struct manifest *m = &f->m;
    int r;

    if (!privop_name_valid(m->slug, MANIFEST_SLUG_MAX + 1) || !((m->slug[0] | 32) >= 'a' && (m->slug[0] | 32) <= 'z'))
        return err_set(e, -EINVAL, "slug: must begin with a letter; letters, digits, '.', '_' and '-'");
    if (!privop_name_valid(m->version, MANIFEST_VERSION_MAX + 1))
        return err_set(e, -EINVAL, "version: letters, digits, '.', '_' and '-'");
    if (!str_eq(m->architecture, "x86_64"))
        return err_set(e, -EINVAL, "architecture: '%s' is not x86_64", m->architecture);
    if (m->memory_mb % 2)
        return err_set(e, -EINVAL, "memory_mb: must be even");
    if (!privop_cmdline_valid(m->cmdline, PRIV_CMDLINE_SIZE))
        return err_set(e, -EINVAL, "cmdline: printable ASCII without quotes and backslash");
    if (manifest_check_file("kernel", m->kernel, e) < 0 || manifest_check_file("initrd", m->initrd, e) < 0 ||
        manifest_check_file("rootfs", m->rootfs, e) < 0)
        return -EINVAL;
    r = manifest_find_sum(&f->sums, m->kernel, &m->kernel_sha256, e);
    if (r == 0)
        r = manifest_find_sum(&f->sums, m->initrd, &m->initrd_sha256, e);
    return r < 0 ? r : manifest_find_sum(&f->sums, m->rootfs, &m->rootfs_sha256, e);
}

int manifest_parse(const void *p, size_t len, struct arena *a, struct manifest *out, struct err *e)
{
    struct manifest_file f;
    int r = len > MANIFEST_BYTES_MAX ? err_set(e, -EFBIG, "larger than %d bytes", MANIFEST_BYTES_MAX)
                                     : json_decode(&manifest_table, p, len, a, &f, e);

    if (r == 0)
        r = manifest_check(&f, e);
    if (r < 0)
        return r;
    *out = f.m;
    return 0;
}
