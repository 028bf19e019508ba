/* SPDX-License-Identifier: Apache-2.0 */
/* test_privop - the border between child and parent: every argument of every operation, wrong in each way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/err.h"
#include "dataplane/vmhost/priv/privop.h"

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void fill_head(union priv_message *m, enum priv_op op)
{
    m->head.op = op;
    m->head.size = (uint32_t) privop_rows[op].size;
    m->head.id = 7;
}

static int check(const union priv_message *m, size_t nfds)
{
    struct err e = ERR_INIT;
    int r = privop_check(m, m->head.op < PRIV_OP_COUNT ? privop_rows[m->head.op].size : sizeof(struct priv_head), nfds, &e);

    assert_true(r == 0 || e.text[0]); /* never without a reason */
    return r;
}

static union priv_message start_of(enum priv_mode mode)
{
    union priv_message m = {.qemu_start = {.slot = 3, .mode = mode, .cpu_count = 2, .memory_mb = 1024, .disk_mb = 8192}};

    fill_head(&m, PRIV_QEMU_START);
    strcpy(m.qemu_start.name, "1001");
    if (mode != PRIV_MODE_PROBE) {
        strcpy(m.qemu_start.snap, hash);
        strcpy(m.qemu_start.rootfs, hash);
    }
    if (mode == PRIV_MODE_TEMPLATE || mode == PRIV_MODE_COLD) {
        strcpy(m.qemu_start.kernel, hash);
        strcpy(m.qemu_start.initrd, hash);
    }
    if (mode != PRIV_MODE_RESTORE)
        strcpy(m.qemu_start.cmdline, "console=ttyS0 quiet");
    return m;
}

static size_t fds_of(enum priv_mode mode)
{
    return mode == PRIV_MODE_PROBE || mode == PRIV_MODE_COLD ? 4 : 3;
}

static void test_rows(void **state)
{
    (void) state;
    for (int op = PRIV_NONE + 1; op < PRIV_OP_COUNT; op++) {
        assert_non_null(privop_rows[op].name);
        assert_true(privop_rows[op].size >= sizeof(struct priv_head) && privop_rows[op].size <= sizeof(union priv_message));
        assert_true(privop_rows[op].fds_max <= PRIV_FDS_MAX);
    }
}

static void test_sizes(void **state)
{
    union priv_message m = {0};
    struct err e = ERR_INIT;

    (void) state;
    fill_head(&m, PRIV_SLOT_MAKE);
    assert_int_equal(check(&m, 0), 0);
    for (size_t len = 0; len <= sizeof(m); len++)
        if (len != sizeof(struct priv_slot))
            assert_int_equal(privop_check(&m, len, 0, &e), -EINVAL);
    m.head.size--;
    assert_int_equal(check(&m, 0), -EINVAL);
    m.head.size++;
    assert_int_equal(check(&m, 1), -EINVAL);
    m.head.op = PRIV_NONE;
    assert_int_equal(check(&m, 0), -EINVAL);
    m.head.op = PRIV_OP_COUNT;
    assert_int_equal(check(&m, 0), -EINVAL);
    m.head.op = UINT32_MAX;
    assert_int_equal(check(&m, 0), -EINVAL);
}

static void test_slots(void **state)
{
    const enum priv_op ops[] = {PRIV_SLOT_MAKE, PRIV_SLOT_DESTROY, PRIV_SLOT_SOCKET, PRIV_QEMU_KILL, PRIV_QEMU_MEMORY};
    const uint32_t bad[] = {PRIV_SLOTS_MAX, PRIV_SLOTS_MAX + 1, UINT32_MAX};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        union priv_message m = {.slot = {.slot = PRIV_SLOTS_MAX - 1}};

        fill_head(&m, ops[i]);
        assert_int_equal(check(&m, 0), 0);
        for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
            m.slot.slot = bad[k];
            assert_int_equal(check(&m, 0), -EINVAL);
        }
    }
}

static void test_adopt(void **state)
{
    union priv_message m = {.qemu_adopt = {.slot = 1, .pid = 4711, .start_time = 5}};

    (void) state;
    fill_head(&m, PRIV_QEMU_ADOPT);
    assert_int_equal(check(&m, 0), 0);
    for (int32_t pid = -2; pid <= 1; pid++) {
        m.qemu_adopt.pid = pid; /* a group, everybody, init */
        assert_int_equal(check(&m, 0), -EINVAL);
    }
    m.qemu_adopt.pid = 4711;
    m.qemu_adopt.slot = PRIV_SLOTS_MAX;
    assert_int_equal(check(&m, 0), -EINVAL);
}

