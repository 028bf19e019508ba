/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conn - one connection to PostgreSQL as a state machine on the loop. Owned by struct db or by the migration runner.
 * No callback runs after conn_close(). A callback may close the connection.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

struct conn;
struct db_conf;
struct db_tx;
struct loop;

enum conn_event {
    CONN_READY, /* connected and prepared: conn_run() may be called */
    CONN_DONE,  /* the transaction or script is finished; `tx` tells, errors included */
    CONN_LOST,  /* connecting failed or the connection broke; text: conn_error(). The last event */
};
typedef void conn_fn(void *arg, struct conn *c, enum conn_event ev);

/* Begins to connect; connecting and preparing must end within connect_ms. */
struct conn *conn_open(struct loop *l, const struct db_conf *conf, uint32_t connect_ms, conn_fn *fn, void *arg);
void conn_close(struct conn *c); /* NULL is fine */
bool conn_is_idle(const struct conn *c);
const char *conn_error(const struct conn *c); /* one line */

/* Runs the statements of tx as one implicit transaction. CONN_DONE: results or the error are in tx. tx is borrowed. */
void conn_run(struct conn *c, struct db_tx *tx);
/*
 * Runs a text of several statements in one implicit transaction (only without db_conf.prepare). CONN_DONE: conn_script_error() is NULL or
 * says what the server refused, conn_script_value() is the first column of the last row of the last result, or NULL.
 */
void conn_script(struct conn *c, const char *sql);
const char *conn_script_error(const struct conn *c);
int conn_script_rows(const struct conn *c);
const char *conn_script_value(const struct conn *c, int row, int col);
