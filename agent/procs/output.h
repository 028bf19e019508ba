/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * output - one output stream of a process (stdout, stderr or pty) on its way into frames.
 * A frame never splits a valid UTF-8 character: up to three bytes that begin one are held back until the rest comes, until the
 * owner's clock runs out (output_flush) or until the stream ends.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"

struct frames;

enum { OUTPUT_HOLD_MS = 50 };

struct output {
    enum link_kind kind;
    uint8_t held[4];
    uint8_t held_len;
    uint64_t bytes; /* read so far */
};

/* Reads once from the non-blocking fd. Bytes > 0, 0 = end of the stream, -EAGAIN, -errno. EIO of a terminal is its end. */
ssize_t output_read(struct output *o, struct frames *f, int fd) must_check;
/* Takes bytes that are already in memory, for tests and fuzzing: the same path behind the read. */
void output_feed(struct output *o, struct frames *f, const uint8_t *p, size_t len);
/* Sends what is held back as it is. */
void output_flush(struct output *o, struct frames *f);
