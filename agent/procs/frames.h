/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * frames - the numbered output of one process, kept until the gateway has it and a while longer.
 *
 * Frames lie in chunks in the form in which they go over the link, one behind the other, so that sending is a writev of whole runs.
 * A chunk is freed when all its frames are acknowledged and it is old, or when room is needed; a reader that stands in it pins it.
 * Memory is counted by what is allocated, per process here and for all of them in struct frames_budget.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "common/wire/agent_link.h"

enum {
    FRAMES_BYTES_MAX = 16 * MIB,  /* of one process; acknowledged chunks go first, then its pipes are not read */
    FRAMES_CHUNK_MAX = 256 * KIB,
    FRAMES_CHUNK_MIN = 4 * KIB,
    FRAMES_JSON_MAX = LINK_MESSAGE_MAX - 256, /* of a `started` or `exit` frame */
    FRAMES_KEEP_MS = 3000,        /* after the acknowledgement: the store behind the gateway may lose its last seconds */
};

struct frames_budget {
    size_t bytes;     /* allocated by all logs */
    size_t bytes_max; /* beyond it every log has a fair share only */
    struct list spare; /* full-size chunks for the next use */
    unsigned spare_count;
};
void frames_budget_init(struct frames_budget *b, size_t bytes_max);
void frames_budget_deinit(struct frames_budget *b);

struct frame_chunk {
    struct list node; /* in frames.chunks; not linked when dropped */
    unsigned refs;    /* the log and each reader */
    size_t cap, len;
    uint64_t first, last; /* cursors */
    uint64_t acked_ms;    /* when all of it had been acknowledged; 0 = not yet */
    struct frames_budget *budget; /* NULL once dropped: then it is not counted any more */
    uint8_t data[];
};

struct frames {
    struct frames_budget *budget; /* borrowed: lives longer */
    struct list chunks;
    size_t bytes;
    uint64_t next;   /* cursor of the next frame: 1, 3, 5 ... */
    uint64_t acked;  /* all frames up to here are acknowledged; 0 = none */
    uint8_t pid_len;
    char pid[LINK_PID_MAX];
};

void frames_init(struct frames *f, struct frames_budget *b, const char *pid);
void frames_deinit(struct frames *f);

/*
 * Room for the data of one frame, at least 1 and at most LINK_DATA_MAX bytes; frames_commit() makes it a frame.
 * `want` is a hint of how much there is. Never fails: limits are the caller's (frames_full).
 */
uint8_t *frames_reserve(struct frames *f, size_t want, size_t *room) must_check;
void frames_commit(struct frames *f, enum link_kind kind, size_t len);
void frames_append(struct frames *f, enum link_kind kind, const void *p, size_t len);

uint64_t frames_last(const struct frames *f);  /* the newest cursor; 0 = none */
uint64_t frames_first(const struct frames *f); /* the oldest that is kept; frames.next when nothing is */
/* Whether the source must wait. Drops what is acknowledged to make room first. `active`: how many logs share the budget. */
bool frames_full(struct frames *f, unsigned active);
/* Forward only. false: the cursor was never given out, or is not one. */
bool frames_ack(struct frames *f, uint64_t cursor, uint64_t now_ms) must_check;
/* Frees acknowledged chunks older than FRAMES_KEEP_MS; true if any acknowledged chunk is left. */
bool frames_trim(struct frames *f, uint64_t now_ms);
/* Frees acknowledged chunks, oldest first, until at least `bytes` are free; returns how much it was. */
size_t frames_drop_acked(struct frames *f, size_t bytes);

/* ---- a reader: one link's place in one log ---- */
struct frames_reader {
    struct frame_chunk *chunk; /* ref, while there is something to read in it; else looked up by `next` */
    size_t off;                /* a frame's begin */
    size_t skip;               /* bytes of that frame that are sent */
    uint64_t next;             /* cursor of that frame */
    uint64_t hint_first;       /* the chunk that was read to its end: its first cursor and how long it was then; 0 = none */
    size_t hint_off;
};
enum { FRAMES_E_OK, FRAMES_E_NONE, FRAMES_E_LOST };
void frames_reader_init(struct frames_reader *r, uint64_t next);
void frames_reader_deinit(struct frames_reader *r);
/*
 * The run of whole frames that comes next (minus what of the first is sent), as far as it lies together.
 * FRAMES_E_LOST: frames r->next .. *lost_to are gone; the reader stands behind them.
 */
int frames_read(const struct frames *f, struct frames_reader *r, const uint8_t **p, size_t *len, uint64_t *lost_to) must_check;
/* The rest of the frame that is under way (skip > 0). */
size_t frames_rest(const struct frames_reader *r);
void frames_advance(struct frames_reader *r, size_t bytes); /* of what frames_read() gave */
