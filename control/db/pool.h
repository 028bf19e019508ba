/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pool - PostgreSQL: a bounded pool of connections, a bounded line of waiting transactions. Nothing
 * blocks; no connection is held between transactions. Connections are opened on demand and again,
 * with back-off, when they are lost. While the server is away transactions wait for at most
 * wait_ms, then end with DB_E_AWAY. Loop thread only.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

struct db;
struct db_tx;
struct err;
struct loop;
struct op;
struct secret;

enum {
    DB_OK,
    DB_E_AWAY, /* no connection in time, line full, or the connection was lost: a change may or may
                  not have happened */
    DB_E_TIMEOUT, /* deadline passed: as above */
    DB_E_REFUSED, /* the server refused a statement: nothing happened; tx_sqlstate() */
};

/* SQLSTATEs that the schema raises and callers look for. */
#define DB_STATE_QUOTA "BV001"
#define DB_STATE_HOST_FULL "BV002"
#define DB_STATE_ILLEGAL_MOVE "BV003"
#define DB_STATE_UNIQUE "23505"

struct db_conf {
    const char *host; /* IP address, or folder of the unix socket: never a name (db_url_parse() sees
                         to it) */
    int64_t port;
    const char *name, *user;
    const struct secret *password; /* NULL: none; borrowed */
    const char *sslmode;           /* as libpq; "prefer" */
    const char *sslrootcert;       /* NULL: none */
    unsigned conns_max;
    unsigned queue_max;
    uint32_t wait_ms;       /* in line for a connection */
    uint32_t statement_ms;  /* a transaction's time once it runs, when db_run() gets 0 */
    bool prepare;           /* all statements; false for the migration runner */
    int64_t schema_version; /* with prepare: the database must have had this migration */
};

/* Begins to connect. Strings are copied. */
int db_open(struct db **out, struct loop *l, const struct db_conf *conf, struct err *e) must_check;
void db_close(struct db *db); /* waiting transactions end without their callback; NULL is fine */

/* r: DB_*. The transaction is borrowed during the callback. */
typedef void db_done_fn(void *arg, int r, const struct db_tx *tx);
/*
 * Takes tx. The answer comes from the loop, exactly once, unless op_cancel(slot): then a waiting
 * transaction never runs, a running one is finished without an answer. deadline_ms: from now,
 * waiting included; 0 = wait_ms and then statement_ms. A deadlock is tried again.
 */
void db_run(struct db *db, struct db_tx *tx, uint32_t deadline_ms, struct op **slot,
            db_done_fn *done, void *arg);

struct db_stats {
    bool up; /* a connection works */
    unsigned conns, idle, waiting;
    const char *last_error; /* why not, or "" */
};
void db_stats(const struct db *db, struct db_stats *out);
/* For command lines: turns the loop until the transaction is done; the caller frees it with
 * tx_release() of tx.h. DB_*. */
int db_run_wait(struct db *db, struct db_tx *tx, uint32_t deadline_ms,
                struct db_tx **out) must_check;
