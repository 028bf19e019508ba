/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fingerprint - everything that must be equal for a snapshot to be restored: QEMU series and machine, accelerator, CPU model, sizes,
 * device set and the image files. Its SHA-256 is the name of the snapshot in the store.
 */
#include "dataplane/vmhost/priv/privop.h"

struct fingerprint {
    const char *qemu_series; /* "7.2" */
    enum priv_accel accel;
    const char *cpu_model;
    unsigned cpu_count, memory_mb;
    const char *rootfs_sha256, *kernel_sha256, *initrd_sha256;
    const char *cmdline;
};
void fingerprint_hex(const struct fingerprint *f, char out[PRIV_HASH_SIZE]);
const char *fingerprint_accel_name(enum priv_accel a); /* "tcg", "kvm" */
/* "QEMU emulator version 7.2.22 (Debian ..)" -> "7.2.22" and "7.2". */
int fingerprint_qemu_version(const char *text, char *version, size_t version_size, char *series, size_t series_size) must_check;
