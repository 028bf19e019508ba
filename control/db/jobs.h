/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* jobs - work that is done once, whichever replica does it. */
#include <stddef.h>
#include <stdint.h>
#include "control/db/stmt.h"

struct db_tx;

extern const struct db_stmts db_jobs_stmts;

/* A periodic job, if it is not there yet. */
void jobs_add_periodic(struct db_tx *tx, const char *kind, int64_t every_ms);
/* The job that is due the longest, of one of these kinds: one row (id, kind, subject, claim) or
 * none. */
void jobs_add_claim(struct db_tx *tx, const char *const *kinds, size_t kinds_count,
                    int64_t lease_ms);
/* Done: a periodic one is due again after its time, another one is gone. */
void jobs_add_done(struct db_tx *tx, int64_t id, int64_t claim);
/* Failed: again after min(60 s, 1 s * 2^failures). */
void jobs_add_failed(struct db_tx *tx, int64_t id, int64_t claim, const char *error);
