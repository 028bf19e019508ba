/* SPDX-License-Identifier: Apache-2.0 */
/* test_config - defaults, values, errors that name file and key, the command line and the docs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/config/config.h"

struct conf {
    const char *listen, *peers, *name, *key_file, *state_dir;
    int64_t workers, limit;
    bool verbose;
};

static const struct config_key keys[] = {
    {.name = "listen", .type = CONFIG_ADDR, .offset = offsetof(struct conf, listen), .help = "Where to listen."},
    {.name = "peers", .type = CONFIG_ADDRS, .offset = offsetof(struct conf, peers), .fallback = "", .help = "Others."},
    {.name = "name", .type = CONFIG_STRING, .offset = offsetof(struct conf, name), .fallback = "a", .min = 1, .max = 5,
     .help = "One of a|b."},
    {.name = "key_file", .type = CONFIG_PATH, .offset = offsetof(struct conf, key_file), .fallback = ""},
    {.name = "state_dir", .type = CONFIG_PATH, .offset = offsetof(struct conf, state_dir), .fallback = "/var/lib/x"},
    {.name = "workers", .type = CONFIG_INT, .offset = offsetof(struct conf, workers), .fallback = "2", .min = 1, .max = 64,
     .reloadable = true, .help = "Processes."},
    {.name = "limit", .type = CONFIG_INT, .offset = offsetof(struct conf, limit), .fallback = "-1"},
    {.name = "verbose", .type = CONFIG_BOOL, .offset = offsetof(struct conf, verbose), .fallback = "true"},
    {0},
};
static const struct config_table table = {.program = "bivouac-test", .keys = keys, .size = sizeof(struct conf)};

static char path[64];
static struct arena *arena;
static struct conf conf;

static int setup(void **state)
{
    int fd;

    (void) state;
    arena = arena_new(0);
    snprintf(path, sizeof(path), "/tmp/test_config.XXXXXX");
    fd = mkostemp(path, O_CLOEXEC);
    close(fd);
    return fd < 0;
}

static int teardown(void **state)
{
    (void) state;
    arena_free(arena);
    return unlink(path);
}

static int load(const char *text, struct err *e)
{
    memset(&conf, 0xaa, sizeof(conf));
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return config_load(&table, path, arena, &conf, e);
}

static void refuse(const char *text, const char *words)
{
    struct err e = ERR_INIT;
    char want[600];

    assert_int_equal(load(text, &e), -EINVAL);
    snprintf(want, sizeof(want), "configuration '%s': %s", path, words);
    assert_string_equal(e.text, want);
}

static void test_defaults(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(load("{\"listen\":\"127.0.0.1:80\"}", &e), 0);
    assert_string_equal(conf.listen, "127.0.0.1:80");
    assert_string_equal(conf.peers, "");
    assert_string_equal(conf.name, "a");
    assert_string_equal(conf.key_file, "");
    assert_string_equal(conf.state_dir, "/var/lib/x");
    assert_int_equal(conf.workers, 2);
    assert_int_equal(conf.limit, -1);
    assert_true(conf.verbose);
    assert_int_equal(config_defaults(&table, arena, &conf, &e), 0);
    assert_null(conf.listen);
    assert_int_equal(conf.workers, 2);
}

static void test_values(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(load("{\"listen\":\"[::1]:0\",\"peers\":\"a:1  /run/x.sock b.example:65535\",\"name\":\"12345\","
                          "\"key_file\":\"/k\",\"workers\":64,\"limit\":-9223372036854775808,\"verbose\":false}", &e), 0);
    assert_string_equal(conf.listen, "[::1]:0");
    assert_string_equal(conf.peers, "a:1  /run/x.sock b.example:65535");
    assert_int_equal(conf.workers, 64);
    assert_true(conf.limit == INT64_MIN);
    assert_false(conf.verbose);
}

static void test_errors_name_the_key(void **state)
{
    (void) state;
    refuse("{}", "listen: is required");
    refuse("{\"listen\":\"a:1\",\"worker\":1}", "worker: unknown key; bivouac-test --help lists the known ones");
    refuse("{\"listen\":\"a:1\",\"workers\":65}", "workers: must be 1..64");
    refuse("{\"listen\":\"a:1\",\"workers\":\"2\"}", "workers: must be an integer");
    refuse("{\"listen\":\"a:1\",\"workers\":2.0}", "workers: must be an integer");
    refuse("{\"listen\":\"a:1\",\"workers\":null}", "workers: must be an integer");
    refuse("{\"listen\":\"a:1\",\"verbose\":1}", "verbose: must be true or false");
    refuse("{\"listen\":\"a:1\",\"name\":\"\"}", "name: must have 1..5 bytes");
    refuse("{\"listen\":\"a:1\",\"name\":\"123456\"}", "name: must have 1..5 bytes");
    refuse("{\"listen\":\"a:1\",\"name\":[]}", "name: must be a string");
    refuse("{\"listen\":\"a:1\",\"key_file\":\"k\"}", "key_file: must be an absolute path");
    refuse("{\"listen\":\"a:1\",\"state_dir\":\"\"}", "state_dir: must not be empty");
    refuse("[]", "must be a JSON object");
    refuse("{\"listen\":\"a:1\",\"listen\":\"b:1\"}", "not valid JSON at byte 16: member 'listen' is there twice");
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"", "80", ":80", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80",
                                      "[::1]", "[]:80", "[::1:80", "run/x.sock", "a:1 b:2"};
    static const char *const good[] = {"a:0", "127.0.0.1:65535", "[::]:8080", "/run/x.sock", "localhost:1"};
    struct err e = ERR_INIT;
    char text[100];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "{\"listen\":\"%s\"}", bad[i]);
        assert_int_equal(load(text, &e), -EINVAL);
        assert_non_null(strstr(e.text, "listen: "));
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(text, sizeof(text), "{\"listen\":\"%s\"}", good[i]);
        assert_int_equal(load(text, &e), 0);
    }
}

static void test_no_file(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(config_load(&table, "/nonexistent.json", arena, &conf, &e), -ENOENT);
    assert_string_equal(e.text, "configuration: open '/nonexistent.json': No such file or directory");
}

static int run(char *a, char *b, char *c)
{
    char program[] = "bivouac-test";
    char *argv[] = {program, a, b, c, NULL};
    int argc = 1;

    while (argv[argc])
        argc++;
    return config_main(&table, argc, argv, arena, &conf);
}

static void test_command_line(void **state)
{
    char config[] = "--config", check[] = "--check-config", help[] = "--help", docs[] = "--config-docs",
         version[] = "--version", odd[] = "--odd", with[100];
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(load("{\"listen\":\"127.0.0.1:80\"}", &e), 0);
    assert_int_equal(run(config, path, NULL), 0);
    assert_string_equal(conf.listen, "127.0.0.1:80");
    snprintf(with, sizeof(with), "--config=%s", path);
    assert_int_equal(run(with, NULL, NULL), 0);
    assert_int_equal(run(check, config, path), 1);
    assert_int_equal(run(help, NULL, NULL), 1);
    assert_int_equal(run(docs, NULL, NULL), 1);
    assert_int_equal(run(version, NULL, NULL), 1);
    assert_int_equal(run(odd, NULL, NULL), -EINVAL);
    assert_int_equal(run(config, NULL, NULL), -EINVAL);
    assert_true(run(NULL, NULL, NULL) < 0); /* /etc/bivouac/bivouac-test.json is not there */
    assert_int_equal(load("{}", &e), -EINVAL);
    assert_int_equal(run(check, config, path), -EINVAL);
}

static void test_markdown(void **state)
{
    struct buf out = BUF_INIT(0);

    (void) state;
    assert_int_equal(config_write_markdown(&table, &out), 0);
    const char *text = buf_cstr(&out);

    assert_non_null(strstr(text, "## bivouac-test\n\n| key |"));
    assert_non_null(strstr(text, "| `listen` | address | required |  | no | Where to listen. |\n"));
    assert_non_null(strstr(text, "| `workers` | integer | `2` | 1..64 | yes | Processes. |\n"));
    assert_non_null(strstr(text, "| `name` | string | `a` | 1..5 bytes | no | One of a\\|b. |\n"));
    assert_non_null(strstr(text, "| `key_file` | path | empty |  | no |  |\n"));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_values),  cmocka_unit_test(test_errors_name_the_key),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_no_file), cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_markdown),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
