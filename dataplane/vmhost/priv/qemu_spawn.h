/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * qemu_spawn - starts QEMU in its cell: cgroup, private root, empty network namespace, own uid and gid without any capability,
 * no_new_privs, no core dumps, only the descriptors it needs. Parent only; returns when exec() has happened or failed.
 */
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/qemu_argv.h"

struct err;

struct qemu_spawn {
    const struct qemu_spec *spec;
    uid_t uid;           /* and gid */
    int jail;            /* mount namespace */
    const int *procs;    /* cgroup.procs files, -1 for none */
    unsigned procs_count;
    int stderr_fd;
    int fds[QEMU_FD_END]; /* by enum qemu_fd; -1 = not given */
    uint64_t file_bytes_max;
};
int qemu_spawn(const struct qemu_spawn *s, pid_t *pid, struct err *e) must_check;
/* The calling process loses every right for good; used for QEMU and for our own child. */
int cell_drop(uid_t uid, struct err *e) must_check;
