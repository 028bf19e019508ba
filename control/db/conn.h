/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conn - one connection to PostgreSQL as a state machine on the loop. Owned by struct db or by the
 * migration runner. No callback runs after dbconn_close(). A callback may close the connection.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

struct dbconn;
struct db_conf;
struct db_tx;
struct loop;

enum dbconn_event {
    CONN_READY, /* connected and prepared: dbconn_run() may be called */
    CONN_DONE,  /* the transaction or script is finished; `tx` tells, errors included */
    CONN_LOST, /* connecting failed or the connection broke; text: dbconn_error(). The last event */
};
typedef void dbconn_fn(void *arg, struct dbconn *c, enum dbconn_event ev);

/* Begins to connect; connecting and preparing must end within connect_ms. */
struct dbconn *dbconn_open(struct loop *l, const struct db_conf *conf, uint32_t connect_ms,
                           dbconn_fn *fn, void *arg);
void dbconn_close(struct dbconn *c); /* NULL is fine */
bool dbconn_is_idle(const struct dbconn *c);
const char *dbconn_error(const struct dbconn *c); /* one line */

/* Runs the statements of tx as one implicit transaction. CONN_DONE: results or the error are in tx.
 * tx is borrowed. */
void dbconn_run(struct dbconn *c, struct db_tx *tx);
/*
 * Runs a text of several statements in one implicit transaction (only without db_conf.prepare).
 * CONN_DONE: dbconn_script_error() is NULL or says what the server refused, dbconn_script_value()
 * is the first column of the last row of the last result, or NULL.
 */
void dbconn_script(struct dbconn *c, const char *sql);
const char *dbconn_script_error(const struct dbconn *c);
int dbconn_script_rows(const struct dbconn *c);
const char *dbconn_script_value(const struct dbconn *c, int row, int col);
