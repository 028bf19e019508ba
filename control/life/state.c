/* SPDX-License-Identifier: Apache-2.0 */
/* state - see state.h. */
#include "control/life/state.h"
#include <errno.h>
#include "common/base/str.h"

#define TO(s) (1u << STATE_##s)
#define ENDS (TO(FAILED) | TO(DESTROYED))

static const struct {
    const char *name;
    unsigned to; /* where it may go */
    bool leased, ended;
} states[STATES_COUNT] = {
    [STATE_CREATING] = {"creating", TO(READY) | ENDS, true, false},
    [STATE_READY] = {"ready", TO(CHECKPOINTING) | TO(STOPPING) | ENDS, false, false},
    [STATE_CHECKPOINTING] = {"checkpointing", TO(READY) | ENDS, true, false},
    [STATE_RESTORING] = {"restoring", TO(READY) | TO(STOPPED) | ENDS, true, false},
    [STATE_STOPPING] = {"stopping", TO(STOPPED) | TO(READY) | ENDS, true, false},
    [STATE_STOPPED] = {"stopped", TO(RESTORING) | ENDS, false, false},
    [STATE_FAILED] = {"failed", TO(DESTROYED), false, true},
    [STATE_DESTROYED] = {"destroyed", 0, false, true},
};

const char *state_name(enum sandbox_state s)
{
    return states[s].name;
}

int state_parse(const char *name, enum sandbox_state *out)
{
    for (unsigned i = 0; i < STATES_COUNT; i++) {
        if (str_eq(states[i].name, name)) {
            *out = (enum sandbox_state)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool state_may_move(enum sandbox_state from, enum sandbox_state to)
{
    return states[from].to & (1u << to);
}

bool state_leased(enum sandbox_state s)
{
    return states[s].leased;
}

bool state_ended(enum sandbox_state s)
{
    return states[s].ended;
}
