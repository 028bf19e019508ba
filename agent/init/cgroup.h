/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cgroup - the guest's three groups (v2): `agent` for this program, `files` for its file helpers, `user` for everything that users run.
 * `user` is frozen before a snapshot and thawed after init; its memory and process count leave a reserve so that the agent always answers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct err;
struct loop;

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Makes the groups, sets their limits, moves this process into `agent`. reserve_bytes: what `user` may not use of the memory. */
int cgroup_setup(uint64_t reserve_bytes, struct err *e) must_check;
int cgroup_user_fd(void);                 /* -1 without groups; borrowed for the process' life */
int cgroup_files_fd(void);                /* of `files`: for starting helpers in it */
bool cgroup_present(void);
int cgroup_thaw(struct err *e) must_check; /* fine when not frozen, or without groups (not a machine) */
bool cgroup_frozen(void);                  /* what the kernel says: all of `user` stands still */
int cgroup_freeze_begin(struct err *e) must_check;
/* Opens cgroup.events for polling: its content changes (POLLPRI) when the state does. */
int cgroup_events_open(void) must_check;
/* Sends to all processes of `user`; as long as there are some it returns their number. */
unsigned cgroup_user_signal(int signo);
