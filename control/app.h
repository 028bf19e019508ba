/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* app - what a running bivouac-control is made of. One instance, built by serve.c, handed to every
 * handler. */
#include <stdint.h>
#include "control/config.h"

struct boxes;
struct db;
struct ender;
struct fleet;
struct host_clients;
struct jobs;
struct jwt_signer;
struct launches;
struct loop;

/* Scopes of a route; a write key may do what a read key may. */
enum { SCOPE_READ = 1, SCOPE_WRITE = 2 };

struct app {
    struct control_config conf; /* texts in the arena of serve.c */
    int64_t cpus[CONFIG_CPUS_MAX];
    unsigned cpus_count;
    struct loop *loop;
    struct db *db;
    struct boxes *boxes;
    struct jwt_signer *signer;
    struct host_clients *clients;
    struct fleet *fleet;
    struct ender *ender;
    struct launches *launches;
    struct jobs *jobs;
};
