/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cursor - frame numbers of one process: 1, 3, 5 ... A client that resumes says the last cursor it has seen, or that plus one;
 * "cursor > since" gives both the same answer because even numbers are never used (docs/adr/0002-odd-cursors.md).
 */
#include <stdbool.h>
#include <stdint.h>

#define CURSOR_STARTED UINT64_C(1)
#define CURSOR_MAX ((UINT64_C(1) << 53) - 1) /* exact in JSON, Lua and JavaScript numbers */

static inline bool cursor_valid(uint64_t c)
{
    return (c & 1) && c <= CURSOR_MAX;
}

/* The first cursor above since. */
static inline uint64_t cursor_after(uint64_t since)
{
    return since + 1 + (since & 1);
}

/* The first frame that is replayed to a client that says since: `started` (1) is told apart and always. */
static inline uint64_t cursor_replay_from(uint64_t since)
{
    uint64_t c = cursor_after(since);

    return c <= CURSOR_STARTED ? CURSOR_STARTED + 2 : c;
}
