/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cgroup - one control group per slot with limits of memory, CPU and processes. Version 2 where its controllers are there, else the
 * version 1 hierarchies, else none: then VMs run without limits and the caller says so loudly. Parent only; blocks.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct cgroups;
struct err;

enum { CGROUP_HIERARCHIES = 3 };

int cgroups_open(struct cgroups **out, const char *instance, struct err *e) must_check;
void cgroups_free(struct cgroups *c); /* NULL is fine; the groups stay */
const char *cgroups_kind(const struct cgroups *c); /* "v2", "v1" or "none" */

int cgroup_make(struct cgroups *c, unsigned slot, struct err *e) must_check; /* fine if it is there */
int cgroup_limit(struct cgroups *c, unsigned slot, unsigned cpu_count, uint64_t memory_bytes, struct err *e) must_check;
/* Descriptors of its cgroup.procs files (owned by the caller); writing "0" moves the writer. Returns how many. */
int cgroup_open_procs(struct cgroups *c, unsigned slot, int fds[CGROUP_HIERARCHIES], struct err *e) must_check;
void cgroup_kill(struct cgroups *c, unsigned slot); /* version 2 only; the caller kills by uid besides */
int cgroup_remove(struct cgroups *c, unsigned slot) must_check; /* -EBUSY while a process is inside; fine if it is gone */
void cgroup_mark(struct cgroups *c, uint8_t *bits, unsigned slots); /* sets the bits of slots that have a group */
void cgroups_remove_base(struct cgroups *c); /* for a purge: after all slots */
