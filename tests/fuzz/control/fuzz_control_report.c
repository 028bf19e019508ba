/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_control_report - any bytes as a host's report against a few rows: a plan that is bounded and
 * names only what it may. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/wire/host_api.h"
#include "control/db/sandboxes_life.h"
#include "control/hosts/host_client.h"
#include "control/hosts/reconcile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct life_row rows[] = {
    {.id = 3,
     .generation = 1,
     .host_id = 1,
     .state = "ready",
     .on_host = true,
     .missing_ms = 5000,
     .on_timeout = "kill"},
    {.id = 1,
     .generation = 1,
     .host_id = 1,
     .state = "ready",
     .on_host = true,
     .missing_ms = -1,
     .on_timeout = "kill"},
    {.id = 2,
     .generation = 2,
     .host_id = 1,
     .state = "destroyed",
     .on_host = true,
     .missing_ms = -1,
     .on_timeout = "kill"},
    {.id = 4,
     .generation = 1,
     .host_id = 2,
     .state = "ready",
     .on_host = true,
     .missing_ms = -1,
     .on_timeout = "kill"},
    {.id = 5,
     .generation = 1,
     .host_id = 1,
     .state = "creating",
     .on_host = true,
     .missing_ms = -1,
     .on_timeout = "kill"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(16 * MIB);
    struct host_heartbeat hb;
    struct reconcile_plan plan;
    struct err e = ERR_INIT;

    if (json_decode(&host_heartbeat_table, data, size, a, &hb, &e) == 0) {
        (void)!host_url_check(hb.host_api_url, &e); /* an outcome is fine */
        if (reconcile_make(1, hb.vms.items, hb.vms.count, rows, sizeof(rows) / sizeof(rows[0]),
                           1000, a, &plan) == 0) {
            assert(plan.count <= 2 * hb.vms.count + sizeof(rows) / sizeof(rows[0]));
            for (size_t i = 0; i < plan.count; i++) {
                assert(plan.items[i].id > 0);
                if (plan.items[i].kind == RECONCILE_END)
                    assert(plan.items[i].state && plan.items[i].reason && plan.items[i].id != 2 &&
                           plan.items[i].id != 4);
            }
        }
    }
    arena_free(a);
    return 0;
}
