/* SPDX-License-Identifier: Apache-2.0 */
/* snap_meta - see snap_meta.h */
#include "dataplane/vmhost/image/snap_meta.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/json/json.h"
#include "common/wire/agent_init.h"
#include "dataplane/vmhost/priv/privop.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define AT(member) .offset = offsetof(struct snap_meta, member), .present = JSON_NO_PRESENT

static const struct json_field snap_meta_fields[] = {
    {"version", JSON_F_INT, JSON_REQUIRED, AT(version), .min = SNAP_META_VERSION, .max = SNAP_META_VERSION},
    {"fingerprint", JSON_F_STRING, JSON_REQUIRED, AT(fingerprint), .min = 64, .max = 64},
    {"slug", JSON_F_STRING, JSON_REQUIRED, AT(slug), .min = 1, .max = 63},
    {"template_version", JSON_F_STRING, JSON_REQUIRED, AT(template_version), .min = 1, .max = 64},
    {"rootfs", JSON_F_STRING, JSON_REQUIRED, AT(rootfs), .min = 64, .max = 64},
    {"kernel", JSON_F_STRING, JSON_REQUIRED, AT(kernel), .min = 64, .max = 64},
    {"initrd", JSON_F_STRING, JSON_REQUIRED, AT(initrd), .min = 64, .max = 64},
    {"boot_token", JSON_F_STRING, JSON_REQUIRED, AT(boot_token), .min = AGENT_TOKEN_LEN, .max = AGENT_TOKEN_LEN},
    {"cmdline", JSON_F_STRING, JSON_REQUIRED, AT(cmdline), .max = PRIV_CMDLINE_SIZE - 100},
    {"qemu_version", JSON_F_STRING, JSON_REQUIRED, AT(qemu_version), .min = 1, .max = 32},
    {"accelerator", JSON_F_STRING, JSON_REQUIRED, AT(accelerator), .min = 3, .max = 3},
    {"cpu_model", JSON_F_STRING, JSON_REQUIRED, AT(cpu_model), .min = 1, .max = 64},
    {"cpu_count", JSON_F_INT, JSON_REQUIRED, AT(cpu_count), .min = 1, .max = PRIV_CPUS_MAX},
    {"memory_mb", JSON_F_INT, JSON_REQUIRED, AT(memory_mb), .min = PRIV_MEMORY_MB_MIN, .max = PRIV_MEMORY_MB_MAX},
    {"disk_virtual_bytes", JSON_F_INT, JSON_REQUIRED, AT(disk_virtual_bytes), .min = 1, .max = INT64_MAX},
    {"memory_bytes", JSON_F_INT, JSON_REQUIRED, AT(memory_bytes), .min = 1, .max = INT64_MAX},
    {"state_bytes", JSON_F_INT, JSON_REQUIRED, AT(state_bytes), .min = 1, .max = INT64_MAX},
    {"disk_bytes", JSON_F_INT, JSON_REQUIRED, AT(disk_bytes), .min = 1, .max = INT64_MAX},
    {"made_at_ms", JSON_F_INT, 0, AT(made_at_ms), .min = 0, .max = INT64_MAX},
    {0},
};
static const struct json_table snap_meta_table = {snap_meta_fields, sizeof(struct snap_meta), false};

int snap_meta_parse(const void *p, size_t len, struct arena *a, struct snap_meta *out, struct err *e)
{
    struct snap_meta m;
    int r = json_decode(&snap_meta_table, p, len, a, &m, e);

    if (r < 0)
        return r;
    if (!privop_hash_valid(m.fingerprint) || !privop_hash_valid(m.rootfs) || !privop_hash_valid(m.kernel) || !privop_hash_valid(m.initrd))
        return err_set(e, -EINVAL, "a name in it is not a checksum");
    *out = m;
    return 0;
}

int snap_meta_write(struct buf *out, const struct snap_meta *m)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kint(&w, "version", SNAP_META_VERSION);
    jw_kstr(&w, "fingerprint", m->fingerprint);
    jw_kstr(&w, "slug", m->slug);
    jw_kstr(&w, "template_version", m->template_version);
    jw_kstr(&w, "rootfs", m->rootfs);
    jw_kstr(&w, "kernel", m->kernel);
    jw_kstr(&w, "initrd", m->initrd);
    jw_kstr(&w, "boot_token", m->boot_token);
    jw_kstr(&w, "cmdline", m->cmdline);
    jw_kstr(&w, "qemu_version", m->qemu_version);
    jw_kstr(&w, "accelerator", m->accelerator);
    jw_kstr(&w, "cpu_model", m->cpu_model);
    jw_kint(&w, "cpu_count", m->cpu_count);
    jw_kint(&w, "memory_mb", m->memory_mb);
    jw_kint(&w, "disk_virtual_bytes", m->disk_virtual_bytes);
    jw_kint(&w, "memory_bytes", m->memory_bytes);
    jw_kint(&w, "state_bytes", m->state_bytes);
    jw_kint(&w, "disk_bytes", m->disk_bytes);
    jw_kint(&w, "made_at_ms", m->made_at_ms);
    jw_object_end(&w);
    return json_writer_end(&w);
}
