/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * alink - the agent link of one sandbox: keeps one connection while it is wanted, sends requests, hands frames up.
 * A link that was lost is made again with back-off; every request that was under way then fails once with -ECONNRESET.
 * Loop thread only. alink_free() fails what is under way with -ECANCELED; after it no callback of this object runs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"

struct alink;
struct http_pool;
struct log_ctx;
struct loop;
struct op;
struct secret;

enum alink_state {
    ALINK_IDLE,       /* not wanted */
    ALINK_WAITING,    /* back-off */
    ALINK_CONNECTING, /* connect and upgrade */
    ALINK_SYNCING,    /* up; the agent sends what was not acknowledged */
    ALINK_SYNCED,
};

struct alink_ops {
    void (*on_up)(void *arg); /* a new link: the agent begins each process at its first unacknowledged frame */
    /* Both return < 0 to end the link: the agent broke a rule. p is borrowed. */
    int (*on_frame)(void *arg, const char *pid, enum link_kind k, uint64_t cursor, const uint8_t *p, size_t len);
    int (*on_lost)(void *arg, const char *pid, uint64_t from, uint64_t to);
    void (*on_synced)(void *arg);
    void (*on_down)(void *arg, int r); /* -errno: why; also after a connect that failed */
};

struct alink_conf {
    struct http_pool *pool;     /* borrowed: makes the connections */
    const struct secret *token; /* borrowed */
    const char *sandbox;        /* borrowed: for the log */
    uint32_t head_ms;           /* time to the agent's 101 */
    uint32_t silence_ms;        /* without a byte for so long: lost */
};

struct alink *alink_new(struct loop *l, const struct alink_conf *conf, const struct alink_ops *ops, void *arg);
void alink_free(struct alink *a); /* NULL is fine */
void alink_want(struct alink *a, bool wanted);
/* Drop the connection and, if wanted, make a new one now, through this pool. */
void alink_reset(struct alink *a, struct http_pool *pool);
enum alink_state alink_state(const struct alink *a);
static inline bool alink_up(enum alink_state s)
{
    return s == ALINK_SYNCING || s == ALINK_SYNCED;
}
/* Back-pressure: stop reading frames. Results wait behind them. */
void alink_pause(struct alink *a, bool paused);

/* r: 0 with the agent's result (borrowed), -ECONNRESET, -ETIMEDOUT, -EPROTO. */
typedef void alink_done_fn(void *arg, int r, const struct link_result *res);
/* m->req is set here. deadline_ms 0 = none. -ENOTCONN while down; -EMSGSIZE when it does not fit a message. */
int alink_request(struct alink *a, struct link_msg *m, uint32_t deadline_ms, struct op **slot, alink_done_fn *done, void *arg) must_check;
/* Both are dropped while down: a new link begins at the first unacknowledged frame anyway. */
void alink_ack(struct alink *a, const char *pid, uint64_t cursor);
void alink_resend(struct alink *a, const char *pid, uint64_t since);
