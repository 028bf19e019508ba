/* SPDX-License-Identifier: Apache-2.0 */
/* conn - one PostgreSQL connection. See conn.h. */
#include "control/db/conn.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libpq-fe.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "control/db/pool.h"
#include "control/db/stmt.h"
#include "control/db/tx_internal.h"

enum dbconn_state {
    CONN_CONNECTING, /* PQconnectPoll() decides */
    CONN_PREPARING,  /* all statements were sent, answers come */
    CONN_IDLE,
    CONN_BUSY,   /* a transaction runs in the pipeline */
    CONN_SCRIPT, /* a script runs outside of a pipeline */
    CONN_DEAD,   /* lost or closed: nothing runs any more */
};

struct dbconn {
    struct loop *loop;
    enum dbconn_state state;
    PGconn *pg;             /* owned */
    struct io *io;          /* owned; registered for the socket that libpq has now */
    struct timer *deadline; /* of connecting and preparing */
    dbconn_fn *fn;
    void *arg;
    struct defer first; /* the first step of connecting */
    bool prepare, closed;
    struct db_tx *tx; /* CONN_BUSY; borrowed */
    int64_t schema_version;
    size_t results;          /* answers seen since the last sync point */
    bool refused;            /* one of them was an error */
    PGresult *script_result; /* last one that has no error; owned */
    bool script_failed;
    char error[400];
};

static void dbconn_on_io(void *arg, unsigned events);

/* libpq's messages end in a line feed and may have several lines. */
static void dbconn_set_error(struct dbconn *c, const char *prefix, const char *text)
{
    size_t n = (size_t)snprintf(c->error, sizeof(c->error), "%s%s", prefix, text ? text : "");

    if (n >= sizeof(c->error))
        n = sizeof(c->error) - 1;
    while (n && (c->error[n - 1] == '\n' || c->error[n - 1] == ' '))
        c->error[--n] = '\0';
    for (char *p = c->error; *p; p++) {
        if (*p == '\n' || *p == '\t')
            *p = ' ';
    }
}

static void dbconn_on_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug(NULL, "postgresql notice", "message", message);
}

static void dbconn_emit(struct dbconn *c, enum dbconn_event ev)
{
    if (!c->closed)
        c->fn(c->arg, c, ev);
}

static void dbconn_drop_socket(struct dbconn *c)
{
    io_close(c->io);
    c->io = NULL;
    PQfinish(c->pg);
    c->pg = NULL;
}

static void dbconn_lost(struct dbconn *c)
{
    if (c->state == CONN_DEAD)
        return;
    if (!c->error[0])
        dbconn_set_error(c, "", c->pg ? PQerrorMessage(c->pg) : "");
    if (!c->error[0])
        dbconn_set_error(c, "", "connection closed by the server");
    c->state = CONN_DEAD;
    timer_cancel(c->deadline);
    dbconn_drop_socket(c);
    dbconn_emit(c, CONN_LOST);
}

static void dbconn_on_deadline(void *arg)
{
    struct dbconn *c = arg;

    dbconn_set_error(c, "", "no answer while connecting");
    dbconn_lost(c);
}

static void dbconn_free(void *object)
{
    struct dbconn *c = object;

    timer_free(c->deadline);
    free(c);
}

void dbconn_close(struct dbconn *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    c->state = CONN_DEAD;
    timer_cancel(c->deadline);
    defer_cancel(&c->first);
    PQclear(c->script_result);
    c->script_result = NULL;
    dbconn_drop_socket(c);
    loop_reap(c->loop, c, dbconn_free);
}

bool dbconn_is_idle(const struct dbconn *c)
{
    return c->state == CONN_IDLE;
}

const char *dbconn_error(const struct dbconn *c)
{
    return c->error;
}

