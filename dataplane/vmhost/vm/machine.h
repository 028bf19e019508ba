/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * machine - one QEMU process in a slot: its start or adoption, its monitor, its end, what it says on stderr and on the console.
 * Knows nothing of sandboxes; VMs, template builds and the probe stand on it. Loop thread only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/privop.h"
#include "dataplane/vmhost/qmp/qmp.h"

struct host;
struct json;
struct machine;
struct op;

struct machine_ops {
    void (*on_event)(void *arg, const char *name, const struct json *data);
    void (*on_exit)(void *arg);      /* the process has ended; once; events that came before were delivered */
    void (*on_qmp_lost)(void *arg);  /* the monitor broke while the process lives */
};

struct machine_start {
    unsigned slot;
    enum priv_mode mode;
    unsigned cpu_count, memory_mb, disk_mb;
    bool unfinished;
    const char *name;       /* of the VM; also of its folder */
    const char *snap, *rootfs, *kernel, *initrd, *cmdline; /* NULL = none */
    int qmp_listener, disk; /* taken; -1 = none */
    int kernel_fd;          /* PROBE: borrowed */
    void (*on_console)(void *arg); /* may be NULL: the console said something */
    void *on_console_arg;
};

struct machine *machine_new(struct host *h, const struct machine_ops *ops, void *arg);
void machine_free(struct machine *m); /* NULL is fine; the process is left alone */

/* text: why not (borrowed). On success the monitor is being connected: calls may be made. */
typedef void machine_started_fn(void *arg, int r, const char *text);
int machine_start(struct machine *m, const struct machine_start *s, struct op **op_slot, machine_started_fn *done, void *arg) must_check;
/* -ESRCH: that process has ended. */
int machine_adopt(struct machine *m, unsigned slot, const char *name, pid_t pid, uint64_t start_time, struct op **op_slot,
                  machine_started_fn *done, void *arg) must_check;
void machine_kill(struct machine *m); /* SIGKILL by pidfd through the parent; on_exit follows */

bool machine_alive(const struct machine *m);
pid_t machine_pid(const struct machine *m);
uint64_t machine_start_time(const struct machine *m);
const char *machine_said(const struct machine *m);    /* the end of stderr, or "" */
const char *machine_console(const struct machine *m); /* the end of the console, or "" */

int machine_qmp(struct machine *m, const char *command, const char *args, int fd, uint32_t deadline_ms, struct op **op_slot,
                qmp_done_fn *done, void *arg) must_check; /* -ENOTCONN */