static void test_start_modes(void **state)
{
    (void) state;
    for (int mode = 0; mode < PRIV_MODE_COUNT; mode++) {
        union priv_message m = start_of((enum priv_mode) mode);

        for (size_t nfds = 0; nfds <= PRIV_FDS_MAX + 1; nfds++)
            assert_int_equal(check(&m, nfds), nfds == fds_of((enum priv_mode) mode) ? 0 : -EINVAL);
    }
    union priv_message m = start_of(PRIV_MODE_RESTORE);

    m.qemu_start.mode = PRIV_MODE_COUNT;
    assert_int_equal(check(&m, 3), -EINVAL);
}

/* What a mode does not need must not be there either. */
static void test_start_strings_of_other_modes(void **state)
{
    union priv_message m = start_of(PRIV_MODE_RESTORE);

    (void) state;
    strcpy(m.qemu_start.kernel, hash);
    assert_int_equal(check(&m, 3), -EINVAL);
    m = start_of(PRIV_MODE_RESTORE);
    strcpy(m.qemu_start.cmdline, "x");
    assert_int_equal(check(&m, 3), -EINVAL);
    m = start_of(PRIV_MODE_PROBE);
    strcpy(m.qemu_start.snap, hash);
    assert_int_equal(check(&m, 4), -EINVAL);
    m = start_of(PRIV_MODE_TEMPLATE);
    m.qemu_start.initrd[0] = '\0';
    assert_int_equal(check(&m, 3), -EINVAL);
}

static void test_start_hashes(void **state)
{
    const char *const bad[] = {"", "0123", "../../../../../../etc/passwd", "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde/"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        union priv_message m = start_of(PRIV_MODE_RESTORE);

        memset(m.qemu_start.snap, 0, sizeof(m.qemu_start.snap));
        strcpy(m.qemu_start.snap, bad[i]);
        assert_int_equal(check(&m, 3), -EINVAL);
    }
    union priv_message m = start_of(PRIV_MODE_RESTORE);

    m.qemu_start.rootfs[64] = 'a'; /* not terminated */
    assert_int_equal(check(&m, 3), -EINVAL);
}

static void test_start_names(void **state)
{
    const char *const bad[] = {"", "..", ".x", "-x", "a b", "a/b", "a,b", "a=b", "a\nb", "\x7f", "a\"b"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        union priv_message m = start_of(PRIV_MODE_RESTORE);

        snprintf(m.qemu_start.name, sizeof(m.qemu_start.name), "%s", bad[i]);
        assert_int_equal(check(&m, 3), -EINVAL);
    }
    union priv_message m = start_of(PRIV_MODE_RESTORE);

    memset(m.qemu_start.name, 'a', sizeof(m.qemu_start.name)); /* not terminated */
    assert_int_equal(check(&m, 3), -EINVAL);
}

/* It ends up between quotes in a file that QEMU reads: nothing may leave them. */
static void test_start_cmdlines(void **state)
{
    const char *const bad[] = {"a\"b", "a\nb", "a'b", "a\\b", "a\tb", "\x80"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        union priv_message m = start_of(PRIV_MODE_TEMPLATE);

        snprintf(m.qemu_start.cmdline, sizeof(m.qemu_start.cmdline), "%s", bad[i]);
        assert_int_equal(check(&m, 3), -EINVAL);
    }
    union priv_message m = start_of(PRIV_MODE_TEMPLATE);

    memset(m.qemu_start.cmdline, 'a', sizeof(m.qemu_start.cmdline));
    assert_int_equal(check(&m, 3), -EINVAL);
    m.qemu_start.cmdline[sizeof(m.qemu_start.cmdline) - 1] = '\0';
    assert_int_equal(check(&m, 3), 0);
}

static void test_start_numbers(void **state)
{
    const struct {
        uint32_t cpus, memory, disk, accel, cpu, unfinished;
        int r;
    } rows[] = {
        {1, PRIV_MEMORY_MB_MIN, 0, PRIV_ACCEL_TCG, 0, 0, 0},
        {PRIV_CPUS_MAX, PRIV_MEMORY_MB_MAX, PRIV_MEMORY_MB_MAX, PRIV_ACCEL_KVM, 1, 1, 0},
        {0, 1024, 1, 0, 0, 0, -EINVAL},
        {PRIV_CPUS_MAX + 1, 1024, 1, 0, 0, 0, -EINVAL},
        {1, PRIV_MEMORY_MB_MIN - 2, 1, 0, 0, 0, -EINVAL},
        {1, 1025, 1, 0, 0, 0, -EINVAL},
        {1, UINT32_MAX - 1, 1, 0, 0, 0, -EINVAL},
        {1, 1024, UINT32_MAX, 0, 0, 0, -EINVAL},
        {1, 1024, 1, PRIV_ACCEL_COUNT, 0, 0, -EINVAL},
        {1, 1024, 1, 0, 1000, 0, -EINVAL},
        {1, 1024, 1, 0, 0, 2, -EINVAL},
        {1, 1024, 1, PRIV_ACCEL_KVM, 0, 0, -EINVAL}, /* "max" would be the host's own CPU */
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        union priv_message m = start_of(PRIV_MODE_RESTORE);

        m.qemu_start.cpu_count = rows[i].cpus;
        m.qemu_start.memory_mb = rows[i].memory;
        m.qemu_start.disk_mb = rows[i].disk;
        m.qemu_start.accel = rows[i].accel;
        m.qemu_start.cpu_model = rows[i].cpu;
        m.qemu_start.unfinished = rows[i].unfinished;
        assert_int_equal(check(&m, 3), rows[i].r);
    }
}

