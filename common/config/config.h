/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * config - one table a binary: a JSON file of flat keys ("public_listen": "127.0.0.1:8080"), checked against the table.
 * Unknown keys, wrong types and values out of range are errors that name the key. Secrets are given by file path only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/arena.h"

struct buf;
struct err;

enum config_type { CONFIG_STRING, CONFIG_INT, CONFIG_BOOL, CONFIG_PATH, CONFIG_ADDR /* host:port or unix path */, CONFIG_ADDRS /* space-separated list */ };

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;        /* const char * | int64_t | bool */
    const char *fallback; /* default as text; NULL = required */
    int64_t min, max;     /* CONFIG_INT; strings: length */
    bool reloadable;
    const char *help;     /* one sentence; docs/config.md is made of these */
};

struct config_table {
    const char *program;
    const struct config_key *keys; /* ends with a NULL name */
    size_t size;                   /* of the struct that is filled */
};

/* Strings live in the arena. */
int config_load(const struct config_table *t, const char *path, struct arena *a, void *out, struct err *e) must_check;
int config_defaults(const struct config_table *t, struct arena *a, void *out, struct err *e) must_check; /* required keys stay NULL/0 */
int config_write_markdown(const struct config_table *t, struct buf *out) must_check;
/*
 * Common command line: --config FILE, --check-config, --help, --version, --config-docs. Returns 0 to go on (conf filled),
 * 1 when the program should exit 0, < 0 after an error was printed to stderr.
 */
int config_main(const struct config_table *t, int argc, char **argv, struct arena *a, void *out) must_check;
