/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pool - helper processes for file work, kept by the ids they run under. A helper serves one request at a time; idle ones wait a while for
 * the next of the same user. More requests than helpers wait in line.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "common/base/list.h"

struct file_pool;
struct helper;
struct loop;
struct reaper;
struct user;

enum {
    POOL_HELPERS_MAX = 64,
    POOL_IDLE_MAX = 4,
    POOL_IDLE_MS = 60000, /* the last idle one stays: the first request after a restore needs no fork */
    POOL_WAITING_MAX = 256,
    POOL_WAIT_MS = 30000,
};

struct file_pool_conf {
    struct loop *loop;
    struct reaper *reaper;
    const char *workspace;          /* borrowed */
    void (*in_child)(void *arg);    /* wipes what a helper must not hold */
    void *arg;
};
int file_pool_new(struct file_pool **out, const struct file_pool_conf *conf) must_check;
void file_pool_free(struct file_pool *p);
void file_pool_warm(struct file_pool *p, const char *user_name); /* one helper in advance; fine when it cannot be */

/* Waits for a helper with that user's ids. Exactly one callback, from the loop or at once, unless cancelled. */
enum pool_result { POOL_OK, POOL_OVERLOADED, POOL_FAILED };
typedef void pool_fn(void *arg, enum pool_result r, struct helper *h /* taken */);
struct pool_wait {
    struct list node;
    struct file_pool *pool; /* NULL: not in line */
    uint64_t deadline_ms;
    struct user *user; /* owned while waiting */
    pool_fn *fn;
    void *arg;
};
void pool_get(struct file_pool *p, struct pool_wait *w, const struct user *u, pool_fn *fn, void *arg);
void pool_wait_cancel(struct pool_wait *w);

int helper_fd(const struct helper *h); /* borrowed, non-blocking */
void helper_put(struct helper *h);     /* its request is over on both sides */
void helper_end(struct helper *h);     /* it is not: the helper ends itself when it notices */
void helper_kill(struct helper *h);    /* it does not move any more */
