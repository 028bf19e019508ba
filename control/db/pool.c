/* SPDX-License-Identifier: Apache-2.0 */
/* pool - connections and the line of waiting transactions. See pool.h. */
#include "control/db/pool.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/metrics/metrics.h"
#include "control/db/conn.h"
#include "control/db/tx_internal.h"

enum {
    DB_CONNS_LIMIT = 64,
    DB_CONNECT_MS = 5000,
    DB_BACKOFF_MIN_MS = 100,
    DB_BACKOFF_MAX_MS = 3000,
    DB_RETRIES = 3
};

struct db_slot {
    struct dbconn *conn; /* owned */
    struct db_tx *tx;    /* running there; owned */
    bool ready;          /* it has worked once */
};

struct db {
    struct loop *loop;
    struct db_conf conf; /* strings owned */
    struct db_slot slots[DB_CONNS_LIMIT];
    struct list waiting;
    unsigned waiting_count;
    unsigned connecting, ready;
    struct timer *retry; /* of connecting after a failure */
    uint32_t backoff_ms; /* 0: the last attempt worked */
    struct defer serve;
    bool logged_down;
    char last_error[400];
};

static struct metric db_transactions = {.name = "bivouac_control_db_transactions_total",
                                        .help = "Transactions that PostgreSQL answered.",
                                        .kind = METRIC_COUNTER};
static struct metric db_failures = {.name = "bivouac_control_db_failures_total",
                                    .help = "Transactions without an answer in time.",
                                    .kind = METRIC_COUNTER};
static struct metric db_connections = {.name = "bivouac_control_db_connections",
                                       .help = "Working connections to PostgreSQL.",
                                       .kind = METRIC_GAUGE};
static struct metric db_waiting = {.name = "bivouac_control_db_waiting",
                                   .help = "Transactions in line for a connection.",
                                   .kind = METRIC_GAUGE};

static void db_serve(void *arg);
static void db_on_conn(void *arg, struct dbconn *c, enum dbconn_event ev);

static void db_register_metrics(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    metrics_register(&db_transactions);
    metrics_register(&db_failures);
    metrics_register(&db_connections);
    metrics_register(&db_waiting);
}

static void db_serve_soon(struct db *db)
{
    loop_defer(db->loop, &db->serve, db_serve, db);
}

/* ---- connections ---- */
static void db_connect_one(struct db *db)
{
    for (unsigned i = 0; i < db->conf.conns_max; i++) {
        struct db_slot *s = &db->slots[i];

        if (!s->conn) {
            *s = (struct db_slot){
                .conn = dbconn_open(db->loop, &db->conf, DB_CONNECT_MS, db_on_conn, db)};
            db->connecting++;
            return;
        }
    }
}

static void db_on_retry(void *arg)
{
    db_serve(arg);
}

static struct db_slot *db_slot_of(struct db *db, const struct dbconn *c)
{
    for (unsigned i = 0; i < db->conf.conns_max; i++) {
        if (db->slots[i].conn == c)
            return &db->slots[i];
    }
    assert(!"a connection belongs to a slot");
    return NULL;
}

/* Once for each reason, not for each attempt. */
static void db_note_down(struct db *db, const char *text)
{
    bool news = !db->logged_down || !str_eq(db->last_error, text);

    (void)str_copy(db->last_error, sizeof(db->last_error), text);
    if (db->ready || !news)
        return;
    db->logged_down = true;
    log_error(NULL, "postgresql is away; trying again by itself", "reason", text, "host",
              db->conf.host, "database", db->conf.name);
}

/* After an attempt that failed no other one is made before the timer runs out. */
static void db_back_off(struct db *db)
{
    db->backoff_ms = db->backoff_ms ? db->backoff_ms * 2 : DB_BACKOFF_MIN_MS;
    if (db->backoff_ms > DB_BACKOFF_MAX_MS)
        db->backoff_ms = DB_BACKOFF_MAX_MS;
    if (!timer_pending(db->retry))
        timer_set(db->retry, db->backoff_ms);
}

/* ---- the end of a transaction ---- */
static void db_finish(struct db_tx *tx, int r)
{
    db_done_fn *done = tx->done;

    tx->state = TX_DONE;
    timer_cancel(tx->deadline);
    metric_add(r == DB_OK || r == DB_E_REFUSED ? &db_transactions : &db_failures, 1);
    op_finish(&tx->op);
    if (done)
        done(tx->arg, r, tx);
    if (!tx->keep)
        tx_destroy(tx);
}

