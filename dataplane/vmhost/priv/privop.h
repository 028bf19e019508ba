/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * privop - the border between the root parent and the unprivileged child: one fixed-size message per operation on a SEQPACKET
 * socketpair, answered by one fixed-size reply with the same id. Descriptors travel beside a message; how many is fixed too.
 *
 * The parent trusts nothing here: privop_check() is run on every message, and what only the file system or the process table can tell
 * is checked where the operation is done. A message that fails the check ends the parent (and with it the child; VMs live on).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct err;

enum {
    PRIV_SLOTS_MAX = 1024,
    PRIV_FDS_MAX = 4,
    PRIV_NAME_SIZE = 40,       /* sandbox id or an internal name */
    PRIV_HASH_SIZE = 65,       /* 64 lower-case hex digits */
    PRIV_CMDLINE_SIZE = 1024,
    PRIV_TEXT_SIZE = 256,
    PRIV_LIST_MAX = 32,        /* names in one reply */
    PRIV_MEMORY_MB_MIN = 64, PRIV_MEMORY_MB_MAX = 1024 * 1024,
    PRIV_CPUS_MAX = 64,
};

enum priv_op {
    PRIV_NONE,
    PRIV_SLOT_MAKE,    /* netns, tap, nft rules, cgroup -> ready */
    PRIV_SLOT_DESTROY, /* kills what is left; -EAGAIN: something is still dying, ask again */
    PRIV_SLOT_SOCKET,  /* -> fd: TCP socket made in the slot's network namespace */
    PRIV_QEMU_START,   /* fds: qmp listener, stderr pipe, [disk], [console], [kernel] -> pid, start time; fd: pidfd */
    PRIV_QEMU_ADOPT,   /* -> fd: pidfd; -ESRCH: not that process any more */
    PRIV_QEMU_KILL,
    PRIV_QEMU_MEMORY,  /* -> fds: pagemap, mem, read-only */
    PRIV_STORE_BEGIN,  /* a new snapshot, in the temporary folder */
    PRIV_STORE_CREATE, /* -> fd: a file of an object that is being made */
    PRIV_STORE_COMMIT, /* durable, nobody can write it any more, renamed into place */
    PRIV_STORE_REMOVE, /* an object, finished or not */
    PRIV_STORE_OPEN,   /* -> fd, read-only */
    PRIV_STORE_LIST,   /* names of finished objects */
    PRIV_LEFTOVERS,    /* slots with a netns, a cgroup or a process of theirs */
    PRIV_OP_COUNT,
};

/* One word per slot use; the parent holds the same state per slot. */
enum priv_slot_state { PRIV_SLOT_EMPTY, PRIV_SLOT_READY, PRIV_SLOT_RUNNING };

enum priv_kind { PRIV_BLOB, PRIV_SNAP, PRIV_KIND_COUNT };
/* Files of a snapshot; a blob is one file. */
enum priv_file { PRIV_FILE_BLOB, PRIV_FILE_META, PRIV_FILE_SUMS, PRIV_FILE_STATE, PRIV_FILE_MEMORY, PRIV_FILE_DISK, PRIV_FILE_COUNT };

enum priv_mode {
    PRIV_MODE_PROBE,    /* kernel and a tiny initramfs of ours, no disk, no network */
    PRIV_MODE_TEMPLATE, /* first boot: memory and disk are files of a snapshot in the making */
    PRIV_MODE_RESTORE,  /* memory mapped privately from a snapshot, device state fed in */
    PRIV_MODE_COLD,     /* boots from the disk of a VM */
    PRIV_MODE_COUNT,
};
enum priv_accel { PRIV_ACCEL_TCG, PRIV_ACCEL_KVM, PRIV_ACCEL_COUNT };

struct priv_head {
    uint32_t op;
    uint32_t size; /* of the whole message */
    uint64_t id;   /* chosen by the child, comes back */
};

struct priv_slot { /* SLOT_MAKE, SLOT_DESTROY, SLOT_SOCKET, QEMU_KILL, QEMU_MEMORY */
    struct priv_head head;
    uint32_t slot, pad;
};
struct priv_qemu_start {
    struct priv_head head;
    uint32_t slot, mode, accel, cpu_model;
    uint32_t cpu_count, memory_mb;
    uint32_t unfinished; /* RESTORE: the snapshot is still in the temporary folder (test before commit) */
    uint32_t disk_mb;    /* limit of what its files may grow to */
    char name[PRIV_NAME_SIZE];
    char snap[PRIV_HASH_SIZE], rootfs[PRIV_HASH_SIZE], kernel[PRIV_HASH_SIZE], initrd[PRIV_HASH_SIZE];
    char cmdline[PRIV_CMDLINE_SIZE];
};
struct priv_qemu_adopt {
    struct priv_head head;
    uint32_t slot;
    int32_t pid;
    uint64_t start_time; /* field 22 of /proc/PID/stat */
};
struct priv_store {
    struct priv_head head;
    uint32_t kind, file;   /* file: CREATE, OPEN */
    uint32_t unfinished;   /* OPEN, REMOVE: in the temporary folder */
    uint32_t after;        /* LIST: names to skip */
    uint64_t size;         /* CREATE: bytes of the memory file; 0 for the others */
    char name[PRIV_HASH_SIZE];
};
struct priv_leftovers {
    struct priv_head head;
};

union priv_message {
    struct priv_head head;
    struct priv_slot slot;
    struct priv_qemu_start qemu_start;
    struct priv_qemu_adopt qemu_adopt;
    struct priv_store store;
    struct priv_leftovers leftovers;
};

struct priv_reply {
    uint64_t id;
    int32_t result; /* 0 or -errno */
    int32_t pid;
    uint64_t start_time;
    uint32_t nfds, count;
    char text[PRIV_TEXT_SIZE]; /* why not, for the log */
    union {
        uint8_t slots[PRIV_SLOTS_MAX / 8];
        char names[PRIV_LIST_MAX][PRIV_HASH_SIZE];
    };
};

/* The row of an operation: what must be true before it is looked at. */
struct privop_row {
    const char *name;
    size_t size;        /* exact */
    unsigned fds_min, fds_max;
    unsigned slots;     /* bits of enum priv_slot_state in which it is allowed; 0 = not about a slot */
    unsigned calls_max; /* in the parent's life; 0 = any number */
};
extern const struct privop_row privop_rows[PRIV_OP_COUNT];

/* Size, operation, number of descriptors and each argument. 0, or -EINVAL with the reason: then the sender is not our child any more. */
int privop_check(const void *p, size_t len, size_t nfds, struct err *e) must_check;

bool privop_instance_valid(const char *s);
bool privop_name_valid(const char *s, size_t size);    /* terminated; a-z A-Z 0-9 . _ - ; not empty */
bool privop_hash_valid(const char *s);                 /* PRIV_HASH_SIZE bytes */
bool privop_cmdline_valid(const char *s, size_t size); /* terminated; printable ASCII without quotes and backslash; may be empty */

/* CPU models that exist by name; the index goes over the border. */
int privop_cpu_find(const char *name); /* index or -1 */
const char *privop_cpu_name(unsigned index); /* NULL beyond the end */
const char *privop_cpu_names(void); /* "max Nehalem ..." */
