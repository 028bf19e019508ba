/* SPDX-License-Identifier: Apache-2.0 */
/* privop - the rows of all operations and the checks of their arguments; no system calls here, so that they can be tested and fuzzed */
#include "dataplane/vmhost/priv/privop.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include <errno.h>
#include <string.h>

enum {
    SLOT_ANY = 1 << PRIV_SLOT_EMPTY | 1 << PRIV_SLOT_READY | 1 << PRIV_SLOT_RUNNING,
    SLOT_EMPTY = 1 << PRIV_SLOT_EMPTY,
    SLOT_READY = 1 << PRIV_SLOT_READY,
    SLOT_RUNNING = 1 << PRIV_SLOT_RUNNING,
};

const struct privop_row privop_rows[PRIV_OP_COUNT] = {
    [PRIV_SLOT_MAKE] = {"slot_make", sizeof(struct priv_slot), 0, 0, SLOT_EMPTY, 0},
    [PRIV_SLOT_DESTROY] = {"slot_destroy", sizeof(struct priv_slot), 0, 0, SLOT_ANY, 0},
    [PRIV_SLOT_SOCKET] = {"slot_socket", sizeof(struct priv_slot), 0, 0, SLOT_RUNNING, 0},
    [PRIV_QEMU_START] = {"qemu_start", sizeof(struct priv_qemu_start), 2, 4, SLOT_READY, 0},
    [PRIV_QEMU_ADOPT] = {"qemu_adopt", sizeof(struct priv_qemu_adopt), 0, 0, SLOT_EMPTY, 0},
    [PRIV_QEMU_KILL] = {"qemu_kill", sizeof(struct priv_slot), 0, 0, SLOT_RUNNING, 0},
    [PRIV_QEMU_MEMORY] = {"qemu_memory", sizeof(struct priv_slot), 0, 0, SLOT_RUNNING, 0},
    [PRIV_STORE_BEGIN] = {"store_begin", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_STORE_CREATE] = {"store_create", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_STORE_COMMIT] = {"store_commit", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_STORE_REMOVE] = {"store_remove", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_STORE_OPEN] = {"store_open", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_STORE_LIST] = {"store_list", sizeof(struct priv_store), 0, 0, 0, 0},
    [PRIV_LEFTOVERS] = {"leftovers", sizeof(struct priv_leftovers), 0, 0, 0, 0},
};

/* "max" is for software emulation only: there it depends on QEMU alone, under KVM it would be the host's CPU. */
static const char *const privop_cpus[] = {
    "max", "Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Haswell-noTSX", "Broadwell-noTSX", "Skylake-Server-noTSX-IBRS",
    "Cascadelake-Server-noTSX", "Icelake-Server-noTSX", "Opteron_G3", "EPYC", "EPYC-Rome", "EPYC-Milan",
};

int privop_cpu_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(privop_cpus); i++)
        if (str_eq(privop_cpus[i], name))
            return (int) i;
    return -1;
}

const char *privop_cpu_name(unsigned index)
{
    return index < ARRAY_LEN(privop_cpus) ? privop_cpus[index] : NULL;
}

const char *privop_cpu_names(void)
{
    return "max Nehalem Westmere SandyBridge IvyBridge Haswell-noTSX Broadwell-noTSX Skylake-Server-noTSX-IBRS "
           "Cascadelake-Server-noTSX Icelake-Server-noTSX Opteron_G3 EPYC EPYC-Rome EPYC-Milan";
}

static bool privop_is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool privop_instance_valid(const char *s)
{
    size_t len = s ? strlen(s) : 0;

    if (len < 1 || len > 6)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!privop_is_lower_or_digit(s[i]))
            return false;
    return true;
}

