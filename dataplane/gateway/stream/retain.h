/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * retain - accounting of what is kept of one process' output: totals, and marks that cut the stream into segments of similar cost.
 * Marks tell where to trim, where a replay page ends, and where the last N bytes begin. Two accountants that are fed the same frames
 * hold the same state, so several gateway workers may keep it for one process.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"

struct buf;

enum { RETAIN_FRAME_COST = 16, RETAIN_MARKS_MAX = 512, RETAIN_SEGMENT_MIN = 64 * 1024, RETAIN_HOLD_MAX = 24 * 1024 * 1024 };

#define RETAIN_NO_HOLD UINT64_MAX

struct retain_mark {
    uint64_t last;  /* last cursor of the segment */
    uint64_t bytes; /* output bytes in it */
    uint64_t cost;  /* bytes plus the store's own cost */
};

struct retain {
    uint64_t limit;                  /* cost that is kept */
    uint64_t hold;                   /* frames from here on are kept beyond the limit, by RETAIN_HOLD_MAX at most */
    uint64_t first;                  /* first cursor that is kept; 1 while nothing was trimmed */
    uint64_t last;                   /* last cursor that was counted; 0 = none */
    uint64_t stdout_bytes, stderr_bytes, pty_bytes; /* ever seen */
    uint64_t open_bytes, open_cost;  /* of the segment that is not closed yet */
    struct retain_mark *marks;       /* owned; closed segments that are kept, oldest first */
    size_t mark_count, mark_cap;
};

void retain_init(struct retain *r, uint64_t limit);
void retain_deinit(struct retain *r);
void retain_copy(struct retain *to, const struct retain *from); /* to: deinit'ed or zero */
/* Counts one frame. Returns 1 when marks or first changed, else 0. */
int retain_add(struct retain *r, uint64_t cursor, enum link_kind kind, size_t len);
/* Frames up to `to` are gone and will never come. */
void retain_skip(struct retain *r, uint64_t to);
/* Everything up to the last cursor was dropped. */
void retain_drop_all(struct retain *r);

uint64_t retain_total(const struct retain *r);
uint64_t retain_kept(const struct retain *r);      /* output bytes that are kept */
uint64_t retain_kept_cost(const struct retain *r);
uint64_t retain_bytes_from(const struct retain *r, uint64_t cursor); /* output bytes from about there on */
void retain_trim(struct retain *r); /* to the limit, as hold allows; retain_add() does it by itself */
/* Last cursor of the segment that holds `cursor`: the end of a page that begins there. */
uint64_t retain_page_end(const struct retain *r, uint64_t cursor);
/* First cursor of the latest segment such that at least `bytes` output bytes lie from there on; *before = kept bytes in front of it. */
uint64_t retain_tail_from(const struct retain *r, uint64_t bytes, uint64_t *before);

/* "first last stdout stderr pty open_bytes open_cost" and "last:bytes:cost ..." */
int retain_write_totals(const struct retain *r, struct buf *out) must_check;
int retain_write_marks(const struct retain *r, struct buf *out) must_check;
/* Both come from the store; -EINVAL when they make no sense. r is initialised with its limit. */
int retain_read(struct retain *r, const char *totals, size_t totals_len, const char *marks, size_t marks_len) must_check;