static void db_unlink(struct db *db, struct db_tx *tx)
{
    list_del(&tx->node);
    db->waiting_count--;
    metric_set(&db_waiting, db->waiting_count);
}

static void db_slot_lost(struct db *db, struct db_slot *s, const char *text)
{
    struct db_tx *tx = take_ptr(&s->tx);
    bool worked = s->ready;

    if (worked)
        db->ready--;
    else
        db->connecting--;
    s->ready = false;
    metric_set(&db_connections, db->ready);
    db_note_down(db, text);
    dbconn_close(take_ptr(&s->conn));
    if (!worked)
        db_back_off(db);
    if (tx) {
        tx->conn = NULL;
        tx_clear_results(tx);
        db_finish(tx, DB_E_AWAY);
    }
    db_serve_soon(db);
}

static bool db_may_retry(const struct db_tx *tx)
{
    return (str_eq(tx->sqlstate, "40P01") || str_eq(tx->sqlstate, "40001")) &&
           tx->retries < DB_RETRIES;
}

static void db_slot_done(struct db *db, struct db_slot *s)
{
    struct db_tx *tx = take_ptr(&s->tx);

    tx->conn = NULL;
    db_serve_soon(db);
    if (!tx->sqlstate[0]) {
        db_finish(tx, DB_OK);
        return;
    }
    tx_clear_results(tx);
    if (!db_may_retry(tx)) {
        db_finish(tx, str_eq(tx->sqlstate, "57014") ? DB_E_TIMEOUT
                                                    : DB_E_REFUSED); /* 57014: statement_timeout */
        return;
    }
    tx->retries++;
    tx->sqlstate[0] = '\0';
    tx->state = TX_WAITING;
    list_prepend(&db->waiting, &tx->node);
    db->waiting_count++;
}

static void db_on_conn(void *arg, struct dbconn *c, enum dbconn_event ev)
{
    struct db *db = arg;
    struct db_slot *s = db_slot_of(db, c);

    switch (ev) {
    case CONN_READY:
        s->ready = true;
        db->connecting--;
        db->ready++;
        db->backoff_ms = 0;
        metric_set(&db_connections, db->ready);
        if (db->logged_down)
            log_info(NULL, "postgresql is back");
        db->logged_down = false;
        db->last_error[0] = '\0';
        db_serve_soon(db);
        return;
    case CONN_DONE:
        db_slot_done(db, s);
        return;
    case CONN_LOST:
        db_slot_lost(db, s, dbconn_error(c));
        return;
    }
}

/* ---- the line ---- */
static void db_set_deadline(struct db_tx *tx, uint32_t ms)
{
    uint64_t now = loop_now_ms(tx->db->loop);

    if (tx->end_ms) {
        uint64_t left = tx->end_ms > now ? tx->end_ms - now : 0;

        if (left < ms || tx->state == TX_RUNNING)
            ms = (uint32_t)left;
    }
    timer_set(tx->deadline, ms);
}

static void db_serve(void *arg)
{
    struct db *db = arg;

    for (unsigned i = 0; i < db->conf.conns_max && !list_empty(&db->waiting); i++) {
        struct db_slot *s = &db->slots[i];

        if (!s->conn || s->tx || !dbconn_is_idle(s->conn))
            continue;
        struct db_tx *tx = LIST_ENTRY(db->waiting.next, struct db_tx, node);

        db_unlink(db, tx);
        tx->state = TX_RUNNING;
        tx->conn = s->conn;
        s->tx = tx;
        db_set_deadline(tx, db->conf.statement_ms);
        dbconn_run(s->conn, tx); /* may lose the connection, then s is empty again */
    }
    /* While the server is away one attempt at a time, else one for each that waits. */
    unsigned wanted = db->ready ? db->waiting_count : 1;

    while (!timer_pending(db->retry) && db->connecting < wanted &&
           db->ready + db->connecting < db->conf.conns_max)
        db_connect_one(db);
}

static void db_on_deadline(void *arg)
{
    struct db_tx *tx = arg;
    struct db *db = tx->db;

    if (tx->state == TX_WAITING) {
        db_unlink(db, tx);
        db_finish(tx, DB_E_AWAY);
        return;
    }
    assert(tx->state == TX_RUNNING);
    struct db_slot *s = db_slot_of(db, tx->conn);

    /* The server may still work on it: the connection is of no use any more. Its own
     * statement_timeout ends the work. */
    s->tx = NULL;
    tx->conn = NULL;
    db_slot_lost(db, s, "a transaction ran into its deadline");
    tx_clear_results(tx);
    db_finish(tx, DB_E_TIMEOUT);
}

