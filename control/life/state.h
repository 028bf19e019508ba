/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* state - the states of a sandbox and the moves between them. The same table stands in migrations
 * (sandbox_moves); a test compares them. */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

enum sandbox_state {
    STATE_CREATING,      /* inserted, its host is starting it; leased */
    STATE_READY,         /* usable */
    STATE_CHECKPOINTING, /* stopped for a moment; leased */
    STATE_RESTORING,     /* coming back from disk; leased */
    STATE_STOPPING,      /* being written to disk; leased */
    STATE_STOPPED,       /* on disk, uses no vCPU and memory */
    STATE_FAILED,        /* ended by an accident; final but for destroyed */
    STATE_DESTROYED,     /* ended; final */
    STATES_COUNT,
};

const char *state_name(enum sandbox_state s);
int state_parse(const char *name, enum sandbox_state *out) must_check; /* -EINVAL */
bool state_may_move(enum sandbox_state from, enum sandbox_state to);
bool state_leased(
    enum sandbox_state s); /* transitional: somebody works on it until its lease ends */
bool state_ended(enum sandbox_state s);
