/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sched - which host a sandbox goes to. Pure: the database has the last word about room (a
 * trigger), the host about itself. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sched_host {
    int64_t id;
    bool draining;
    bool fresh;        /* its last report is young enough */
    bool has_template; /* the wanted version is ready there, in the wanted size */
    int64_t capacity_vcpus, capacity_memory_mb, capacity_vms;
    int64_t reserved_vcpus, reserved_memory_mb, reserved_vms;
    int64_t disk_bytes_total, disk_bytes_free;
};
struct sched_need {
    int64_t cpu_count, memory_mb;
};

/* No new sandboxes on a host whose disk is fuller than this. */
enum { SCHED_DISK_PERCENT_MAX = 95 };

bool sched_fits(const struct sched_host *h, const struct sched_need *need);
/* The one that is least loaded afterwards; of equals the one with the least id. NULL: none fits.
 * Those in `except` are left out. */
const struct sched_host *sched_pick(const struct sched_host *hosts, size_t count,
                                    const struct sched_need *need, const int64_t *except,
                                    size_t except_count);
