/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pstream - the frames of one process on their way: received from the agent, stored in Redis, acknowledged, shown to watchers; in this
 * order and never another. Lives while the process runs, while somebody watches, and a little after the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/loop/loop.h"
#include "common/wire/agent_link.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/retain.h"
#include "dataplane/gateway/stream/stdin_queue.h"
#include "dataplane/gateway/stream/watcher.h"

struct op;
struct streams;

#define PSTREAM_TOUCH_MS (UINT64_C(12) * 3600 * 1000) /* how often a running process' expiry is pushed back */

enum pstream_state {
    PSTREAM_LOADING, /* what the store knows is being read; frames queue meanwhile */
    PSTREAM_UNKNOWN, /* neither the store nor, so far, the agent knows it */
    PSTREAM_LIVE,    /* frames are appended */
    PSTREAM_ENDED,   /* its exit is stored */
    PSTREAM_LOST,    /* no exit was seen and none will be */
};

struct pstream {
    struct streams *streams; /* borrowed: lives longer */
    char pid[LINK_PID_MAX + 1];
    enum pstream_state state;
    struct meta meta;        /* as stored */
    struct retain kept;      /* as stored */
    struct retain next_kept; /* with the batch that is under way */
    struct list queue;       /* struct frame, each one's `from` follows the one before; the first `inflight` are being stored */
    unsigned inflight;
    size_t queue_bytes;
    uint64_t received;       /* last cursor in the queue, or stored */
    uint64_t stored;         /* last cursor that the store confirmed */
    uint64_t acked;          /* what the present link was told */
    uint64_t settle[2];      /* what was stored at the last two ticks */
    uint64_t unacked_bytes;  /* stored and not acknowledged yet */
    struct op *store_op;     /* load or append under way */
    bool verified;           /* since the store came up last */
    bool resend;             /* frames were dropped: the agent must send again from `received` */
    bool rebuild;            /* the store has lost its record */
    bool retry;              /* the store refused: again at the next tick */
    bool exit_queued;        /* nothing may come behind it */
    bool losing;             /* pstream_lose() was called; what is queued is stored first */
    bool judged;             /* must be in the agent's list that is awaited */
    struct defer pump;       /* frames of one turn make one batch */
    uint64_t touched_ms;     /* when the keys' expiry was last pushed back */
    unsigned gaps;           /* on the present link */
    unsigned pins;           /* watchers, starts, requests */
    struct list watchers;    /* struct watcher */
    struct timer *look;      /* while acknowledgements wait for a watcher */
    unsigned watcher_count;
    struct stdin_queue input;
};

struct pstream *pstream_new(struct streams *s, const char *pid);
void pstream_free(struct pstream *p); /* no pins; nothing is told to anybody */
void pstream_pin(struct pstream *p);
void pstream_unpin(struct pstream *p);

/* A process that we start under an id that nobody has used: nothing needs to be read. */
void pstream_begin(struct pstream *p);
void pstream_unbegin(struct pstream *p); /* it was not started after all */
/* The agent knows it though the store does not: its frames are asked for from the start. */
void pstream_adopt(struct pstream *p, int64_t os_pid);
/* A frame came. < 0: the agent broke a rule. */
int pstream_frame(struct pstream *p, enum link_kind k, uint64_t cursor, const uint8_t *data, size_t len) must_check;
int pstream_frames_lost(struct pstream *p, uint64_t from, uint64_t to) must_check;
/* No exit will come. */
void pstream_lose(struct pstream *p);

void pstream_link_up(struct pstream *p);
/* Asks the agent for frames behind the last one: it sends them, says that they are lost, or has none. */
void pstream_probe(struct pstream *p);
void pstream_store_up(struct pstream *p);
void pstream_store_down(struct pstream *p);
/* Nothing waits for the store. */
bool pstream_settled(const struct pstream *p);
/* Once a second: acknowledges what is safe, retries. False: nobody needs it any more. */
bool pstream_tick(struct pstream *p);

/* The cursor that the slowest watcher needs next, of those that take output at a decent rate; RETAIN_NO_HOLD without such. */
uint64_t pstream_floor(const struct pstream *p);
struct watcher_view pstream_view(const struct pstream *p);
/* A watcher has taken a page: perhaps what waited for it may go on. */
void pstream_moved(struct pstream *p);
void pstream_watch(struct pstream *p, struct watcher *w);
void pstream_unwatch(struct pstream *p, struct watcher *w);