static void test_store(void **state)
{
    const struct {
        enum priv_op op;
        uint32_t kind, file, unfinished;
        uint64_t size;
        const char *name;
        int r;
    } rows[] = {
        {PRIV_STORE_BEGIN, PRIV_SNAP, 0, 0, 0, hash, 0},
        {PRIV_STORE_BEGIN, PRIV_BLOB, 0, 0, 0, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_MEMORY, 0, 1ull << 30, hash, 0},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_MEMORY, 0, 0, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_MEMORY, 0, (1ull << 30) + 1, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_MEMORY, 0, UINT64_MAX & ~4095ull, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_DISK, 0, 0, hash, 0},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_DISK, 0, 4096, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_BLOB, 0, 0, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_BLOB, PRIV_FILE_BLOB, 0, 0, hash, 0},
        {PRIV_STORE_CREATE, PRIV_BLOB, PRIV_FILE_META, 0, 0, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_KIND_COUNT, PRIV_FILE_META, 0, 0, hash, -EINVAL},
        {PRIV_STORE_CREATE, PRIV_SNAP, PRIV_FILE_COUNT, 0, 0, hash, -EINVAL},
        {PRIV_STORE_OPEN, PRIV_SNAP, PRIV_FILE_META, 1, 0, hash, 0},
        {PRIV_STORE_OPEN, PRIV_SNAP, PRIV_FILE_META, 2, 0, hash, -EINVAL},
        {PRIV_STORE_OPEN, PRIV_SNAP, PRIV_FILE_META, 0, 0, "../../../../etc", -EINVAL},
        {PRIV_STORE_REMOVE, PRIV_BLOB, 0, 0, 0, "", -EINVAL},
        {PRIV_STORE_REMOVE, PRIV_BLOB, 0, 0, 0, hash, 0},
        {PRIV_STORE_LIST, PRIV_SNAP, 0, 0, 0, "", 0},
        {PRIV_STORE_LIST, PRIV_SNAP, 0, 0, 0, hash, -EINVAL},
        {PRIV_STORE_COMMIT, PRIV_SNAP, 0, 0, 0, hash, 0},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        union priv_message m = {.store = {.kind = rows[i].kind, .file = rows[i].file, .unfinished = rows[i].unfinished, .size = rows[i].size}};

        fill_head(&m, rows[i].op);
        strcpy(m.store.name, rows[i].name);
        if (check(&m, 0) != rows[i].r)
            fail_msg("row %zu", i);
    }
}

static void test_instances(void **state)
{
    (void) state;
    assert_true(privop_instance_valid("a"));
    assert_true(privop_instance_valid("0a9z9z"));
    assert_false(privop_instance_valid(""));
    assert_false(privop_instance_valid(NULL));
    assert_false(privop_instance_valid("1234567"));
    assert_false(privop_instance_valid("A"));
    assert_false(privop_instance_valid("a-b"));
    assert_false(privop_instance_valid("a/b"));
}

static void test_cpus(void **state)
{
    (void) state;
    assert_int_equal(privop_cpu_find("max"), 0);
    assert_true(privop_cpu_find("EPYC-Milan") > 0);
    assert_int_equal(privop_cpu_find("host"), -1);
    assert_null(privop_cpu_name(1000));
    for (unsigned i = 0; privop_cpu_name(i); i++)
        assert_non_null(strstr(privop_cpu_names(), privop_cpu_name(i)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_sizes), cmocka_unit_test(test_slots), cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_start_modes), cmocka_unit_test(test_start_strings_of_other_modes), cmocka_unit_test(test_start_hashes),
        cmocka_unit_test(test_start_names), cmocka_unit_test(test_start_cmdlines), cmocka_unit_test(test_start_numbers),
        cmocka_unit_test(test_store), cmocka_unit_test(test_instances), cmocka_unit_test(test_cpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
