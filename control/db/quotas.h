/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* quotas - what a team may have and has. Charged and released by a trigger on sandboxes. */
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct db_tx;

extern const struct db_stmts db_quotas_stmts;

struct quota_row {
    int64_t max_sandboxes, max_vcpus, max_memory_mb;
    int64_t used_sandboxes, used_vcpus, used_memory_mb;
};
void quotas_add_get(struct db_tx *tx, int64_t team_id);
int quotas_decode(const struct db_tx *tx, unsigned stmt,
                  struct quota_row *out) must_check; /* -ENOENT */
/* -1 keeps a limit. One row: the team's id; none: unknown slug. */
void quotas_add_set(struct db_tx *tx, const char *team_slug, int64_t sandboxes, int64_t vcpus,
                    int64_t memory_mb);
/* Teams whose counters are not what their sandboxes add up to; hosts likewise: rows (kind, name).
 */
void quotas_add_audit(struct db_tx *tx);
