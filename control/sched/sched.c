/* SPDX-License-Identifier: Apache-2.0 */
/* sched - see sched.h. */
#include "control/sched/sched.h"

static bool sched_disk_ok(const struct sched_host *h)
{
    if (h->disk_bytes_total <= 0)
        return true; /* not told */
    return h->disk_bytes_free >= h->disk_bytes_total / 100 * (100 - SCHED_DISK_PERCENT_MAX);
}

bool sched_fits(const struct sched_host *h, const struct sched_need *need)
{
    return h->fresh && !h->draining && h->has_template && sched_disk_ok(h) &&
           h->reserved_vms < h->capacity_vms &&
           h->reserved_vcpus + need->cpu_count <= h->capacity_vcpus &&
           h->reserved_memory_mb + need->memory_mb <= h->capacity_memory_mb;
}

static double sched_share(int64_t used, int64_t capacity)
{
    return capacity > 0 ? (double)used / (double)capacity : 1.0;
}

/* The scarcest of its resources once the sandbox is there: 0 idle .. 1 full. */
static double sched_load(const struct sched_host *h, const struct sched_need *need)
{
    double load = sched_share(h->reserved_vcpus + need->cpu_count, h->capacity_vcpus);
    double memory = sched_share(h->reserved_memory_mb + need->memory_mb, h->capacity_memory_mb);
    double vms = sched_share(h->reserved_vms + 1, h->capacity_vms);

    load = memory > load ? memory : load;
    return vms > load ? vms : load;
}

static bool sched_excepted(int64_t id, const int64_t *except, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (except[i] == id)
            return true;
    }
    return false;
}

const struct sched_host *sched_pick(const struct sched_host *hosts, size_t count,
                                    const struct sched_need *need, const int64_t *except,
                                    size_t except_count)
{
    const struct sched_host *best = NULL;
    double best_load = 0;

    for (size_t i = 0; i < count; i++) {
        const struct sched_host *h = &hosts[i];

        if (!sched_fits(h, need) || sched_excepted(h->id, except, except_count))
            continue;
        double load = sched_load(h, need);

        if (!best || load < best_load || (load <= best_load && h->id < best->id)) {
            best = h;
            best_load = load;
        }
    }
    return best;
}
