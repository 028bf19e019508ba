/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* idempotency - one answer for one (team, key). The row is made in the transaction that begins the
 * work. */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_idempotency_stmts;

#define IDEMPOTENCY_UNIQUE "idempotency_keys_pkey"

struct idempotency_row {
    uint8_t request_hash[32];
    int64_t status;            /* 0: still running */
    const uint8_t *answer_box; /* arena */
    size_t answer_len;
};
/* Raises a unique violation of IDEMPOTENCY_UNIQUE when the key was used. */
void idempotency_add_begin(struct db_tx *tx, int64_t team_id, const char *key,
                           const uint8_t hash[32], int64_t keep_s);
/* In the same transaction, after the insert of a sandbox. */
void idempotency_add_bind_new_sandbox(struct db_tx *tx, int64_t team_id, const char *key);
void idempotency_add_finish(struct db_tx *tx, int64_t team_id, const char *key, int64_t status,
                            const void *box, size_t len);
/* If the sandbox has ended (also in this transaction): the key may be used again. Answered ones
 * stay. */
void idempotency_add_drop_of_sandbox(struct db_tx *tx, int64_t sandbox_id);
void idempotency_add_drop_of_token(
    struct db_tx *tx, const char *route_token); /* of the sandbox with this token; as above */
void idempotency_add_get(struct db_tx *tx, int64_t team_id, const char *key);
int idempotency_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                       struct idempotency_row *out) must_check; /* -ENOENT */
void idempotency_add_purge(struct db_tx *tx);                   /* expired ones, at most 1,000 */
