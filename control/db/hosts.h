/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* hosts - machines that run sandboxes, as they report themselves. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;
struct host_heartbeat;

extern const struct db_stmts db_hosts_stmts;

struct host_row {
    int64_t id;
    const char *name, *api_url, *gateway_url, *version,
        *accelerator; /* arena; the last three may be NULL */
    bool draining;
    int64_t capacity_vcpus, capacity_memory_mb, capacity_vms;
    int64_t reserved_vcpus, reserved_memory_mb, reserved_vms;
    int64_t disk_bytes_total, disk_bytes_free;
    int64_t heartbeat_age_ms;
    const char *templates; /* JSON array of {slug, version, status, cpu_count, memory_mb} */
};

/* Registers or renews. One row: id, draining. templates: JSON array. */
void hosts_add_heartbeat(struct db_tx *tx, const char *name, const struct host_heartbeat *hb,
                         const char *templates);
/* All hosts by name: struct host_row. */
void hosts_add_list(struct db_tx *tx);
int hosts_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                 struct host_row *out) must_check;
/* One row (id), or none: unknown. */
void hosts_add_drain(struct db_tx *tx, const char *name, bool drain);