bool privop_name_valid(const char *s, size_t size)
{
    size_t len = strnlen(s, size);

    if (len == 0 || len == size || s[0] == '.' || s[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        bool ok = privop_is_lower_or_digit(s[i]) || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '.' || s[i] == '_' || s[i] == '-';

        if (!ok)
            return false;
    }
    return true;
}

bool privop_hash_valid(const char *s)
{
    for (size_t i = 0; i < PRIV_HASH_SIZE - 1; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[PRIV_HASH_SIZE - 1] == '\0';
}

bool privop_cmdline_valid(const char *s, size_t size)
{
    size_t len = strnlen(s, size);

    if (len == size)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\'' || s[i] == '\\')
            return false;
    return true;
}

static int privop_check_slot(uint32_t slot, struct err *e)
{
    return slot < PRIV_SLOTS_MAX ? 0 : err_set(e, -EINVAL, "slot %u", slot);
}

static int privop_check_size(uint32_t cpu_count, uint32_t memory_mb, struct err *e)
{
    if (cpu_count < 1 || cpu_count > PRIV_CPUS_MAX)
        return err_set(e, -EINVAL, "cpu_count %u", cpu_count);
    if (memory_mb < PRIV_MEMORY_MB_MIN || memory_mb > PRIV_MEMORY_MB_MAX || memory_mb % 2)
        return err_set(e, -EINVAL, "memory_mb %u", memory_mb);
    return 0;
}

/* Which of its strings a mode needs; the others must be empty, so that nothing unexpected is opened. */
static const struct privop_mode {
    bool snap, kernel, cmdline; /* snap: and the root disk it stands on; kernel: and the initramfs */
    unsigned fds;
} privop_modes[PRIV_MODE_COUNT] = {
    [PRIV_MODE_PROBE] = {.cmdline = true, .fds = 4},                                  /* qmp, stderr, console, kernel */
    [PRIV_MODE_TEMPLATE] = {.snap = true, .kernel = true, .cmdline = true, .fds = 3}, /* qmp, stderr, console */
    [PRIV_MODE_RESTORE] = {.snap = true, .fds = 3},                                   /* qmp, stderr, disk */
    [PRIV_MODE_COLD] = {.snap = true, .kernel = true, .cmdline = true, .fds = 4},     /* qmp, stderr, disk, console */
};

static int privop_check_hash(const char *name, const char *s, bool wanted, struct err *e)
{
    bool ok = wanted ? privop_hash_valid(s) : s[0] == '\0';

    return ok ? 0 : err_set(e, -EINVAL, "%s", name);
}

static int privop_check_start(const struct priv_qemu_start *m, size_t nfds, struct err *e)
{
    const struct privop_mode *mode;

    if (m->mode >= PRIV_MODE_COUNT)
        return err_set(e, -EINVAL, "mode %u", m->mode);
    mode = &privop_modes[m->mode];
    if (nfds != mode->fds)
        return err_set(e, -EINVAL, "%zu descriptors for mode %u", nfds, m->mode);
    if (m->accel >= PRIV_ACCEL_COUNT || !privop_cpu_name(m->cpu_model) || m->unfinished > 1 || m->disk_mb > PRIV_MEMORY_MB_MAX)
        return err_set(e, -EINVAL, "accelerator, CPU model or disk size");
    if (m->accel == PRIV_ACCEL_KVM && str_eq(privop_cpu_name(m->cpu_model), "max"))
        return err_set(e, -EINVAL, "CPU model 'max' under KVM");
    if (!privop_name_valid(m->name, sizeof(m->name)))
        return err_set(e, -EINVAL, "name");
    if (privop_check_hash("snap", m->snap, mode->snap, e) < 0 || privop_check_hash("rootfs", m->rootfs, mode->snap, e) < 0 ||
        privop_check_hash("kernel", m->kernel, mode->kernel, e) < 0 || privop_check_hash("initrd", m->initrd, mode->kernel, e) < 0)
        return -EINVAL;
    if (!privop_cmdline_valid(m->cmdline, sizeof(m->cmdline)) || (!mode->cmdline && m->cmdline[0]))
        return err_set(e, -EINVAL, "cmdline");
    return privop_check_size(m->cpu_count, m->memory_mb, e);
}

static int privop_check_store(const struct priv_store *m, struct err *e)
{
    bool named = m->head.op != PRIV_STORE_LIST;
    bool filed = m->head.op == PRIV_STORE_CREATE || m->head.op == PRIV_STORE_OPEN;
    bool memory = m->head.op == PRIV_STORE_CREATE && m->file == PRIV_FILE_MEMORY;

    if (m->kind >= PRIV_KIND_COUNT || m->file >= PRIV_FILE_COUNT || m->unfinished > 1)
        return err_set(e, -EINVAL, "kind or file");
    if (filed && (m->kind == PRIV_BLOB) != (m->file == PRIV_FILE_BLOB))
        return err_set(e, -EINVAL, "file %u is not of kind %u", m->file, m->kind);
    if (m->head.op == PRIV_STORE_BEGIN && m->kind != PRIV_SNAP)
        return err_set(e, -EINVAL, "only snapshots are begun");
    if (memory ? (m->size < (uint64_t) PRIV_MEMORY_MB_MIN * MIB || m->size > (uint64_t) PRIV_MEMORY_MB_MAX * MIB || m->size % 4096)
               : m->size != 0)
        return err_set(e, -EINVAL, "size");
    return privop_check_hash("object name", m->name, named, e);
}

static int privop_check_args(const union priv_message *m, size_t nfds, struct err *e)
{
    switch (m->head.op) {
    case PRIV_SLOT_MAKE:
    case PRIV_SLOT_DESTROY:
    case PRIV_SLOT_SOCKET:
    case PRIV_QEMU_KILL:
    case PRIV_QEMU_MEMORY:
        return privop_check_slot(m->slot.slot, e);
    case PRIV_QEMU_START:
        if (privop_check_slot(m->qemu_start.slot, e) < 0)
            return -EINVAL;
        return privop_check_start(&m->qemu_start, nfds, e);
    case PRIV_QEMU_ADOPT:
        if (m->qemu_adopt.pid < 2)
            return err_set(e, -EINVAL, "pid %d", m->qemu_adopt.pid);
        return privop_check_slot(m->qemu_adopt.slot, e);
    case PRIV_LEFTOVERS:
        return 0;
    default:
        return privop_check_store(&m->store, e);
    }
}

int privop_check(const void *p, size_t len, size_t nfds, struct err *e)
{
    const struct privop_row *row;
    union priv_message m = {0};

    if (len < sizeof(struct priv_head) || len > sizeof(m))
        return err_set(e, -EINVAL, "message of %zu bytes", len);
    memcpy(&m, p, len);
    if (m.head.op <= PRIV_NONE || m.head.op >= PRIV_OP_COUNT)
        return err_set(e, -EINVAL, "operation %u", m.head.op);
    row = &privop_rows[m.head.op];
    if (len != row->size || m.head.size != len)
        return err_set(e, -EINVAL, "%s: %zu bytes instead of %zu", row->name, len, row->size);
    if (nfds < row->fds_min || nfds > row->fds_max)
        return err_set(e, -EINVAL, "%s: %zu descriptors", row->name, nfds);
    if (privop_check_args(&m, nfds, e) < 0)
        return err_wrap(e, -EINVAL, "%s", row->name);
    return 0;
}
