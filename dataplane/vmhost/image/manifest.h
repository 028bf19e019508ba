/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* manifest - manifest.json of a template image: what the files are and how the guest is started. */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;
struct err;

enum { MANIFEST_BYTES_MAX = 64 * KIB, MANIFEST_SLUG_MAX = 63, MANIFEST_VERSION_MAX = 64 };

struct manifest { /* strings live in the arena */
    char *slug, *version, *name, *architecture;
    char *kernel, *initrd, *rootfs; /* file names in the image's folder */
    char *cmdline, *default_user, *workdir;
    int64_t cpu_count, memory_mb, disk_mb;
    const char *kernel_sha256, *initrd_sha256, *rootfs_sha256; /* 64 lower-case hex digits */
};
int manifest_parse(const void *p, size_t len, struct arena *a, struct manifest *out, struct err *e) must_check;
