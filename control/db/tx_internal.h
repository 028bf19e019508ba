/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* tx_internal - what conn and pool know of a transaction. */
#include <libpq-fe.h>
#include "common/base/list.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "control/db/pool.h"
#include "control/db/tx.h"

enum { TX_STMTS_MAX = 16, TX_PARAMS_MAX = 192 };

enum tx_state {
    TX_BUILDING, /* the caller adds statements */
    TX_WAITING,  /* in line for a connection */
    TX_RUNNING,  /* on a connection */
    TX_DONE,     /* its callback runs or ran */
};

struct tx_stmt {
    const struct db_stmt *stmt;
    unsigned first_param, params;
    PGresult *result; /* owned */
};

struct db_tx {
    struct op op;
    struct list node; /* waiting line */
    struct db *db;    /* borrowed, once it runs */
    struct arena *arena;
    enum tx_state state;
    bool has_actor; /* stmts[0] is the actor's */
    bool keep;      /* the callback took it: not freed after it */
    unsigned stmts_count, params_count;
    struct tx_stmt stmts[TX_STMTS_MAX];
    const char *values[TX_PARAMS_MAX];
    int lengths[TX_PARAMS_MAX];
    int formats[TX_PARAMS_MAX];
    struct timer *deadline; /* owned; first of waiting, then of running */
    uint64_t end_ms;        /* the latest end that the caller allows, loop time; 0: none */
    struct defer refused;   /* the line was full */
    struct dbconn *conn;    /* TX_RUNNING */
    unsigned retries;       /* after a deadlock */
    db_done_fn *done;       /* NULL: cancelled, nobody waits for the result */
    void *arg;
    char sqlstate[6];
    char constraint[64];
    char message[256];
};

void tx_clear_results(struct db_tx *tx);
void tx_set_error(struct db_tx *tx, const PGresult *res);
void tx_destroy(struct db_tx *tx);