/* ---- opening ---- */
static PGconn *dbconn_start(const struct db_conf *conf)
{
    char port[16], options[200];
    bool unix_socket = conf->host[0] == '/';
    const char *keys[24], *values[24];
    size_t n = 0;

    snprintf(port, sizeof(port), "%lld", (long long)conf->port);
    snprintf(options, sizeof(options),
             "-c TimeZone=UTC -c DateStyle=ISO -c client_min_messages=warning -c "
             "standard_conforming_strings=on "
             "-c statement_timeout=%u -c idle_in_transaction_session_timeout=60000",
             conf->prepare ? conf->statement_ms : 0);
    const char *pairs[][2] = {
        {unix_socket ? "host" : "hostaddr", conf->host},
        {"port", port},
        {"dbname", conf->name},
        {"user", conf->user},
        {"password", conf->password ? (const char *)conf->password->bytes : NULL},
        {"passfile", "/nonexistent"},
        {"sslmode", unix_socket ? "disable" : conf->sslmode},
        {"sslrootcert", conf->sslrootcert},
        {"gssencmode", "disable"},
        {"client_encoding", "UTF8"},
        {"application_name", "bivouac-control"},
        {"options", options},
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "20000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (pairs[i][1]) {
            keys[n] = pairs[i][0];
            values[n++] = pairs[i][1];
        }
    }
    keys[n] = values[n] = NULL;
    return PQconnectStartParams(keys, values, 0);
}

/* libpq may close the socket and open another one with the same number: register anew for every
 * step of connecting. */
static void dbconn_watch(struct dbconn *c, unsigned events)
{
    int r;

    if (!c->io) {
        r = io_open(&c->io, c->loop, PQsocket(c->pg), dbconn_on_io, c);
        if (r < 0) {
            dbconn_set_error(c, "cannot watch the socket: ", strerror(-r));
            dbconn_lost(c);
            return;
        }
    }
    io_want(c->io, events);
}

static void dbconn_begin_prepare(struct dbconn *c);

static void dbconn_connect_step(struct dbconn *c, PostgresPollingStatusType poll)
{
    switch (poll) {
    case PGRES_POLLING_READING:
        dbconn_watch(c, IO_READ);
        return;
    case PGRES_POLLING_WRITING:
        dbconn_watch(c, IO_WRITE);
        return;
    case PGRES_POLLING_OK:
        break;
    default:
        dbconn_lost(c);
        return;
    }
    PQsetNoticeProcessor(c->pg, dbconn_on_notice, NULL);
    if (PQsetnonblocking(c->pg, 1) < 0) {
        dbconn_lost(c);
        return;
    }
    if (c->prepare) {
        dbconn_begin_prepare(c);
        return;
    }
    c->state = CONN_IDLE;
    timer_cancel(c->deadline);
    dbconn_watch(c, IO_READ);
    dbconn_emit(c, CONN_READY);
}

static void dbconn_first_step(void *arg)
{
    struct dbconn *c = arg;

    if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
        dbconn_lost(c);
        return;
    }
    dbconn_connect_step(c, PGRES_POLLING_WRITING);
}

struct dbconn *dbconn_open(struct loop *l, const struct db_conf *conf, uint32_t connect_ms,
                           dbconn_fn *fn, void *arg)
{
    struct dbconn *c = xnew(struct dbconn);

    c->loop = l;
    c->fn = fn;
    c->arg = arg;
    c->prepare = conf->prepare;
    c->schema_version = conf->schema_version;
    c->deadline = timer_new(l, dbconn_on_deadline, c);
    timer_set(c->deadline, connect_ms);
    c->pg = dbconn_start(conf);
    loop_defer(l, &c->first, dbconn_first_step,
               c); /* nothing calls back from within dbconn_open() */
    return c;
}

/* ---- writing ---- */
/* false: the connection is lost */
static bool dbconn_flush(struct dbconn *c)
{
    int r = PQflush(c->pg);

    if (r < 0) {
        dbconn_lost(c);
        return false;
    }
    dbconn_watch(c, r > 0 ? IO_READ | IO_WRITE : IO_READ);
    return c->state != CONN_DEAD;
}

