/* SPDX-License-Identifier: Apache-2.0 */
/* tx - building of a transaction and reading of its results. */
#include "control/db/tx.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "control/db/stmt.h"
#include "control/db/tx_internal.h"

enum { TX_ARENA_MAX = 8 * MIB };

static const struct db_stmt actor_stmt = {
    "tx_actor",
    "SELECT set_config('bivouac.actor', $1, true), set_config('bivouac.request', $2, true)", 2};
static const struct db_stmt *const tx_own_stmts = &actor_stmt;

struct db_tx *tx_new(void)
{
    struct db_tx *tx = xnew(struct db_tx);

    tx->arena = arena_new(TX_ARENA_MAX);
    return tx;
}

void tx_clear_results(struct db_tx *tx)
{
    for (unsigned i = 0; i < tx->stmts_count; i++) {
        PQclear(tx->stmts[i].result);
        tx->stmts[i].result = NULL;
    }
}

void tx_destroy(struct db_tx *tx)
{
    if (!tx)
        return;
    tx_clear_results(tx);
    defer_cancel(&tx->refused);
    timer_free(tx->deadline);
    arena_free(tx->arena);
    free(tx);
}

void tx_free(struct db_tx *tx)
{
    assert(!tx || tx->state == TX_BUILDING);
    tx_destroy(tx);
}

static void tx_stmt_complete(const struct db_tx *tx)
{
    if (tx->stmts_count) {
        const struct tx_stmt *s = &tx->stmts[tx->stmts_count - 1];

        assert(s->params == s->stmt->params);
        (void)s;
    }
}

void tx_add(struct db_tx *tx, const struct db_stmt *s)
{
    assert(tx->state == TX_BUILDING && tx->stmts_count < TX_STMTS_MAX);
    tx_stmt_complete(tx);
    tx->stmts[tx->stmts_count++] = (struct tx_stmt){.stmt = s, .first_param = tx->params_count};
}

static void tx_param(struct db_tx *tx, const char *v, size_t len, int format)
{
    assert(tx->stmts_count && tx->params_count < TX_PARAMS_MAX);
    struct tx_stmt *s = &tx->stmts[tx->stmts_count - 1];

    assert(s->params < s->stmt->params);
    tx->values[tx->params_count] = v;
    tx->lengths[tx->params_count] = (int)len;
    tx->formats[tx->params_count] = format;
    tx->params_count++;
    s->params++;
}

/* The callers bound what they pass; beyond TX_ARENA_MAX is our own bug. */
static char *tx_copy(struct db_tx *tx, const void *p, size_t len)
{
    char *copy = arena_strndup(tx->arena, p, len);

    assert(copy);
    return copy;
}

void tx_text(struct db_tx *tx, const char *v)
{
    size_t len = v ? strlen(v) : 0;

    tx_param(tx, v ? tx_copy(tx, v, len) : NULL, len, 0);
}

void tx_i64(struct db_tx *tx, int64_t v)
{
    char *text = arena_printf(tx->arena, "%lld", (long long)v);

    assert(text);
    tx_param(tx, text, strlen(text), 0);
}

void tx_bool(struct db_tx *tx, bool v)
{
    tx_param(tx, v ? "t" : "f", 1, 0);
}

void tx_null(struct db_tx *tx)
{
    tx_param(tx, NULL, 0, 0);
}

void tx_bytes(struct db_tx *tx, const void *p, size_t len)
{
    tx_param(tx, p ? tx_copy(tx, p, len) : NULL, len, 1);
}

static void tx_array(struct db_tx *tx, struct buf *b, int r)
{
    assert(r == 0);
    const char *text = buf_cstr(b);

    assert(text);
    tx_param(tx, tx_copy(tx, text, b->len), b->len, 0);
    buf_deinit(b);
}

void tx_i64s(struct db_tx *tx, const int64_t *v, size_t count)
{
    struct buf b = BUF_INIT(TX_ARENA_MAX);
    int r = buf_append_str(&b, "{");

    for (size_t i = 0; i < count && !r; i++)
        r = buf_printf(&b, "%s%lld", i ? "," : "", (long long)v[i]);
    if (!r)
        r = buf_append_str(&b, "}");
    tx_array(tx, &b, r);
}

