/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tx - one transaction: statements that travel together, in one round trip, and become true
 * together or not at all.
 *
 *     struct db_tx *tx = tx_new();
 *     tx_add(tx, &stmts[ST_GET]); tx_i64(tx, id);
 *     r = db_run(db, tx, 0, &self->op, on_row, self);      // takes tx
 *
 * Parameters are copied. Results are borrowed during the callback of db_run(). What cannot depend
 * on an earlier result within the same trip is said in SQL (a condition, a trigger that raises).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;
struct db_stmt;
struct db_tx;

struct db_tx *tx_new(void);
void tx_free(struct db_tx *tx); /* only before db_run(); NULL is fine */

void tx_release(struct db_tx *tx); /* what db_run_wait() handed out; NULL is fine */

/* The next statement; its parameters follow in order. */
void tx_add(struct db_tx *tx, const struct db_stmt *s);
void tx_text(struct db_tx *tx, const char *v); /* NULL is SQL's null, here and below */
void tx_i64(struct db_tx *tx, int64_t v);
void tx_bool(struct db_tx *tx, bool v);
void tx_bytes(struct db_tx *tx, const void *p, size_t len); /* bytea */
void tx_null(struct db_tx *tx);
void tx_i64s(struct db_tx *tx, const int64_t *v, size_t count);      /* bigint[] */
void tx_texts(struct db_tx *tx, const char *const *v, size_t count); /* text[] */
/* First statement of a transaction that changes something: who and for which request, for the
 * events. */
void tx_actor(struct db_tx *tx, const char *actor, const char *request_id);

/* ---- results, by the statement's place (0 = first tx_add; tx_actor() does not count) ---- */
int tx_rows(const struct db_tx *tx, unsigned stmt);
uint64_t tx_affected(const struct db_tx *tx, unsigned stmt);
const char *tx_col(const struct db_tx *tx, unsigned stmt, int row,
                   int col); /* NULL for SQL's null */
int64_t tx_col_i64(const struct db_tx *tx, unsigned stmt, int row, int col); /* 0 for null */
bool tx_col_bool(const struct db_tx *tx, unsigned stmt, int row, int col);
bool tx_col_null(const struct db_tx *tx, unsigned stmt, int row, int col);
char *tx_col_dup(const struct db_tx *tx, unsigned stmt, int row, int col,
                 struct arena *a) must_check; /* NULL for null */
/* Decodes a bytea into the arena; -ENOENT for null, -EINVAL. */
int tx_col_bytes(const struct db_tx *tx, unsigned stmt, int row, int col, struct arena *a,
                 uint8_t **out, size_t *len) must_check;

/* ---- after DB_E_REFUSED ---- */
const char *tx_sqlstate(const struct db_tx *tx);   /* five characters, "" otherwise */
const char *tx_constraint(const struct db_tx *tx); /* name of the violated constraint, or "" */
const char *tx_message(const struct db_tx *tx);    /* for the log only */