static void db_on_full(void *arg)
{
    db_finish(arg, DB_E_AWAY);
}

static void tx_on_cancel(struct op *o)
{
    struct db_tx *tx = CONTAINER_OF(o, struct db_tx, op);

    tx->done = NULL;
    if (tx->state != TX_WAITING)
        return; /* it runs to its end without an answer */
    if (list_linked(&tx->node))
        db_unlink(tx->db, tx);
    tx->state = TX_DONE;
    tx_destroy(tx);
}

void db_run(struct db *db, struct db_tx *tx, uint32_t deadline_ms, struct op **slot,
            db_done_fn *done, void *arg)
{
    assert(tx->state == TX_BUILDING && tx->stmts_count);
    tx->db = db;
    tx->done = done;
    tx->arg = arg;
    tx->state = TX_WAITING;
    op_begin(&tx->op, slot, tx_on_cancel);
    if (db->waiting_count >= db->conf.queue_max) {
        loop_defer(db->loop, &tx->refused, db_on_full, tx);
        return;
    }
    tx->end_ms = deadline_ms ? loop_now_ms(db->loop) + deadline_ms : 0;
    tx->deadline = timer_new(db->loop, db_on_deadline, tx);
    db_set_deadline(tx, db->conf.wait_ms);
    list_append(&db->waiting, &tx->node);
    db->waiting_count++;
    metric_set(&db_waiting, db->waiting_count);
    db_serve_soon(db);
}

/* ---- waiting for one, for command lines ---- */
struct db_wait {
    bool done;
    int r;
    struct db_tx *tx;
};

static void db_waited(void *arg, int r, const struct db_tx *tx)
{
    struct db_wait *w = arg;

    w->tx = (struct db_tx *)tx; /* taken over */
    w->tx->keep = true;
    w->r = r;
    w->done = true;
}

int db_run_wait(struct db *db, struct db_tx *tx, uint32_t deadline_ms, struct db_tx **out)
{
    struct db_wait w = {0};
    struct op *op = NULL;

    db_run(db, tx, deadline_ms, &op, db_waited, &w);
    while (!w.done) {
        int r = loop_turn(db->loop, 1000);

        if (r < 0) {
            op_cancel(&op);
            return r;
        }
    }
    *out = w.tx;
    return w.r;
}

void tx_release(struct db_tx *tx)
{
    tx_destroy(tx);
}

/* ---- life ---- */
int db_open(struct db **out, struct loop *l, const struct db_conf *conf, struct err *e)
{
    if (conf->conns_max < 1 || conf->conns_max > DB_CONNS_LIMIT)
        return err_set(e, -EINVAL, "db_conns: must be 1..%d", DB_CONNS_LIMIT);
    struct db *db = xnew(struct db);

    db_register_metrics();
    db->loop = l;
    db->conf = *conf;
    db->conf.host = xstrdup(conf->host);
    db->conf.name = xstrdup(conf->name);
    db->conf.user = xstrdup(conf->user);
    db->conf.sslmode = xstrdup(conf->sslmode);
    db->conf.sslrootcert = conf->sslrootcert ? xstrdup(conf->sslrootcert) : NULL;
    list_init(&db->waiting);
    db->retry = timer_new(l, db_on_retry, db);
    db_connect_one(db);
    *out = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    defer_cancel(&db->serve);
    timer_free(db->retry);
    LIST_FOR_EACH_SAFE(n, tmp, &db->waiting)
    {
        struct db_tx *tx = LIST_ENTRY(n, struct db_tx, node);

        op_finish(&tx->op);
        tx_destroy(tx);
    }
    for (unsigned i = 0; i < db->conf.conns_max; i++) {
        dbconn_close(db->slots[i].conn);
        if (db->slots[i].tx) {
            op_finish(&db->slots[i].tx->op);
            tx_destroy(db->slots[i].tx);
        }
    }
    free((char *)db->conf.host);
    free((char *)db->conf.name);
    free((char *)db->conf.user);
    free((char *)db->conf.sslmode);
    free((char *)db->conf.sslrootcert);
    free(db);
}

void db_stats(const struct db *db, struct db_stats *out)
{
    *out = (struct db_stats){
        .up = db->ready > 0,
        .conns = db->ready,
        .waiting = db->waiting_count,
        .last_error = db->last_error,
    };
    for (unsigned i = 0; i < db->conf.conns_max; i++)
        out->idle += db->slots[i].ready && !db->slots[i].tx;
}