/* Elements are quoted; '"' and '\' get a backslash: the syntax of array literals. */
void tx_texts(struct db_tx *tx, const char *const *v, size_t count)
{
    struct buf b = BUF_INIT(TX_ARENA_MAX);
    int r = buf_append_str(&b, "{");

    for (size_t i = 0; i < count && !r; i++) {
        r = buf_append_str(&b, i ? ",\"" : "\"");
        for (const char *p = v[i]; *p && !r; p++) {
            if (*p == '"' || *p == '\\')
                r = buf_append(&b, "\\", 1);
            if (!r)
                r = buf_append(&b, p, 1);
        }
        if (!r)
            r = buf_append(&b, "\"", 1);
    }
    if (!r)
        r = buf_append_str(&b, "}");
    tx_array(tx, &b, r);
}

void tx_actor(struct db_tx *tx, const char *actor, const char *request_id)
{
    assert(tx->stmts_count == 0);
    tx_add(tx, tx_own_stmts);
    tx_text(tx, actor);
    tx_text(tx, request_id ? request_id : "");
    tx->has_actor = true;
}

/* ---- results ---- */
static const PGresult *tx_result(const struct db_tx *tx, unsigned stmt)
{
    stmt += tx->has_actor;
    assert(stmt < tx->stmts_count && tx->stmts[stmt].result);
    return tx->stmts[stmt].result;
}

int tx_rows(const struct db_tx *tx, unsigned stmt)
{
    return PQntuples(tx_result(tx, stmt));
}

uint64_t tx_affected(const struct db_tx *tx, unsigned stmt)
{
    uint64_t n = 0;

    /* "" for statements that change nothing */
    if (str_to_u64(PQcmdTuples((PGresult *)tx_result(tx, stmt)), &n) < 0)
        n = 0;
    return n;
}

bool tx_col_null(const struct db_tx *tx, unsigned stmt, int row, int col)
{
    const PGresult *res = tx_result(tx, stmt);

    assert(row < PQntuples(res) && col < PQnfields(res));
    return PQgetisnull(res, row, col);
}

const char *tx_col(const struct db_tx *tx, unsigned stmt, int row, int col)
{
    return tx_col_null(tx, stmt, row, col) ? NULL : PQgetvalue(tx_result(tx, stmt), row, col);
}

int64_t tx_col_i64(const struct db_tx *tx, unsigned stmt, int row, int col)
{
    const char *text = tx_col(tx, stmt, row, col);
    int64_t v = 0;

    if (text && str_to_i64(text, &v) < 0)
        assert(!"a column that is read as a number holds one");
    return v;
}

bool tx_col_bool(const struct db_tx *tx, unsigned stmt, int row, int col)
{
    return str_eq(tx_col(tx, stmt, row, col), "t");
}

char *tx_col_dup(const struct db_tx *tx, unsigned stmt, int row, int col, struct arena *a)
{
    const char *text = tx_col(tx, stmt, row, col);

    return text ? arena_strdup(a, text) : NULL;
}

int tx_col_bytes(const struct db_tx *tx, unsigned stmt, int row, int col, struct arena *a,
                 uint8_t **out, size_t *len)
{
    const char *text = tx_col(tx, stmt, row, col); /* "\x0123.." */

    if (!text)
        return -ENOENT;
    if (!str_starts(text, "\\x"))
        return -EINVAL;
    size_t hex = strlen(text + 2);
    uint8_t *p = arena_alloc(a, hex / 2 + 1);

    if (!p)
        return -ENOMEM;
    ssize_t n = hex_decode(text + 2, hex, p);

    if (n < 0)
        return (int)n;
    *out = p;
    *len = (size_t)n;
    return 0;
}

/* ---- refusals ---- */
void tx_set_error(struct db_tx *tx, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    (void)str_copy(tx->sqlstate, sizeof(tx->sqlstate), state ? state : "XX000");
    (void)str_copy(tx->constraint, sizeof(tx->constraint), constraint ? constraint : "");
    strncpy(tx->message, message ? message : "no message", sizeof(tx->message) - 1);
}

const char *tx_sqlstate(const struct db_tx *tx)
{
    return tx->sqlstate;
}

const char *tx_constraint(const struct db_tx *tx)
{
    return tx->constraint;
}

const char *tx_message(const struct db_tx *tx)
{
    return tx->message;
}
