/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* procs - who runs as the uid of a slot. Parent only. */
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

/* Calls fn for every living (not zombie) process whose uid lies in [first, first + count). 0 or -errno. */
typedef void procs_fn(void *arg, pid_t pid, uid_t uid);
int procs_each(uid_t first, uint32_t count, procs_fn *fn, void *arg) must_check;

/* Start time (clock ticks since boot) and state letter of /proc/PID/stat. -ESRCH when there is none. */
int procs_stat(pid_t pid, uint64_t *start_time, char *state) must_check;

/* Opens a pidfd and proves that it is the process of that uid and start time. -ESRCH if not. */
int procs_pidfd(pid_t pid, uid_t uid, uint64_t start_time, int *pidfd) must_check;
int procs_kill(int pidfd, int signo) must_check;
