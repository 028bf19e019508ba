/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * streams - all process streams of one sandbox: its agent link, the processes that the gateway follows, the memory they hold.
 * Lives from the sandbox's first route to its end and a moment longer, until the store has what was under way.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "dataplane/gateway/link/alink.h"
#include "dataplane/gateway/stream/env.h"

struct http_pool;
struct json_writer;
struct op;
struct pstream;
struct sandbox;
struct streams;

/* Somebody who waits for the link, the store or a process to be known; called after each change. */
struct streams_waiter {
    struct list node;
    void (*fn)(struct streams_waiter *w); /* may end the wait */
};

struct streams {
    struct stream_env *env;  /* borrowed */
    struct sandbox *sandbox; /* a reference */
    struct http_pool *pool;  /* borrowed: to the agent */
    struct alink *link;      /* owned; NULL once the sandbox has gone */
    struct list node;        /* in env.all */
    struct map *procs;       /* struct pstream by pid */
    unsigned live;           /* processes that are neither ended nor lost */
    size_t pending_bytes;    /* frames that are not stored */
    size_t unacked_bytes;    /* stored, not acknowledged */
    struct timer *tick;
    struct list waiters;
    struct list finished;    /* output that may be dropped, oldest first */
    uint64_t finished_cost;
    unsigned finished_count;
    bool eager;              /* this worker links it even if nobody asks */
    bool synced_once;        /* the agent has told all it had since it was (re)started */
    bool purge;              /* ending: everything goes */
    bool ending;             /* the sandbox has gone */
    uint64_t ending_ms;
    /* the comparison with the agent's list after each sync */
    struct op *sync_op;
    bool sync_wanted;
};

struct streams *streams_new(struct stream_env *env, struct sandbox *sb, struct http_pool *pool);
/* The sandbox has gone: the link ends; processes are lost, or with `purge` everything kept of them is dropped. Frees itself. */
void streams_end(struct streams *s, bool purge);
void streams_free(struct streams *s); /* at once; for the end of the worker */

/* The agent is reachable, or not (paused). */
void streams_run(struct streams *s, bool running);
/* Another machine is behind it: another agent, reached through another pool. */
void streams_restarted(struct streams *s, struct http_pool *pool);
/* Somebody needs the link now. */
void streams_need_link(struct streams *s);

struct pstream *streams_find(struct streams *s, const char *pid);
/* Finds, or begins to load. NULL: too many. */
struct pstream *streams_open(struct streams *s, const char *pid);

void streams_wait(struct streams *s, struct streams_waiter *w);
void streams_wait_end(struct streams_waiter *w); /* idempotent */
void streams_kick(struct streams *s);

void streams_env_store_up(struct stream_env *env);
void streams_env_store_down(struct stream_env *env);
/* The store is full: the oldest output of ended processes goes, whosever it is. */
void streams_env_shed(struct stream_env *env);

/* ---- for pstream ---- */
void streams_pending(struct streams *s, size_t added, size_t removed);
void streams_unacked(struct streams *s, size_t added, size_t removed);
bool streams_must_ack(const struct streams *s);
uint64_t streams_retention(const struct streams *s);
void streams_finished(struct streams *s, const struct pstream *p);

/* ---- sync.c: what the store calls running and the agent does not know has ended unseen; what only the agent knows is followed ---- */
void streams_sync(struct streams *s);
