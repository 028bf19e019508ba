/* SPDX-License-Identifier: Apache-2.0 */
/* main - the command line that all daemons share. */
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/config/config_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct command_line {
    const char *config;
    bool check, help, version, docs;
};

static int bad_usage(const struct config_table *t, const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s '%s'; see %s --help\n", t->program, what, arg, t->program);
    return -EINVAL;
}

static int command_line_parse(const struct config_table *t, int argc, char **argv, struct command_line *c)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];

        if (str_eq(arg, "--config")) {
            if (++i == argc)
                return bad_usage(t, "a file name is missing after", arg);
            c->config = argv[i];
        } else if (str_starts(arg, "--config=")) {
            c->config = arg + strlen("--config=");
        } else if (str_eq(arg, "--check-config")) {
            c->check = true;
        } else if (str_eq(arg, "--config-docs")) {
            c->docs = true;
        } else if (str_eq(arg, "--help") || str_eq(arg, "-h")) {
            c->help = true;
        } else if (str_eq(arg, "--version")) {
            c->version = true;
        } else {
            return bad_usage(t, "unknown argument", arg);
        }
    }
    return 0;
}

static int help_write(const struct config_table *t, struct buf *out)
{
    int r = buf_printf(out,
                       "usage: %s [--config FILE]\n\n"
                       "  --config FILE    JSON object with the keys below (default /etc/bivouac/%s.json)\n"
                       "  --check-config   say whether the file is good, and exit\n"
                       "  --config-docs    print the keys as markdown, and exit\n"
                       "  --version        print the version, and exit\n"
                       "  --help           print this, and exit\n\n"
                       "keys:\n",
                       t->program, t->program);

    for (const struct config_key *k = t->keys; r == 0 && k->name; k++) {
        r = buf_printf(out, "  %s (%s, %s%s%s)\n      %s\n", k->name, config_type_name(k->type),
                       k->fallback ? "default '" : "required", k->fallback ? k->fallback : "", k->fallback ? "'" : "",
                       k->help ? k->help : "");
    }
    return r;
}

static int print_text(const struct config_table *t, int (*write_text)(const struct config_table *t, struct buf *out))
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(MIB);
    int r = write_text(t, &out);

    if (r == 0)
        r = fd_write_all(STDOUT_FILENO, buf_data(&out), out.len);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", t->program, err_text(NULL, r));
    return r < 0 ? r : 1;
}

static int version_write(const struct config_table *t, struct buf *out)
{
    return buf_printf(out, "%s %s\n", t->program, BIVOUAC_VERSION);
}

int config_main(const struct config_table *t, int argc, char **argv, struct arena *a, void *out)
{
    struct command_line c = {0};
    struct err e = ERR_INIT;
    char path[256];
    int r = command_line_parse(t, argc, argv, &c);

    if (r < 0)
        return r;
    if (c.help)
        return print_text(t, help_write);
    if (c.version)
        return print_text(t, version_write);
    if (c.docs)
        return print_text(t, config_write_markdown);
    if (!c.config) {
        snprintf(path, sizeof(path), "/etc/bivouac/%s.json", t->program);
        c.config = path;
    }
    r = config_load(t, c.config, a, out, &e);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", t->program, err_text(&e, r));
        return r;
    }
    if (c.check)
        printf("%s: configuration '%s' is good\n", t->program, c.config);
    return c.check ? 1 : 0;
}
