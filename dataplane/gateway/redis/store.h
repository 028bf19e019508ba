/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store - what the gateway keeps in Redis: every command and script stands here. docs/protocols/redis-keys.md tells the keys.
 * Appending is one script: it refuses a gap, passes over frames that are there already, and moves frames, accounting, trimming and
 * expiry together, so that no crash leaves them apart.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"
#include "dataplane/gateway/redis/redis.h"

struct op;
struct redisReply;

extern const char *const store_scripts[]; /* for redis_conf */

/* ---- append ---- */
enum { STORE_APPEND_OK, STORE_APPEND_GAP, STORE_APPEND_RETRY };

struct store_append {
    const char *sandbox, *pid;
    uint64_t first;           /* cursor of the first frame, also when there is none */
    bool jump;                /* what lies between the last stored frame and the first one is known to be lost */
    unsigned fields, frames;  /* how many follow */
    uint64_t trim_before;     /* drop frames below this cursor; 0 = none */
    uint64_t frames_ttl_ms, proc_ttl_ms; /* 0 = leave */
    int64_t finished_ms;      /* place in the sandbox's index: < 0 leave, 0 running, else unix ms */
    int64_t forget_before_ms; /* index entries that finished before this are dropped */
};
struct store_cmd {
    struct redis_cmd cmd;
};
void store_append_begin(struct store_cmd *c, const struct redis *r, const struct store_append *a);
void store_append_field(struct store_cmd *c, const char *name, const void *p, size_t len); /* all fields before the first frame */
void store_append_frame(struct store_cmd *c, enum link_kind k, const void *p, size_t len);
int store_append_send(struct store_cmd *c, struct redis *r, struct op **slot, redis_done_fn *done, void *arg) must_check;
/* OK: *last is the last stored cursor (at least that of the batch). GAP: nothing was stored, *last is what the store has. */
int store_append_reply(const struct redisReply *v, uint64_t *last) must_check;

/* ---- one process ---- */
struct store_text {
    const char *p; /* borrowed from the reply; NULL when absent */
    size_t len;
};
struct store_proc {
    bool found;
    uint64_t last;
    bool lost;
    struct store_text totals, marks, started, exit;
};
int store_load(struct redis *r, const char *sandbox, const char *pid, struct op **slot, redis_done_fn *done, void *arg) must_check;
int store_load_reply(const struct redisReply *v, struct store_proc *out) must_check; /* -EIO: an error reply or nonsense */

/* Frames from..to, at most count. */
int store_range(struct redis *r, const char *sandbox, const char *pid, uint64_t from, uint64_t to, unsigned count, struct op **slot,
                redis_done_fn *done, void *arg) must_check;
struct store_frame {
    uint64_t cursor;
    enum link_kind kind;
    const char *p;
    size_t len;
};
size_t store_range_count(const struct redisReply *v);
int store_range_at(const struct redisReply *v, size_t i, struct store_frame *out) must_check; /* -EIO */

/* The process ended unseen; does nothing when its exit is stored. */
int store_lost(struct redis *r, const char *sandbox, const char *pid, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms, int64_t now_ms,
               redis_done_fn *done, void *arg) must_check;
/* Frames go, what is known of the process stays; totals say that nothing is kept. */
int store_drop_output(struct redis *r, const char *sandbox, const char *pid, const char *totals, size_t totals_len) must_check;

/* ---- one sandbox ---- */
/* Array of pids. since_ms 0: the running ones; else those too that finished at or after it. */
int store_pids(struct redis *r, const char *sandbox, int64_t since_ms, unsigned count, struct op **slot, redis_done_fn *done,
               void *arg) must_check;
/* Every process whose exit is not stored has ended unseen. */
int store_lose_all(struct redis *r, const char *sandbox, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms) must_check;
/* Everything of the sandbox is dropped. */
int store_purge(struct redis *r, const char *sandbox) must_check;
