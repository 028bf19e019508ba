/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_manifest - any bytes as a manifest: refused, or nothing in it can leave the image's folder or a quoted string. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "dataplane/vmhost/image/manifest.h"
#include "dataplane/vmhost/priv/privop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const char *name, const char *sum)
{
    if (!*name || strchr(name, '/') || name[0] == '.' || !privop_hash_valid(sum))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct manifest m;
    struct err e = ERR_INIT;

    if (manifest_parse(data, size, a, &m, &e) == 0) {
        check_file(m.kernel, m.kernel_sha256);
        check_file(m.initrd, m.initrd_sha256);
        check_file(m.rootfs, m.rootfs_sha256);
        if (strpbrk(m.cmdline, "\"'\\\n") || strchr(m.slug, '/') || strchr(m.version, '/'))
            abort();
    }
    arena_free(a);
    return 0;
}
