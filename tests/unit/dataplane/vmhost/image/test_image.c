/* SPDX-License-Identifier: Apache-2.0 */
/* test_image - overlay headers, manifests, fingerprints and descriptions of snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/image/manifest.h"
#include "dataplane/vmhost/image/qcow2.h"
#include "dataplane/vmhost/image/snap_meta.h"

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- overlays (tests/integration lets qemu-img judge them) ---- */

static int temp_file(void)
{
    char path[] = "/tmp/test_image.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void test_overlay(void **state)
{
    struct err e = ERR_INIT;
    int fd = temp_file();
    uint8_t head[512];
    uint64_t size, name_at;
    uint32_t name_len;
    struct stat st;

    (void) state;
    assert_int_equal(qcow2_write_overlay(fd, 8ull << 30, "/store/base", &e), 0);
    assert_int_equal(qcow2_read_size(fd, &size, &e), 0);
    assert_int_equal(size, 8ull << 30);
    assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
    assert_memory_equal(head, "QFI\xfb\0\0\0\x03", 8);
    memcpy(&name_at, head + 8, 8);
    memcpy(&name_len, head + 16, 4);
    assert_int_equal(be32toh(name_len), strlen("/store/base"));
    assert_memory_equal(head + be64toh(name_at), "/store/base", strlen("/store/base"));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4 * 65536);
    assert_true(st.st_blocks * 512 < 4 * 65536); /* mostly a hole */
    close(fd);
}

static void test_overlay_limits(void **state)
{
    struct err e = ERR_INIT;
    int fd = temp_file();
    char name[QCOW2_NAME_MAX + 2];

    (void) state;
    assert_int_equal(qcow2_write_overlay(fd, 0, "x", &e), -EINVAL);
    assert_int_equal(qcow2_write_overlay(fd, UINT64_MAX, "x", &e), -EINVAL);
    assert_int_equal(qcow2_write_overlay(fd, 4ull << 40, "x", &e), 0);
    memset(name, 'a', sizeof(name));
    name[QCOW2_NAME_MAX + 1] = '\0';
    assert_int_equal(qcow2_write_overlay(fd, 1 << 20, name, &e), -ENAMETOOLONG);
    name[QCOW2_NAME_MAX] = '\0';
    assert_int_equal(qcow2_write_overlay(fd, 1 << 20, name, &e), 0);
    close(fd);
}

static void test_foreign_images(void **state)
{
    struct err e = ERR_INIT;
    int fd = temp_file();
    uint64_t size, big = htobe64(UINT64_MAX);

    (void) state;
    assert_int_equal(qcow2_read_size(fd, &size, &e), -EINVAL);
    assert_int_equal(qcow2_write_overlay(fd, 1 << 30, "x", &e), 0);
    assert_int_equal(pwrite(fd, &big, 8, 24), 8);
    assert_int_equal(qcow2_read_size(fd, &size, &e), -EINVAL);
    assert_int_equal(pwrite(fd, "RAW!", 4, 0), 4);
    assert_int_equal(qcow2_read_size(fd, &size, &e), -EINVAL);
    close(fd);
}

/* ---- manifests ---- */

#define MANIFEST(slug, version, arch, kernel, cmdline, cpus, memory, sum)                                                                      "{\"slug\":\"" slug "\",\"version\":\"" version "\",\"architecture\":\"" arch "\",\"kernel\":\"" kernel                                  "\",\"initrd\":\"i\",\"rootfs\":\"r\",\"cmdline\":\"" cmdline "\",\"cpu_count\":" cpus ",\"memory_mb\":" memory                           ",\"disk_mb\":8192,\"extra\":1,\"sha256\":{\"vmlinuz\":\"" sum "\",\"i\":\"" SUM "\",\"r\":\"" SUM "\"}}"

static int parse(const char *text, struct manifest *out, struct arena *a)
{
    struct err e = ERR_INIT;
    int r = manifest_parse(text, strlen(text), a, out, &e);

    assert_true(r == 0 || e.text[0]);
    return r;
}

static void test_manifest(void **state)
{
    struct arena *a = arena_new(0);
    struct manifest m;

    (void) state;
    assert_int_equal(parse(MANIFEST("base", "2026-01-01-abc", "x86_64", "vmlinuz", "quiet", "2", "1024", SUM), &m, a), 0);
    assert_string_equal(m.slug, "base");
    assert_string_equal(m.kernel_sha256, SUM);
    assert_int_equal(m.memory_mb, 1024);
    arena_free(a);
}

