/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* host_tokens - what a host shows besides its certificate. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/db/stmt.h"

struct arena;
struct db_tx;

extern const struct db_stmts db_host_tokens_stmts;

struct host_token_row {
    uint8_t secret_hash[32];
    const char *host_name; /* arena */
    bool dead;             /* revoked or expired */
};

/* Marks its use as well (once a minute). */
void host_tokens_add_lookup(struct db_tx *tx, const char *id);
int host_tokens_decode(const struct db_tx *tx, unsigned stmt, struct arena *a,
                       struct host_token_row *out) must_check; /* -ENOENT */
void host_tokens_add_create(struct db_tx *tx, const char *id, const uint8_t hash[32],
                            const char *host_name, int64_t expires_us /* 0: never */);
/* Rows: id, host, created_us, expires_us, last_used_us, revoked_us. */
void host_tokens_add_list(struct db_tx *tx);
void host_tokens_add_revoke(struct db_tx *tx, const char *id); /* one row, or none: unknown */
