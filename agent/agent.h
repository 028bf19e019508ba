/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * agent - what the guest's agent consists of; the routers' application object. One process, one loop, no threads: helpers and user
 * processes are forked from it.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/secret.h"
#include "common/json/json.h"

struct file_pool;
struct http_server;
struct links;
struct listener;
struct loop;
struct power;
struct procs;
struct quiesce;
struct reaper;
struct router;

enum { AGENT_LINK_VERSION = 1 };
#define AGENT_WORKSPACE "/workspace"

struct agent {
    struct loop *loop;
    bool machine;         /* PID 1 of a guest; else an ordinary program that runs for tests */
    struct reaper *reaper;
    struct procs *procs;
    struct links *links;
    struct file_pool *files;
    struct power *power;
    struct quiesce *quiesce;

    /* the API */
    struct http_server *server;
    struct listener *listener;
    struct router *router;
    const char *peer;     /* the only address that may connect; NULL = any */

    /* what init brings */
    struct secret token;    /* in force */
    struct secret previous; /* only an init that repeats the last one may still use it: its answer may have been lost */
    uint64_t generation;
    char *sandbox_id;       /* NULL before the first init */
    struct json_map env;    /* of every process */
    uint64_t inits;
};
