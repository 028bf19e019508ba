/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_privop - any bytes as a message to the root parent. First byte: descriptors beside it. What passes the check must hold all that the
 * parent relies on without looking again; a start must give a command line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "dataplane/vmhost/priv/privop.h"
#include "dataplane/vmhost/priv/qemu_argv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_start(const struct priv_qemu_start *m)
{
    const struct qemu_spec spec = {
        .program = "/usr/bin/qemu-system-x86_64", .name = m->name, .mode = (enum priv_mode) m->mode, .accel = (enum priv_accel) m->accel,
        .cpu_model = privop_cpu_name(m->cpu_model), .cpu_count = m->cpu_count, .memory_mb = m->memory_mb, .cmdline = m->cmdline,
    };
    static struct qemu_argv argv;

    must(m->slot < PRIV_SLOTS_MAX && m->mode < PRIV_MODE_COUNT && m->accel < PRIV_ACCEL_COUNT && spec.cpu_model);
    must(memchr(m->name, 0, sizeof(m->name)) && memchr(m->cmdline, 0, sizeof(m->cmdline)));
    must(!strpbrk(m->name, "/, =") && !strpbrk(m->cmdline, "\"'\\\n"));
    qemu_argv_build(&spec, &argv);
    must(argv.count > 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union priv_message m = {0};
    struct err e = ERR_INIT;

    if (size < 1)
        return 0;
    if (privop_check(data + 1, size - 1, data[0] % 6, &e) < 0) {
        must(e.text[0]);
        return 0;
    }
    memcpy(&m, data + 1, size - 1);
    must(m.head.op > PRIV_NONE && m.head.op < PRIV_OP_COUNT && privop_rows[m.head.op].size == size - 1);
    if (m.head.op == PRIV_QEMU_START)
        check_start(&m.qemu_start);
    else if (m.head.op == PRIV_QEMU_ADOPT)
        must(m.qemu_adopt.slot < PRIV_SLOTS_MAX && m.qemu_adopt.pid > 1);
    else if (privop_rows[m.head.op].slots)
        must(m.slot.slot < PRIV_SLOTS_MAX);
    else if (m.head.op != PRIV_LEFTOVERS)
        must(m.store.kind < PRIV_KIND_COUNT && m.store.file < PRIV_FILE_COUNT && (!m.store.name[0] || privop_hash_valid(m.store.name)));
    return 0;
}
