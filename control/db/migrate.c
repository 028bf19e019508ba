/* SPDX-License-Identifier: Apache-2.0 */
/* migrate - see migrate.h. */
#include "control/db/migrate.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "control/db/conn.h"
#include "control/db/pool.h"

enum { MIGRATE_CONNECT_MS = 10000, MIGRATE_SQL_MAX = 16 * MIB };
#define MIGRATE_LOCK "7308895091521749867" /* "bivouack" */

struct migrate {
    struct loop *loop;
    struct dbconn *conn;
    bool event, ready, lost;
};

static void migrate_on_conn(void *arg, struct dbconn *c, enum dbconn_event ev)
{
    struct migrate *m = arg;

    (void)c;
    m->event = true;
    m->ready |= ev == CONN_READY;
    m->lost |= ev == CONN_LOST;
}

static int migrate_wait(struct migrate *m, struct err *e)
{
    m->event = false;
    while (!m->event && !m->lost) {
        int r = loop_turn(m->loop, 1000);

        if (r < 0)
            return err_set(e, r, "event loop: %s", err_text(NULL, r));
    }
    return m->lost ? err_set(e, -EIO, "PostgreSQL: %s", dbconn_error(m->conn)) : 0;
}

/* Runs a script; a refusal of the server is an error with its words. */
static int migrate_sql(struct migrate *m, const char *sql, struct err *e)
{
    dbconn_script(m->conn, sql);
    int r = migrate_wait(m, e);

    if (r == 0 && dbconn_script_error(m->conn))
        r = err_set(e, -EINVAL, "PostgreSQL: %s", dbconn_script_error(m->conn));
    return r;
}

static int migrate_connect(struct migrate *m, const struct db_conf *conf, struct err *e)
{
    m->conn = dbconn_open(m->loop, conf, MIGRATE_CONNECT_MS, migrate_on_conn, m);
    int r = migrate_wait(m, e);

    return r < 0 ? err_wrap(e, r,
                            "cannot use database '%s' as '%s' at %s port %lld (is PostgreSQL "
                            "running, does the database exist?)",
                            conf->name, conf->user, conf->host, (long long)conf->port)
                 : 0;
}

static int migrate_lock(struct migrate *m, struct err *e)
{
    int r = migrate_sql(m, "SELECT pg_try_advisory_lock(" MIGRATE_LOCK ")", e);

    if (r < 0 || str_eq(dbconn_script_value(m->conn, 0, 0), "t"))
        return r;
    printf("another migration is running; waiting for its end\n");
    fflush(stdout);
    return migrate_sql(m, "SELECT pg_advisory_lock(" MIGRATE_LOCK ")", e);
}

static void migrate_checksum(const struct migration *f, char hex[2 * SHA256_LEN + 1])
{
    uint8_t hash[SHA256_LEN];

    crypto_sha256(f->sql, strlen(f->sql), hash);
    hex_encode(hash, sizeof(hash), hex);
}

/* Compares row `row` of (version, name, sha256) with the file at the same place. */
static int migrate_check(const struct migrate *m, int row, const struct migrations *files,
                         struct err *e)
{
    const char *version = dbconn_script_value(m->conn, row, 0),
               *name = dbconn_script_value(m->conn, row, 1);
    const char *sum = dbconn_script_value(m->conn, row, 2);
    char have[2 * SHA256_LEN + 1];
    int64_t n = 0;

    if (!version || !name || !sum || str_to_i64(version, &n) < 0)
        return err_set(e, -EINVAL, "table schema_migrations is damaged in row %d", row + 1);
    if ((size_t)row >= files->count)
        return err_set(e, -EINVAL,
                       "the database has migration %s, which this program does not know: it is "
                       "older than the database",
                       name);
    const struct migration *f = &files->items[row];

    if (f->version != n)
        return err_set(e, -EINVAL,
                       "%s was not applied, but %s after it was: migrations go forward only",
                       f->name, name);
    migrate_checksum(f, have);
    if (!str_eq(have, sum))
        return err_set(e, -EINVAL,
                       "%s was changed after it was applied (recorded %.12s..., now %.12s...): "
                       "restore it and write a new migration",
                       f->name, sum, have);
    return 0;
}

static int migrate_applied(struct migrate *m, const struct migrations *files, size_t *applied,
                           struct err *e)
{
    int r = migrate_sql(m,
                        "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY "
                        "KEY, name text NOT NULL,"
                        " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
                        e);

    if (r == 0)
        r = migrate_sql(m, "SELECT version, name, sha256 FROM schema_migrations ORDER BY version",
                        e);
    int rows = r == 0 ? dbconn_script_rows(m->conn) : 0;

    for (int i = 0; i < rows && r == 0; i++)
        r = migrate_check(m, i, files, e);
    *applied = (size_t)rows;
    return r;
}

static int migrate_one(struct migrate *m, const struct migration *f, struct err *e)
{
    cleanup(buf_deinit) struct buf sql = BUF_INIT(MIGRATE_SQL_MAX);
    char sum[2 * SHA256_LEN + 1];
    uint64_t begin = clock_mono_ms();
    const char *text;
    int r;

    migrate_checksum(f, sum);
    /* The name has passed migration_version(): nothing in it needs quoting. Several statements in
     * one message are one transaction. */
    r = buf_append_str(&sql, f->sql);
    if (r == 0)
        r = buf_printf(
            &sql,
            "\n;INSERT INTO schema_migrations (version, name, sha256) VALUES (%lld, '%s', '%s')",
            (long long)f->version, f->name, sum);
    text = r == 0 ? buf_cstr(&sql) : NULL;
    if (!text)
        return err_set(e, -ENOBUFS, "%s is too large", f->name);
    r = migrate_sql(m, text, e);
    if (r < 0)
        return err_wrap(e, r, "%s (nothing of it was applied)", f->name);
    printf("applied %s (%llu ms)\n", f->name, (unsigned long long)(clock_mono_ms() - begin));
    fflush(stdout);
    return 0;
}

int migrate_run(struct loop *l, const struct db_conf *conf, const struct migrations *files,
                struct err *e)
{
    struct migrate m = {.loop = l};
    size_t applied = 0;
    int r = migrate_connect(&m, conf, e);

    if (r == 0)
        r = migrate_lock(&m, e);
    if (r == 0)
        r = migrate_applied(&m, files, &applied, e);
    for (size_t i = applied; i < files->count && r == 0; i++)
        r = migrate_one(&m, &files->items[i], e);
    if (r == 0)
        printf("schema is at migration %lld (%zu new)\n", (long long)migrations_latest(files),
               files->count - applied);
    dbconn_close(m.conn); /* gives the lock back */
    return r;
}
