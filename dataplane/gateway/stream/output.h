/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * output - which frames GET process/:pid/output answers. Frames are fed in order; the selection keeps at most what was asked for.
 * forward: whole events from `since` on, at least one. tail: the last bytes. head_tail: the first and the last bytes; an event at a
 * border is cut there, on a character where that is possible.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"
#include "common/wire/agent_link.h"

struct json_writer;
struct meta;
struct retain;

enum output_mode { OUTPUT_FORWARD, OUTPUT_TAIL, OUTPUT_HEAD_TAIL };
enum { OUTPUT_LIMIT_DEFAULT = 1024 * 1024, OUTPUT_LIMIT_MAX = 8 * 1024 * 1024 };

/* As the query says it; zeros where nothing was said. */
struct output_query {
    enum output_mode mode;
    uint64_t since, limit_bytes, head_bytes, tail_bytes, ratio_num, ratio_den;
    bool has_head, has_tail;
};

struct output {
    struct output_query query;
    uint64_t head_max, tail_max; /* bytes; forward uses head_max alone */
    struct list head, tail;      /* events, owned */
    uint64_t head_bytes, tail_bytes, fed_bytes;
    uint64_t last_cursor;        /* last one that was looked at; 0 = none */
    uint64_t expected;           /* the next cursor if none is missing */
    bool head_full;
    bool missing;                /* frames behind `since` are not kept any more */
};

/* "forward" | "tail" | "head_tail" */
int output_mode_parse(const char *s, enum output_mode *out) must_check;
/* How many bytes the selection may hold. */
uint64_t output_limit(const struct output_query *q);
void output_init(struct output *o, const struct output_query *q);
void output_deinit(struct output *o);
/* Output and other frames in order. Returns false when no further frame can change the selection. */
bool output_feed(struct output *o, uint64_t cursor, enum link_kind k, const void *p, size_t len);
/* Bytes in front of what is fed that the mode does not want (retain_tail_from); the first frame that is fed is `next`. */
void output_skip(struct output *o, uint64_t bytes, uint64_t next);
/* All that is kept up to `last` was fed: what is missing at the end was dropped. */
void output_end(struct output *o, uint64_t last);
/* The whole answer. r: as of the moment of the read. */
void output_write(struct output *o, const char *pid, const struct meta *m, const struct retain *r, struct json_writer *w);