static const char dbconn_schema_query[] = "SELECT coalesce(max(version), 0) FROM schema_migrations";

static void dbconn_begin_prepare(struct dbconn *c)
{
    bool ok = PQenterPipelineMode(c->pg) == 1 &&
              PQsendQueryParams(c->pg, dbconn_schema_query, 0, NULL, NULL, NULL, NULL, 0) == 1;

    for (size_t i = 0; ok && i < db_stmt_count(); i++) {
        const struct db_stmt *s = db_stmt_at(i);

        ok = PQsendPrepare(c->pg, s->name, s->text, 0, NULL) == 1;
    }
    if (!ok || PQpipelineSync(c->pg) != 1) {
        dbconn_lost(c);
        return;
    }
    c->state = CONN_PREPARING;
    c->results = 0;
    c->refused = false;
    (void)dbconn_flush(c); /* a failure has been reported as CONN_LOST */
}

static bool dbconn_send(struct dbconn *c, const struct db_tx *tx)
{
    for (unsigned i = 0; i < tx->stmts_count; i++) {
        const struct tx_stmt *s = &tx->stmts[i];
        const char *const *values = tx->values + s->first_param;
        const int *lengths = tx->lengths + s->first_param, *formats = tx->formats + s->first_param;
        bool own = i == 0 && tx->has_actor; /* the actor's statement stands in no table */
        int ok = own ? PQsendQueryParams(c->pg, s->stmt->text, (int)s->params, NULL, values,
                                         lengths, formats, 0)
                     : PQsendQueryPrepared(c->pg, s->stmt->name, (int)s->params, values, lengths,
                                           formats, 0);

        if (!ok)
            return false;
    }
    return PQpipelineSync(c->pg) == 1;
}

void dbconn_run(struct dbconn *c, struct db_tx *tx)
{
    assert(c->state == CONN_IDLE && c->prepare && tx->stmts_count);
    c->state = CONN_BUSY;
    c->tx = tx;
    c->results = 0;
    c->refused = false;
    if (!dbconn_send(c, tx)) {
        dbconn_lost(c);
        return;
    }
    (void)dbconn_flush(c); /* as above */
}

void dbconn_script(struct dbconn *c, const char *sql)
{
    assert(c->state == CONN_IDLE && !c->prepare);
    PQclear(c->script_result);
    c->script_result = NULL;
    c->script_failed = false;
    c->error[0] = '\0';
    c->state = CONN_SCRIPT;
    if (!PQsendQuery(c->pg, sql)) {
        dbconn_lost(c);
        return;
    }
    (void)dbconn_flush(c); /* as above */
}

const char *dbconn_script_error(const struct dbconn *c)
{
    return c->script_failed ? c->error : NULL;
}

int dbconn_script_rows(const struct dbconn *c)
{
    return c->script_result ? PQntuples(c->script_result) : 0;
}

const char *dbconn_script_value(const struct dbconn *c, int row, int col)
{
    if (row >= dbconn_script_rows(c) || col >= PQnfields(c->script_result) ||
        PQgetisnull(c->script_result, row, col))
        return NULL;
    return PQgetvalue(c->script_result, row, col);
}

/* ---- reading ---- */
/* Shutdown, crash of another backend, "too many connections": the server goes, the statement is not
 * to blame. */
static bool dbconn_result_is_loss(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return !state || str_starts(state, "08") || str_starts(state, "57P") || str_eq(state, "25P03");
}

/* The first answer is the schema's version, then one for each statement. */
static void dbconn_prepared_result(struct dbconn *c, PGresult *res)
{
    const struct db_stmt *s = c->results ? db_stmt_at(c->results - 1) : NULL;
    int64_t version = 0;

    if (PQresultStatus(res) == PGRES_FATAL_ERROR && !c->refused) {
        char prefix[128];

        c->refused = true;
        snprintf(prefix, sizeof(prefix),
                 "%s%s%s; run 'bivouac-control migrate': ", s ? "statement " : "", s ? s->name : "",
                 s ? " does not fit the database's schema" : "the database has no schema yet");
        dbconn_set_error(c, prefix, PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
    } else if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 &&
               (str_to_i64(PQgetvalue(res, 0, 0), &version) < 0 || version < c->schema_version)) {
        c->refused = true;
        snprintf(c->error, sizeof(c->error),
                 "the database's schema is at migration %lld, this program needs %lld; run "
                 "'bivouac-control migrate'",
                 (long long)version, (long long)c->schema_version);
    }
    c->results++;
    PQclear(res);
}

