/* SPDX-License-Identifier: Apache-2.0 */
/* admin - see admin.h. */
#include "control/admin/admin.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "control/admin/command.h"
#include "control/config.h"
#include "control/db/pool.h"
#include "control/db/tx.h"
#include "control/open.h"

enum { ADMIN_RUN_MS = 15000, ADMIN_WAIT_MS = 3000, ADMIN_OUT_MAX = 16 * MIB };

static const struct admin_command *const admin_tables[] = {admin_people, admin_keys, admin_hosts,
                                                           admin_templates};

static const struct {
    const char *name;
    size_t offset;
} admin_option_names[] = {
    {"config", offsetof(struct admin_options, config)},
    {"email", offsetof(struct admin_options, email)},
    {"name", offsetof(struct admin_options, name)},
    {"slug", offsetof(struct admin_options, slug)},
    {"team", offsetof(struct admin_options, team)},
    {"role", offsetof(struct admin_options, role)},
    {"scopes", offsetof(struct admin_options, scopes)},
    {"expires", offsetof(struct admin_options, expires)},
    {"host", offsetof(struct admin_options, host)},
    {"manifest", offsetof(struct admin_options, manifest)},
    {"sandboxes", offsetof(struct admin_options, sandboxes)},
    {"vcpus", offsetof(struct admin_options, vcpus)},
    {"memory-mb", offsetof(struct admin_options, memory_mb)},
    {"id", offsetof(struct admin_options, id)},
};

static const char **admin_option(struct admin_options *o, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(admin_option_names); i++) {
        if (str_eq(admin_option_names[i].name, name))
            return (const char **)((char *)o + admin_option_names[i].offset);
    }
    return NULL;
}

/* ---- help ---- */
static void admin_command_help(const struct admin_command *c, FILE *to)
{
    fprintf(to, "  %s %s %s\n      %s\n", c->noun, c->verb, c->usage, c->help);
}

static void admin_help(const char *noun, FILE *to)
{
    fprintf(to, "usage: bivouac-control admin NOUN VERB ... [--config FILE] [--json]\n\n");
    for (size_t t = 0; t < ARRAY_LEN(admin_tables); t++) {
        for (const struct admin_command *c = admin_tables[t]; c->noun; c++) {
            if (!noun || str_eq(noun, c->noun))
                admin_command_help(c, to);
        }
    }
    fprintf(to, "\n  --config FILE   configuration (default /etc/bivouac/bivouac-control.json); of "
                "it only database_url_file is used\n"
                "  --json          one JSON object on stdout\n");
}

static const struct admin_command *admin_find(const char *noun, const char *verb)
{
    for (size_t t = 0; t < ARRAY_LEN(admin_tables); t++) {
        for (const struct admin_command *c = admin_tables[t]; c->noun; c++) {
            if (str_eq(c->noun, noun) && str_eq(c->verb, verb))
                return c;
        }
    }
    return NULL;
}

/* ---- arguments ---- */
/* Whether `name` stands in a list with spaces between. */
static bool admin_listed(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = list; (p = strstr(p, name)); p += len) {
        if ((p == list || p[-1] == ' ') && (p[len] == ' ' || !p[len]))
            return true;
    }
    return false;
}

static int admin_usage(const struct admin_command *c, const char *what, const char *arg)
{
    fprintf(stderr, "bivouac-control admin %s %s: %s '%s'\n\n", c->noun, c->verb, what, arg);
    admin_command_help(c, stderr);
    return 2;
}

static int admin_set(const struct admin_command *c, struct admin *x, const char *name,
                     const char *value)
{
    const char **place = admin_option(&x->opt, name);

    if (!place || (!str_eq(name, "config") && !admin_listed(c->required, name) &&
                   !admin_listed(c->optional, name)))
        return admin_usage(c, "unknown option", name);
    if (*place)
        return admin_usage(c, "given twice", name);
    *place = value;
    return 0;
}

static int admin_check_required(const struct admin_command *c, struct admin *x)
{
    for (size_t i = 0; i < ARRAY_LEN(admin_option_names); i++) {
        const char *name = admin_option_names[i].name;

        if (admin_listed(c->required, name) && !*admin_option(&x->opt, name))
            return admin_usage(c, "this is required", name);
    }
    return 0;
}

static int admin_parse(const struct admin_command *c, struct admin *x, int argc, char **argv,
                       bool *help)
{
    int r = 0;

    for (int i = 0; i < argc && r == 0; i++) {
        const char *arg = argv[i];

        if (str_eq(arg, "--help") || str_eq(arg, "-h"))
            *help = true;
        else if (str_eq(arg, "--json"))
            x->json = true;
        else if (!str_starts(arg, "--"))
            r = admin_set(c, x, "id", arg);
        else if (i + 1 < argc)
            r = admin_set(c, x, arg + 2, argv[++i]);
        else
            r = admin_usage(c, "a value is missing after", arg);
    }
    return r || *help ? r : admin_check_required(c, x);
}

