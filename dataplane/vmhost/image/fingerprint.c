/* SPDX-License-Identifier: Apache-2.0 */
/* fingerprint - see fingerprint.h */
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/image/sha256.h"
#include "dataplane/vmhost/priv/qemu_argv.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fingerprint_add(struct sha256 *s, const char *key, const char *value)
{
    sha256_update(s, key, strlen(key));
    sha256_update(s, "=", 1);
    sha256_update(s, value, strlen(value) + 1);
}

static void fingerprint_add_number(struct sha256 *s, const char *key, unsigned value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    fingerprint_add(s, key, text);
}

const char *fingerprint_accel_name(enum priv_accel a)
{
    return a == PRIV_ACCEL_KVM ? "kvm" : "tcg";
}

void fingerprint_hex(const struct fingerprint *f, char out[PRIV_HASH_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    fingerprint_add(&s, "qemu", f->qemu_series);
    fingerprint_add(&s, "machine", QEMU_MACHINE);
    fingerprint_add(&s, "devices", QEMU_DEVICE_SET);
    fingerprint_add(&s, "accelerator", fingerprint_accel_name(f->accel));
    fingerprint_add(&s, "cpu", f->cpu_model);
    fingerprint_add_number(&s, "cpu_count", f->cpu_count);
    fingerprint_add_number(&s, "memory_mb", f->memory_mb);
    fingerprint_add(&s, "rootfs", f->rootfs_sha256);
    fingerprint_add(&s, "kernel", f->kernel_sha256);
    fingerprint_add(&s, "initrd", f->initrd_sha256);
    fingerprint_add(&s, "cmdline", f->cmdline);
    sha256_final_hex(&s, out);
}

int fingerprint_qemu_version(const char *text, char *version, size_t version_size, char *series, size_t series_size)
{
    static const char prefix[] = "QEMU emulator version ";
    unsigned major, minor, patch;

    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return -EINVAL;
    if (sscanf(text + sizeof(prefix) - 1, "%3u.%3u.%3u", &major, &minor, &patch) != 3)
        return -EINVAL;
    snprintf(version, version_size, "%u.%u.%u", major, minor, patch);
    snprintf(series, series_size, "%u.%u", major, minor);
    return 0;
}
