/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * watcher - one client that watches one process: replay from the store, then live, no seam. Every frame is sent once, by its cursor.
 * A client that takes too little is served from the store again; it never holds frames in memory and never slows anybody.
 * Knows neither sockets nor Redis: its owner gives it pages, live frames and an output.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "common/wire/agent_link.h"

struct buf;
struct meta;

/* What the owner knows of the process at this moment. */
struct watcher_view {
    const char *pid;
    const struct meta *meta;
    uint64_t first;  /* first cursor that the store keeps */
    uint64_t stored; /* last cursor that is stored; 0 = none yet */
};

struct watcher_ops {
    size_t (*send)(void *arg, const void *p, size_t len); /* one message; returns bytes that are queued */
    /* The last call: an error frame if code is given, then the close. */
    void (*end)(void *arg, int close_code, const char *code, const char *message);
    /* Ask for a page of frames from..; it is fed by watcher_page_*(), or watcher_read_failed(); never from inside. */
    void (*read)(void *arg, uint64_t from);
};

enum watcher_state {
    WATCHER_NEW,     /* nothing was sent; the first page decides what `started` says */
    WATCHER_REPLAY,  /* pages from the store */
    WATCHER_LIVE,    /* has everything that is stored */
    WATCHER_ENDED,
};

struct watcher {
    struct list node; /* its owner's */
    struct watcher_ops ops;
    void *arg;
    enum watcher_state state;
    uint64_t next;     /* the next cursor to send */
    size_t queue_max;
    bool truncated;    /* WATCHER_NEW: frames that were wanted are not kept any more */
    bool reading;      /* a page is asked for */
    bool failed;       /* the last read failed: wait for a kick */
    bool congested;
    uint64_t sent_bytes;
    uint64_t looked_bytes; /* sent_bytes at the last look */
    bool paced;            /* takes what it gets at a decent rate: retention and acknowledgements wait for it */
};

enum { WATCHER_PACE_BYTES = 64 * 1024 }; /* between two looks */

void watcher_init(struct watcher *w, uint64_t since, size_t queue_max, const struct watcher_ops *ops, void *arg);
/* Look whether there is something to do: after init, after more was stored, after the store came back. */
void watcher_kick(struct watcher *w, const struct watcher_view *v);
/* One more frame is stored. `text`: its message, made once for all watchers (appended by the first that needs it). */
void watcher_frame(struct watcher *w, const struct watcher_view *v, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len,
                   struct buf *text);
/* Frames up to `to` are lost. */
void watcher_gap(struct watcher *w, uint64_t to);
/* A page of stored frames, in order; then watcher_page_end(): whole, if the page holds all that is kept up to `to`. */
void watcher_page_frame(struct watcher *w, const struct watcher_view *v, uint64_t cursor, enum link_kind k, const uint8_t *p, size_t len,
                        struct buf *scratch);
void watcher_page_end(struct watcher *w, const struct watcher_view *v, uint64_t to, bool whole);
void watcher_read_failed(struct watcher *w);
/* The output's queue has room again. */
void watcher_drain(struct watcher *w, const struct watcher_view *v);
/* Judges the rate since the last look; one that has everything is always decent. */
void watcher_look(struct watcher *w, const struct watcher_view *v);
void watcher_end(struct watcher *w, int close_code, const char *code, const char *message); /* idempotent */
