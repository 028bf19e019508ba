/* SPDX-License-Identifier: Apache-2.0 */
/* main - bivouac-control's command line: serve, migrate, admin. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "control/admin/admin.h"
#include "control/config.h"
#include "control/db/migrate.h"
#include "control/db/pool.h"
#include "control/open.h"
#include "control/serve.h"

static const char usage[] =
    "usage: bivouac-control COMMAND --config FILE\n"
    "\n"
    "commands:\n"
    "  serve      run the control plane\n"
    "  migrate    bring the database's schema forward; safe to run at any time, by several at "
    "once\n"
    "  admin      users, teams, keys, hosts, templates: see 'bivouac-control admin --help'\n"
    "\n"
    "Each command knows --help. 'serve --check-config' says whether the file is good, 'serve "
    "--config-docs' prints all keys.\n";

static int fail(const struct err *e, int r)
{
    fprintf(stderr, "bivouac-control: %s\n", err_text(e, r));
    return 1;
}

static int main_serve(int argc, char **argv, struct arena *a)
{
    struct control_config conf;
    struct err e = ERR_INIT;
    bool check = false;
    int r;

    /* The table cannot see everything: --check-config must. */
    for (int i = 1; i < argc; i++)
        check |= str_eq(argv[i], "--check-config");
    r = config_main(&control_config_table, argc, argv, a, &conf);
    if (r < 0)
        return 1;
    if (r > 0 && !check)
        return 0;
    int checked = config_check(&conf, &e);

    if (checked < 0)
        return fail(&e, checked);
    if (r > 0)
        return 0;
    r = serve_run(&conf, &e);
    return r < 0 ? fail(&e, r) : 0;
}

static const char migrate_usage[] =
    "usage: bivouac-control migrate --config FILE [--dir FOLDER]\n"
    "\n"
    "Applies the migrations that the database does not have yet, each in one transaction, forward "
    "only.\n"
    "\n"
    "  --config FILE   configuration (default /etc/bivouac/bivouac-control.json); of it only "
    "database_url_file is used\n"
    "  --dir FOLDER    files NNNN_what.sql to use instead of those that are built in\n";

static int migrate_with(const struct control_config *conf, const char *dir, struct arena *a,
                        struct err *e)
{
    cleanup(secret_deinit) struct secret password = {0};
    struct migrations files = {0};
    struct db_conf db = {0};
    struct loop *loop = NULL;
    int r = open_db_conf(conf, false, a, &db, &password, e);

    if (r == 0 && dir)
        r = migrations_load(dir, &files, e);
    if (r == 0)
        r = loop_new(&loop);
    if (r == 0) {
        r = migrate_run(loop, &db, dir ? &files : migrations_embedded(), e);
        loop_free(loop);
    }
    if (dir)
        migrations_free(&files);
    return r;
}

static int main_migrate(int argc, char **argv, struct arena *a)
{
    const char *config = "/etc/bivouac/bivouac-control.json", *dir = NULL;
    struct control_config conf;
    struct err e = ERR_INIT;
    int r;

    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--help")) {
            fputs(migrate_usage, stdout);
            return 0;
        }
        const char **place = str_eq(argv[i], "--config") ? &config
                             : str_eq(argv[i], "--dir")  ? &dir
                                                         : NULL;

        if (!place || ++i == argc) {
            fprintf(stderr,
                    "bivouac-control migrate: unknown or incomplete argument; see --help\n");
            return 2;
        }
        *place = argv[i];
    }
    r = config_load(&control_config_table, config, a, &conf, &e);
    if (r == 0)
        r = migrate_with(&conf, dir, a, &e);
    return r < 0 ? fail(&e, r) : 0;
}

int main(int argc, char **argv)
{
    struct arena *a = arena_new(8 * MIB);
    const char *command = argc > 1 ? argv[1] : NULL;
    int status = 2;

    if (str_eq(command, "serve")) {
        status = main_serve(argc - 1, argv + 1, a);
    } else if (str_eq(command, "migrate")) {
        status = main_migrate(argc - 1, argv + 1, a);
    } else if (str_eq(command, "admin")) {
        status = admin_main(argc - 1, argv + 1, a);
    } else if (str_eq(command, "--help") || str_eq(command, "-h")) {
        fputs(usage, stdout);
        status = 0;
    } else if (str_eq(command, "--version")) {
        printf("bivouac-control %s\n", BIVOUAC_VERSION);
        status = 0;
    } else {
        fputs(usage, stderr);
    }
    arena_free(a);
    return status;
}
