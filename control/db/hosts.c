/* SPDX-License-Identifier: Apache-2.0 */
/* hosts - statements of table hosts. */
#include "control/db/hosts.h"
#include <errno.h>
#include "common/base/arena.h"
#include "common/wire/host_api.h"
#include "control/db/tx.h"

enum { HOSTS_HEARTBEAT, HOSTS_LIST, HOSTS_DRAIN };

/* SQL keeps its own lines. */
/* clang-format off */
static const struct db_stmt hosts_stmts[] = {
    [HOSTS_HEARTBEAT] = {"hosts_heartbeat",
                         "INSERT INTO hosts AS h (name, api_url, gateway_url, version, accelerator, capacity_vcpus,"
                         " capacity_memory_mb, capacity_vms, used_vcpus, used_memory_mb, used_vms, disk_bytes_total,"
                         " disk_bytes_free, templates, heartbeat_at)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb, now())"
                         " ON CONFLICT (name) DO UPDATE SET (api_url, gateway_url, version, accelerator, capacity_vcpus,"
                         " capacity_memory_mb, capacity_vms, used_vcpus, used_memory_mb, used_vms, disk_bytes_total,"
                         " disk_bytes_free, templates, heartbeat_at) = (excluded.api_url, excluded.gateway_url,"
                         " excluded.version, excluded.accelerator, excluded.capacity_vcpus, excluded.capacity_memory_mb,"
                         " excluded.capacity_vms, excluded.used_vcpus, excluded.used_memory_mb, excluded.used_vms,"
                         " excluded.disk_bytes_total, excluded.disk_bytes_free, excluded.templates, excluded.heartbeat_at)"
                         " RETURNING h.id, h.draining",
                         14},
    [HOSTS_LIST] = {"hosts_list",
                    "SELECT id, name, api_url, gateway_url, version, accelerator, draining, capacity_vcpus,"
                    " capacity_memory_mb, capacity_vms, reserved_vcpus, reserved_memory_mb, reserved_vms, disk_bytes_total,"
                    " disk_bytes_free, greatest(0, (extract(epoch FROM now() - heartbeat_at) * 1000)::bigint), templates"
                    " FROM hosts ORDER BY name",
                    0},
    [HOSTS_DRAIN] = {"hosts_drain", "UPDATE hosts SET draining = $2::boolean WHERE name = $1 RETURNING id", 2},
};
/* clang-format on */
const struct db_stmts db_hosts_stmts = {hosts_stmts, ARRAY_LEN(hosts_stmts)};

void hosts_add_heartbeat(struct db_tx *tx, const char *name, const struct host_heartbeat *hb,
                         const char *templates)
{
    tx_add(tx, &hosts_stmts[HOSTS_HEARTBEAT]);
    tx_text(tx, name);
    tx_text(tx, hb->host_api_url);
    tx_text(tx, hb->gateway_url);
    tx_text(tx, hb->version);
    tx_text(tx, hb->accelerator);
    tx_i64(tx, hb->capacity.vcpus);
    tx_i64(tx, hb->capacity.memory_mb);
    tx_i64(tx, hb->capacity.vms);
    tx_i64(tx, hb->used.vcpus);
    tx_i64(tx, hb->used.memory_mb);
    tx_i64(tx, hb->used.vms);
    tx_i64(tx, hb->disk.bytes_total);
    tx_i64(tx, hb->disk.bytes_free);
    tx_text(tx, templates);
}

void hosts_add_list(struct db_tx *tx)
{
    tx_add(tx, &hosts_stmts[HOSTS_LIST]);
}

int hosts_decode(const struct db_tx *tx, unsigned stmt, int row, struct arena *a,
                 struct host_row *out)
{
    struct host_row h = {
        .id = tx_col_i64(tx, stmt, row, 0),
        .name = tx_col_dup(tx, stmt, row, 1, a),
        .api_url = tx_col_dup(tx, stmt, row, 2, a),
        .gateway_url = tx_col_dup(tx, stmt, row, 3, a),
        .version = tx_col_dup(tx, stmt, row, 4, a),
        .accelerator = tx_col_dup(tx, stmt, row, 5, a),
        .draining = tx_col_bool(tx, stmt, row, 6),
        .capacity_vcpus = tx_col_i64(tx, stmt, row, 7),
        .capacity_memory_mb = tx_col_i64(tx, stmt, row, 8),
        .capacity_vms = tx_col_i64(tx, stmt, row, 9),
        .reserved_vcpus = tx_col_i64(tx, stmt, row, 10),
        .reserved_memory_mb = tx_col_i64(tx, stmt, row, 11),
        .reserved_vms = tx_col_i64(tx, stmt, row, 12),
        .disk_bytes_total = tx_col_i64(tx, stmt, row, 13),
        .disk_bytes_free = tx_col_i64(tx, stmt, row, 14),
        .heartbeat_age_ms = tx_col_i64(tx, stmt, row, 15),
        .templates = tx_col_dup(tx, stmt, row, 16, a),
    };

    if (!h.name || !h.api_url || !h.templates)
        return -ENOMEM;
    *out = h;
    return 0;
}

void hosts_add_drain(struct db_tx *tx, const char *name, bool drain)
{
    tx_add(tx, &hosts_stmts[HOSTS_DRAIN]);
    tx_text(tx, name);
    tx_bool(tx, drain);
}