/* ---- what commands use ---- */
int admin_run_unique(struct admin *x, struct db_tx *tx, const char *const (*taken)[2],
                     struct db_tx **out, struct err *e)
{
    struct db_tx *done = NULL;
    struct db_stats stats;
    int r = db_run_wait(x->db, tx, ADMIN_RUN_MS, &done);

    if (r == DB_OK) {
        *out = done;
        return 0;
    }
    db_stats(x->db, &stats);
    if (r == DB_E_REFUSED) {
        for (; taken && (*taken)[0]; taken++) {
            if (str_eq(tx_constraint(done), (*taken)[0])) {
                tx_release(done);
                return err_set(e, -EEXIST, "%s", (*taken)[1]);
            }
        }
        r = err_set(e, -EINVAL, "the database refused: %s", tx_message(done));
    } else {
        r = err_set(e, -EIO, "the database does not answer: %s",
                    *stats.last_error ? stats.last_error : "no connection in time");
    }
    tx_release(done);
    return r;
}

int admin_run(struct admin *x, struct db_tx *tx, struct db_tx **out, struct err *e)
{
    return admin_run_unique(x, tx, NULL, out, e);
}

int admin_expiry(const char *text, int64_t *us, struct err *e)
{
    size_t len = text ? strlen(text) : 0;
    uint64_t n;

    *us = 0;
    if (!text)
        return 0;
    if (len > 1 && (text[len - 1] == 'd' || text[len - 1] == 'h') &&
        str_to_u64_n(text, len - 1, 10, &n) == 0 && n > 0 && n < 100000) {
        *us = clock_real_ms() * 1000 + (int64_t)n * (text[len - 1] == 'd' ? 86400 : 3600) * 1000000;
        return 0;
    }
    if (clock_parse_rfc3339(text, us) < 0 || *us <= 0)
        return err_set(e, -EINVAL,
                       "--expires '%s': give a time like 2030-01-31T00:00:00Z, or 30d, or 12h",
                       text);
    return 0;
}

const char *admin_time(int64_t us, char out[32])
{
    if (us)
        clock_rfc3339(us, 0, out);
    else
        (void)str_copy(out, 32, "-");
    return out;
}

void admin_json_time(struct admin *x, const char *key, int64_t us)
{
    char text[32];

    if (us)
        jw_kstr(x->w, key, admin_time(us, text));
    else
        jw_knull(x->w, key);
}

/* ---- running one ---- */
static int admin_execute(const struct admin_command *c, struct admin *x, struct err *e)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(ADMIN_OUT_MAX);
    struct json_writer w;
    int r;

    json_writer_init(&w, &out);
    x->w = &w;
    if (x->json)
        jw_object(&w);
    r = c->run(x, e);
    if (r < 0 || !x->json)
        return r;
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        return err_set(e, -ENOBUFS, "the answer is too large");
    printf("%.*s\n", (int)out.len, (const char *)buf_data(&out));
    return 0;
}

static int admin_with_db(const struct admin_command *c, struct admin *x, struct err *e)
{
    cleanup(secret_deinit) struct secret password = {0};
    struct control_config conf;
    struct db_conf db = {0};
    struct loop *loop = NULL;
    const char *config = x->opt.config ? x->opt.config : "/etc/bivouac/bivouac-control.json";
    int r = config_load(&control_config_table, config, x->arena, &conf, e);

    if (r == 0)
        r = open_db_conf(&conf, true, x->arena, &db, &password, e);
    if (r < 0)
        return r;
    db.conns_max = 1;
    db.wait_ms = ADMIN_WAIT_MS;
    r = loop_new(&loop);
    if (r < 0)
        return err_set(e, r, "event loop: %s", strerror(-r));
    r = db_open(&x->db, loop, &db, e);
    if (r == 0)
        r = admin_execute(c, x, e);
    db_close(x->db);
    loop_free(loop);
    return r;
}

int admin_main(int argc, char **argv, struct arena *a)
{
    struct admin x = {.arena = a};
    const char *noun = argc > 1 ? argv[1] : NULL, *verb = argc > 2 ? argv[2] : NULL;
    const struct admin_command *c = noun && verb ? admin_find(noun, verb) : NULL;
    struct err e = ERR_INIT;
    bool help = false;

    log_init("bivouac-control", STDERR_FILENO,
             LOG_ERROR + 1); /* problems are said in words, once */
    if (!c) {
        help = str_eq(noun, "--help") || str_eq(noun, "-h") || str_eq(verb, "--help") ||
               str_eq(verb, "-h");
        admin_help(noun && noun[0] != '-' ? noun : NULL, help ? stdout : stderr);
        return help ? 0 : 2;
    }
    int r = admin_parse(c, &x, argc - 3, argv + 3, &help);

    if (r != 0)
        return r;
    if (help) {
        admin_command_help(c, stdout);
        return 0;
    }
    r = admin_with_db(c, &x, &e);
    if (r < 0)
        fprintf(stderr, "bivouac-control admin %s %s: %s\n", noun, verb, err_text(&e, r));
    return r < 0 ? 1 : 0;
}