static void dbconn_tx_result(struct dbconn *c, PGresult *res)
{
    struct db_tx *tx = c->tx;
    ExecStatusType status = PQresultStatus(res);

    if (status == PGRES_FATAL_ERROR && !c->refused) {
        c->refused = true;
        tx_set_error(tx, res);
    }
    if ((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) && c->results < tx->stmts_count)
        tx->stmts[c->results].result = res;
    else
        PQclear(res);
    c->results++;
}

static void dbconn_script_take(struct dbconn *c, PGresult *res)
{
    if (PQresultStatus(res) == PGRES_FATAL_ERROR) {
        c->script_failed = true;
        dbconn_set_error(c, "", PQresultErrorMessage(res));
        PQclear(res);
        return;
    }
    PQclear(c->script_result);
    c->script_result = res;
}

/* The sync point, or the end of a script. */
static void dbconn_finished(struct dbconn *c)
{
    bool preparing = c->state == CONN_PREPARING;

    if (preparing && c->refused) {
        dbconn_lost(c);
        return;
    }
    c->state = CONN_IDLE;
    c->tx = NULL;
    if (preparing) {
        timer_cancel(c->deadline);
        dbconn_emit(c, CONN_READY);
        return;
    }
    dbconn_emit(c, CONN_DONE);
}

/* One result; false: nothing more for now. */
static bool dbconn_take(struct dbconn *c, PGresult *res)
{
    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        dbconn_finished(c);
        return c->state != CONN_DEAD && c->state != CONN_IDLE;
    }
    if (PQresultStatus(res) == PGRES_FATAL_ERROR && dbconn_result_is_loss(res)) {
        dbconn_set_error(c, "", PQresultErrorMessage(res));
        PQclear(res);
        dbconn_lost(c);
        return false;
    }
    if (c->state == CONN_PREPARING)
        dbconn_prepared_result(c, res);
    else if (c->state == CONN_BUSY)
        dbconn_tx_result(c, res);
    else if (c->state == CONN_SCRIPT)
        dbconn_script_take(c, res);
    else
        PQclear(res); /* nothing was asked: ignoring */
    return true;
}

static void dbconn_read(struct dbconn *c)
{
    unsigned nulls = 0;

    while (c->state != CONN_IDLE && c->state != CONN_DEAD && !PQisBusy(c->pg)) {
        PGresult *res = PQgetResult(c->pg);

        if (res) {
            nulls = 0;
            if (!dbconn_take(c, res))
                break;
            continue;
        }
        if (c->state == CONN_SCRIPT) {
            dbconn_finished(c);
            break;
        }
        if (++nulls > 1) /* the end of one statement's results is one NULL */
            break;
    }
}

static void dbconn_on_io(void *arg, unsigned events)
{
    struct dbconn *c = arg;

    if (c->state == CONN_CONNECTING) {
        io_close(c->io);
        c->io = NULL;
        dbconn_connect_step(c, PQconnectPoll(c->pg));
        return;
    }
    if ((events & IO_READ) && !PQconsumeInput(c->pg)) {
        /* Answers that came before the end still count. */
        dbconn_read(c);
        if (c->state != CONN_DEAD)
            dbconn_lost(c);
        return;
    }
    if (events & IO_WRITE) {
        if (!dbconn_flush(c))
            return;
    }
    dbconn_read(c);
    if (c->state != CONN_DEAD && PQstatus(c->pg) == CONNECTION_BAD)
        dbconn_lost(c);
}
