/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* env - what all process streams of one gateway worker share: the loop, the store, limits and the memory that is under way. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/list.h"

struct loop;
struct redis;

struct stream_limits {
    uint64_t retention_bytes;          /* kept of one process */
    uint64_t sandbox_retention_bytes;  /* kept of all finished processes of one sandbox */
    uint64_t frames_ttl_ms;            /* output after the exit */
    uint64_t proc_ttl_ms;              /* tombstone after the exit */
    size_t sandbox_pending_bytes;      /* read from an agent and not stored yet: beyond it its link is not read */
    size_t total_pending_bytes;        /* the same for all sandboxes together */
    size_t watcher_queue_bytes;        /* queued to one client: beyond it the client is served from the store */
    unsigned watchers_per_process;
    unsigned processes_per_sandbox;    /* in memory: running, or just ended */
    uint32_t start_ms;                 /* an agent's time to answer START */
    uint32_t first_message_ms;         /* a client's time to send `start` */
};

struct stream_env {
    struct loop *loop;
    struct redis *redis;
    struct stream_limits limits;
    unsigned worker, workers; /* which sandboxes this worker links by itself */
    struct list all;          /* struct streams */
    struct list sessions;     /* struct session */
    size_t pending_bytes;
    bool draining;
};
