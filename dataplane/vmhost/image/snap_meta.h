/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* snap_meta - the file "meta" of a snapshot in the store: what it is, what it stands on, and the token that its agent knows. */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;
struct buf;
struct err;

enum { SNAP_META_BYTES_MAX = 16 * KIB, SNAP_META_VERSION = 1 };

struct snap_meta { /* strings live in the arena, or are borrowed for writing */
    int64_t version;
    char *fingerprint, *slug, *template_version;
    char *rootfs, *kernel, *initrd; /* blobs */
    char *boot_token;               /* secret: authenticates the first init of each clone */
    char *cmdline;                  /* of the kernel, without the token */
    char *qemu_version, *accelerator, *cpu_model;
    int64_t cpu_count, memory_mb;
    int64_t disk_virtual_bytes;
    int64_t memory_bytes, state_bytes, disk_bytes; /* sizes of the files */
    int64_t made_at_ms;
};
int snap_meta_parse(const void *p, size_t len, struct arena *a, struct snap_meta *out, struct err *e) must_check;
int snap_meta_write(struct buf *out, const struct snap_meta *m) must_check;