static void test_bad_manifests(void **state)
{
    const char *const bad[] = {
        "", "{}", "[]", "{\"slug\":1}",
        MANIFEST("1base", "v", "x86_64", "vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("../x", "v", "x86_64", "vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("base", "v 1", "x86_64", "vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("base", "v", "aarch64", "vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "../vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", ".vmlinuz", "q", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "other", "q", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "a\\\"b", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "a\\nb", "2", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "0", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "65", "1024", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "2", "1023", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "2", "1e3", SUM),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "2", "1024", "short"),
        MANIFEST("base", "v", "x86_64", "vmlinuz", "q", "2", "1024", "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"),
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct arena *a = arena_new(0);
        struct manifest m;

        if (parse(bad[i], &m, a) >= 0)
            fail_msg("accepted: %s", bad[i]);
        arena_free(a);
    }
}

/* ---- fingerprints ---- */

static void test_fingerprint(void **state)
{
    const struct fingerprint base = {
        .qemu_series = "7.2", .accel = PRIV_ACCEL_TCG, .cpu_model = "max", .cpu_count = 2, .memory_mb = 1024,
        .rootfs_sha256 = SUM, .kernel_sha256 = SUM, .initrd_sha256 = SUM, .cmdline = "quiet",
    };
    struct fingerprint other[9];
    char a[PRIV_HASH_SIZE], b[PRIV_HASH_SIZE], seen[9][PRIV_HASH_SIZE];

    (void) state;
    fingerprint_hex(&base, a);
    fingerprint_hex(&base, b);
    assert_string_equal(a, b);
    assert_true(privop_hash_valid(a));
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        other[i] = base;
    other[0].qemu_series = "8.2";
    other[1].accel = PRIV_ACCEL_KVM;
    other[2].cpu_model = "EPYC";
    other[3].cpu_count = 4;
    other[4].memory_mb = 2048;
    other[5].rootfs_sha256 = "1";
    other[6].kernel_sha256 = "1";
    other[7].initrd_sha256 = "1";
    other[8].cmdline = "";
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        fingerprint_hex(&other[i], seen[i]);
        assert_string_not_equal(seen[i], a);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    }
}

static void test_qemu_version(void **state)
{
    char version[32], series[16];

    (void) state;
    assert_int_equal(fingerprint_qemu_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", version, sizeof(version),
                                              series, sizeof(series)), 0);
    assert_string_equal(version, "7.2.22");
    assert_string_equal(series, "7.2");
    assert_int_equal(fingerprint_qemu_version("QEMU emulator version 10.0.2\n", version, sizeof(version), series, sizeof(series)), 0);
    assert_string_equal(series, "10.0");
    assert_int_equal(fingerprint_qemu_version("", version, sizeof(version), series, sizeof(series)), -EINVAL);
    assert_int_equal(fingerprint_qemu_version("QEMU emulator version x", version, sizeof(version), series, sizeof(series)), -EINVAL);
}

/* ---- descriptions ---- */

static void test_snap_meta(void **state)
{
    const struct snap_meta m = {
        .fingerprint = (char *) SUM, .slug = (char *) "base", .template_version = (char *) "v1", .rootfs = (char *) SUM,
        .kernel = (char *) SUM, .initrd = (char *) SUM, .boot_token = (char *) SUM, .cmdline = (char *) "quiet",
        .qemu_version = (char *) "7.2.22", .accelerator = (char *) "tcg", .cpu_model = (char *) "max", .cpu_count = 2, .memory_mb = 1024,
        .disk_virtual_bytes = 1 << 30, .memory_bytes = 1 << 30, .state_bytes = 105000, .disk_bytes = 1 << 20, .made_at_ms = 5,
    };
    struct buf text = BUF_INIT(SNAP_META_BYTES_MAX);
    struct arena *a = arena_new(0);
    struct err e = ERR_INIT;
    struct snap_meta back;

    (void) state;
    assert_int_equal(snap_meta_write(&text, &m), 0);
    assert_int_equal(snap_meta_parse(buf_data(&text), text.len, a, &back, &e), 0);
    assert_string_equal(back.boot_token, m.boot_token);
    assert_string_equal(back.cmdline, m.cmdline);
    assert_int_equal(back.disk_virtual_bytes, m.disk_virtual_bytes);
    for (size_t len = 0; len < text.len; len++)
        assert_true(snap_meta_parse(buf_data(&text), len, a, &back, &e) < 0);
    char *at = memmem(buf_data(&text), text.len, "\"rootfs\":\"01", 12);

    assert_non_null(at);
    at[10] = '/';
    assert_true(snap_meta_parse(buf_data(&text), text.len, a, &back, &e) < 0);
    arena_free(a);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlay), cmocka_unit_test(test_overlay_limits), cmocka_unit_test(test_foreign_images),
        cmocka_unit_test(test_manifest), cmocka_unit_test(test_bad_manifests), cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_qemu_version), cmocka_unit_test(test_snap_meta),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
