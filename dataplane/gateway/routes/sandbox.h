/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox - the sandboxes that this host routes to, as vmhost tells them. One entry lives from its first route to its `gone`; holders
 * keep a reference and look at `gone`. What works on behalf of a client registers a flow, which is cut when the sandbox goes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "common/base/secret.h"
#include "dataplane/gateway/routes/label.h"

struct gate_msg;
struct sandbox;
struct sandbox_table;

enum sandbox_state { SANDBOX_RUNNING, SANDBOX_PAUSED };
enum { SANDBOX_ID_MAX = 20 };

struct sandbox {
    char id[SANDBOX_ID_MAX + 1];
    char rt[LABEL_TOKEN_MAX + 1];
    char team[32];
    uint64_t generation;
    enum sandbox_state state;
    struct secret agent_token;
    bool gone;        /* no route any more: tokens are dead */
    bool seen;        /* told in the present round of routes */
    unsigned flow_count;
    struct list flows; /* struct sandbox_flow */
    void *user;        /* the application's part: its link, pool and streams */
    unsigned refs;     /* private */
};

struct sandbox_table_ops {
    void (*on_added)(void *arg, struct sandbox *sb);
    /* State or generation changed; restarted: the agent behind it is another one. */
    void (*on_changed)(void *arg, struct sandbox *sb, bool restarted);
    /* Flows were cut already. */
    void (*on_gone)(void *arg, struct sandbox *sb, const char *reason);
};

struct sandbox_table *sandbox_table_new(const struct sandbox_table_ops *ops, void *arg);
void sandbox_table_free(struct sandbox_table *t); /* without callbacks */
/* One route message, complete by gate_msg_type(). -EINVAL: an id, token or number that cannot be; -ESTALE: an older generation. */
int sandbox_table_route(struct sandbox_table *t, const struct gate_msg *m) must_check;
void sandbox_table_gone(struct sandbox_table *t, const struct gate_msg *m);
/* A new round of routes begins; at its end, what was not told again is gone. */
void sandbox_table_sync_begin(struct sandbox_table *t);
void sandbox_table_sync_end(struct sandbox_table *t);
size_t sandbox_table_count(const struct sandbox_table *t);
struct sandbox *sandbox_by_rt(struct sandbox_table *t, const char *rt); /* borrowed, or NULL */
void sandbox_each(struct sandbox_table *t, void (*fn)(void *arg, struct sandbox *sb), void *arg); /* fn removes none */

struct sandbox *sandbox_ref(struct sandbox *sb);
void sandbox_unref(struct sandbox *sb); /* NULL is fine */

/* Something that ends when the sandbox goes. cut() must unregister it. */
struct sandbox_flow {
    struct list node; /* private */
    struct sandbox *sandbox;
    void (*cut)(struct sandbox_flow *f);
};
void sandbox_flow_begin(struct sandbox_flow *f, struct sandbox *sb, void (*cut)(struct sandbox_flow *f));
void sandbox_flow_end(struct sandbox_flow *f); /* idempotent */
void sandbox_cut_flows(struct sandbox *sb);
