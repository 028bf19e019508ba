/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* init - the host's own routes: init, quiesce, health, shutdown. docs/protocols/agent-api.md */
#include "common/http/route.h"

/* Bits of struct route.scope */
enum { AGENT_SCOPE_INIT = 1 /* a token that was replaced by the last init is accepted, if the body repeats that init */ };

extern const struct route init_routes[];
