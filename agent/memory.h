/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* memory - how much of the machine's memory the agent may use for output that waits for the gateway, and what users must leave to it. */
#include <stdint.h>

uint64_t memory_frames_budget(void); /* a sixteenth of the memory, 16..256 MiB */
uint64_t memory_reserve(void);       /* the budget and what the agent and its helpers need otherwise */
