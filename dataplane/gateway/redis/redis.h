/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * redis - the only door to the Redis library: one connection, pipelined, on our loop.
 * It reconnects by itself with back-off; commands are refused while it is down. Replies come in order, so one deadline watches the
 * oldest command: when it passes, the connection is cut and every pending command fails. Loop thread only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/buf.h"

struct err;
struct loop;
struct op;
struct redis;
struct redisReply; /* the library's; read it through the functions below */
struct secret;

struct redis_conf {
    const char *address;           /* "127.0.0.1:6379" or "/run/redis.sock"; copied */
    const struct secret *password; /* NULL or empty: none; borrowed for the connection's life */
    uint32_t deadline_ms;          /* of a command; default 5,000 */
    const char *const *scripts;    /* loaded on each connect; ends with NULL; borrowed */
};
struct redis_ops {
    void (*on_up)(void *arg);   /* connected, scripts loaded */
    void (*on_down)(void *arg); /* after every pending command has failed */
};

int redis_new(struct redis **out, struct loop *l, const struct redis_conf *conf, const struct redis_ops *ops, void *arg,
              struct err *e) must_check;
void redis_free(struct redis *r); /* NULL is fine; pending commands are dropped without a callback */
bool redis_is_up(const struct redis *r);
/* Commands that were sent and not answered. */
unsigned redis_pending(const struct redis *r);

/* ---- one command ---- */
struct redis_cmd {
    struct buf text;
    unsigned args_left;
};
void redis_cmd_begin(struct redis_cmd *c, unsigned args);
/* EVALSHA of a script by its place in conf->scripts; then `keys` keys and `args` arguments follow. */
void redis_cmd_script(struct redis_cmd *c, const struct redis *r, unsigned script, unsigned keys, unsigned args);
void redis_cmd_arg(struct redis_cmd *c, const void *p, size_t len);
void redis_cmd_str(struct redis_cmd *c, const char *s);
void redis_cmd_u64(struct redis_cmd *c, uint64_t v);

/* r: 0 with a reply (which may be an error reply), -ECONNRESET, -ETIMEDOUT. The reply is borrowed during the callback. */
typedef void redis_done_fn(void *arg, int r, const struct redisReply *reply);
/* Consumes c (also on failure). slot may be NULL. -ENOTCONN while down. */
int redis_send(struct redis *r, struct redis_cmd *c, struct op **slot, redis_done_fn *done, void *arg) must_check;

/* ---- replies ---- */
const char *reply_error(const struct redisReply *v);                  /* text of an error reply, else NULL */
const char *reply_str(const struct redisReply *v, size_t *len);       /* string or status; NULL for others */
bool reply_int(const struct redisReply *v, int64_t *out);
size_t reply_count(const struct redisReply *v);                       /* elements of an array, else 0 */
const struct redisReply *reply_at(const struct redisReply *v, size_t i); /* NULL beyond the end */
