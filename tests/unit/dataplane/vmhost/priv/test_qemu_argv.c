/* SPDX-License-Identifier: Apache-2.0 */
/* test_qemu_argv - the command lines of all modes: what must be in them, and what must never be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/str.h"
#include "dataplane/vmhost/priv/probe_guest.h"
#include "dataplane/vmhost/priv/qemu_argv.h"

static struct qemu_spec spec_of(enum priv_mode mode)
{
    return (struct qemu_spec){
        .program = "/usr/bin/qemu-system-x86_64", .name = "1001", .mode = mode, .accel = PRIV_ACCEL_TCG, .cpu_model = "max",
        .cpu_count = 2, .memory_mb = 1024, .cmdline = "console=ttyS0 bivouac.boot=5ec2e7",
    };
}

static bool has(const struct qemu_argv *a, const char *option, const char *part)
{
    for (unsigned i = 0; i + 1 < a->count; i++)
        if (str_eq(a->argv[i], option) && strstr(a->argv[i + 1], part))
            return true;
    return false;
}

static bool mentions(const struct qemu_argv *a, const char *part)
{
    for (unsigned i = 0; i < a->count; i++)
        if (strstr(a->argv[i], part))
            return true;
    return false;
}

static void test_every_mode(void **state)
{
    (void) state;
    for (int mode = 0; mode < PRIV_MODE_COUNT; mode++) {
        const struct qemu_spec s = spec_of((enum priv_mode) mode);
        struct qemu_argv a;

        qemu_argv_build(&s, &a);
        assert_string_equal(a.argv[0], s.program);
        assert_null(a.argv[a.count]);
        assert_true(has(&a, "-machine", QEMU_MACHINE ",memory-backend=ram0"));
        assert_true(has(&a, "-machine", "dump-guest-core=off"));
        assert_true(has(&a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
        assert_true(has(&a, "-global", "migration.send-configuration=off"));
        assert_true(has(&a, "-smp", "cpus=2"));
        assert_true(has(&a, "-accel", "tcg,tb-size=32"));
        assert_true(mentions(&a, "-nodefaults") && mentions(&a, "-no-user-config"));
        assert_false(mentions(&a, "5ec2e7")); /* everyone on the machine can read a command line */
        assert_false(mentions(&a, "balloon"));
        assert_false(mentions(&a, "exec:"));
        for (unsigned i = 0; i < a.count; i++) /* no path of the host but the program's */
            assert_true(i == 0 || a.argv[i][0] != '/' || str_starts(a.argv[i], "/proc/self/fd/"));
    }
}

static void test_restore(void **state)
{
    const struct qemu_spec s = spec_of(PRIV_MODE_RESTORE);
    struct qemu_argv a;

    (void) state;
    qemu_argv_build(&s, &a);
    assert_true(has(&a, "-object", "memory-backend-file,id=ram0,size=1024M,mem-path=/proc/self/fd/5,share=off"));
    assert_true(has(&a, "-incoming", "fd:6"));
    assert_true(mentions(&a, "-S"));
    assert_true(has(&a, "-blockdev", "node-name=rootfs,file=rootfs-file,discard=unmap,read-only=on"));
    assert_true(has(&a, "-blockdev", "node-name=template,file=template-file,discard=unmap,read-only=on,backing=rootfs"));
    assert_true(has(&a, "-blockdev", "node-name=disk,file=disk-file,discard=unmap,read-only=off,backing=template"));
    assert_true(has(&a, "-device", "virtio-blk-pci,drive=disk,id=disk0,addr=0x4,werror=stop,rerror=stop"));
    assert_true(has(&a, "-chardev", "null,id=console"));
    assert_false(mentions(&a, "-readconfig"));
}

static void test_template(void **state)
{
    const struct qemu_spec s = spec_of(PRIV_MODE_TEMPLATE);
    struct qemu_argv a;

    (void) state;
    qemu_argv_build(&s, &a);
    assert_true(has(&a, "-object", "share=on"));
    assert_true(has(&a, "-blockdev", "node-name=template,file=template-file,discard=unmap,read-only=off,backing=rootfs"));
    assert_true(has(&a, "-device", "virtio-blk-pci,drive=template,id=disk0"));
    assert_true(has(&a, "-readconfig", "/proc/self/fd/11"));
    assert_false(mentions(&a, "-incoming"));
}

/* A snapshot fits only if both sides have the same devices at the same places. */
static void test_devices_are_the_same(void **state)
{
    const enum priv_mode modes[] = {PRIV_MODE_TEMPLATE, PRIV_MODE_RESTORE, PRIV_MODE_COLD};
    char seen[ARRAY_LEN(modes)][1024] = {"", "", ""};

    (void) state;
    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        const struct qemu_spec s = spec_of(modes[m]);
        struct qemu_argv a;

        qemu_argv_build(&s, &a);
        for (unsigned i = 0; i + 1 < a.count; i++) {
            char device[QEMU_ARG_SIZE], *drive;

            if (!str_eq(a.argv[i], "-device"))
                continue;
            assert_true(str_copy(device, sizeof(device), a.argv[i + 1]));
            drive = strstr(device, "drive=");
            if (drive)
                memmove(drive, strchr(drive, ','), strlen(strchr(drive, ',')) + 1);
            strncat(seen[m], device, sizeof(seen[m]) - strlen(seen[m]) - 2);
            strcat(seen[m], " ");
        }
    }
    assert_true(seen[0][0]);
    assert_string_equal(seen[0], seen[1]);
    assert_string_equal(seen[0], seen[2]);
}

static void test_probe(void **state)
{
    struct qemu_spec s = spec_of(PRIV_MODE_PROBE);
    struct qemu_argv a;

    (void) state;
    s.accel = PRIV_ACCEL_KVM;
    s.cpu_model = "Nehalem";
    qemu_argv_build(&s, &a);
    assert_true(has(&a, "-accel", "kvm"));
    assert_true(has(&a, "-cpu", "Nehalem"));
    assert_false(mentions(&a, "tap"));
    assert_false(mentions(&a, "blockdev"));
}

static void test_config(void **state)
{
    const struct qemu_spec s = spec_of(PRIV_MODE_TEMPLATE);
    struct buf b = BUF_INIT(QEMU_CONFIG_MAX);

    (void) state;
    assert_int_equal(qemu_config_build(&s, &b), 0);
    assert_non_null(strstr(buf_cstr(&b), "append = \"console=ttyS0 bivouac.boot=5ec2e7\"\n"));
    assert_non_null(strstr(buf_cstr(&b), "kernel = \"/proc/self/fd/12\"\n"));
    buf_deinit(&b);
}

static void test_probe_guest(void **state)
{
    struct buf b = BUF_INIT(64 * KIB);

    (void) state;
    assert_int_equal(probe_guest_build(&b), 0);
    assert_memory_equal(buf_data(&b), "070701", 6);
    assert_int_equal(b.len % 4, 0);
    assert_non_null(memmem(buf_data(&b), b.len, "\x7f" "ELF", 4));
    assert_non_null(memmem(buf_data(&b), b.len, PROBE_GUEST_TEXT "\n", strlen(PROBE_GUEST_TEXT) + 1));
    assert_non_null(memmem(buf_data(&b), b.len, "TRAILER!!!", 11));
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mode), cmocka_unit_test(test_restore), cmocka_unit_test(test_template),
        cmocka_unit_test(test_devices_are_the_same), cmocka_unit_test(test_probe), cmocka_unit_test(test_config),
        cmocka_unit_test(test_probe_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
