/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bivouac-vmhost - the virtual machines of one host. Started as root it becomes the privileged parent, which starts itself again as the
 * unprivileged child ("bivouac-vmhost child ...", by the parent only).
 */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "dataplane/vmhost/child.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/parent.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 1 * MIB, SELFTEST_COUNT = 5, SELFTEST_COUNT_MAX = 10000 };
#define CONFIG_DEFAULT "/etc/bivouac/bivouac-vmhost.json"

struct command {
    const char *verb; /* "serve" "selftest" "purge" */
    unsigned count;
    char **argv;      /* for config_main(): without the verb and its options */
    int argc;
};

static void usage(void)
{
    puts("bivouac-vmhost                      run the service (as root)\n"
         "bivouac-vmhost selftest [--count N] make the templates, then create and destroy N machines of each (5); prints timings\n"
         "bivouac-vmhost purge                end every machine of this instance and remove all it made but the templates\n"
         "All of them take the settings of --config FILE (default " CONFIG_DEFAULT ").\n");
}

static int command_parse(struct command *c, int argc, char **argv)
{
    uint64_t n;

    c->verb = "serve";
    c->count = SELFTEST_COUNT;
    c->argv = calloc((size_t) argc + 1, sizeof(*c->argv));
    if (!c->argv)
        return -ENOMEM;
    c->argv[c->argc++] = argv[0];
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--help"))
            usage();
        if (i == 1 && (str_eq(argv[i], "selftest") || str_eq(argv[i], "purge") || str_eq(argv[i], "serve"))) {
            c->verb = argv[i];
        } else if (str_eq(c->verb, "selftest") && str_eq(argv[i], "--count") && i + 1 < argc) {
            if (str_to_u64(argv[++i], &n) < 0 || n < 1 || n > SELFTEST_COUNT_MAX) {
                fprintf(stderr, "bivouac-vmhost: --count: 1..%d\n", SELFTEST_COUNT_MAX);
                return -EINVAL;
            }
            c->count = (unsigned) n;
        } else {
            c->argv[c->argc++] = argv[i];
        }
    }
    return 0;
}

static const char *command_config(const struct command *c)
{
    for (int i = 1; i < c->argc; i++) {
        if (str_eq(c->argv[i], "--config") && i + 1 < c->argc)
            return c->argv[i + 1];
        if (str_starts(c->argv[i], "--config="))
            return c->argv[i] + strlen("--config=");
    }
    return CONFIG_DEFAULT;
}

/* The child may not be able to open the file, and must not see another one than the parent. */
static int config_to_memfd(const char *path, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(CONFIG_BYTES_MAX + 1);
    cleanup(fd_closep) int fd = -1;
    int r = file_read(path, CONFIG_BYTES_MAX, &text, e);

    if (r < 0)
        return r;
    fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "make a memory file");
    r = fd_write_all(fd, buf_data(&text), text.len);
    return r < 0 ? err_set(e, r, "write a memory file") : take_fd(&fd);
}

static int run(const struct command *c, const struct conf *conf)
{
    enum log_level level;
    struct err e = ERR_INIT;
    int fd, r = conf_check(conf, &e);

    if (r == 0 && str_eq(c->verb, "serve"))
        r = conf_check_service(conf, &e);
    if (r == 0 && log_level_parse(conf->log_level, &level) < 0)
        r = err_set(&e, -EINVAL, "log_level: debug, info, warn or error");
    if (r < 0) {
        fprintf(stderr, "bivouac-vmhost: %s\n", err_text(&e, r));
        return 2;
    }
    log_init("bivouac-vmhost-parent", STDERR_FILENO, level);
    if (str_eq(c->verb, "purge"))
        return parent_purge(conf);
    fd = config_to_memfd(command_config(c), &e);
    if (fd < 0) {
        fprintf(stderr, "bivouac-vmhost: %s\n", err_text(&e, fd));
        return 2;
    }
    r = parent_run(conf, str_eq(c->verb, "serve") ? PARENT_SERVE : PARENT_SELFTEST, c->count, fd);
    close(fd);
    return r;
}

int main(int argc, char **argv)
{
    struct command c = {0};
    struct arena *arena;
    struct conf conf;
    int r;

    if (argc == 4 && str_eq(argv[1], "child"))
        return child_main(str_eq(argv[2], "selftest"), (unsigned) strtoul(argv[3], NULL, 10));
    if (command_parse(&c, argc, argv) < 0) {
        free(c.argv);
        return 2;
    }
    arena = arena_new(0);
    r = config_main(&conf_table, c.argc, c.argv, arena, &conf);
    r = r == 0 ? run(&c, &conf) : r > 0 ? 0 : 2;
    arena_free(arena);
    free(c.argv);
    return r;
}
