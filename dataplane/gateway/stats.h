/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* stats - the gateway's metrics, one function for each event. */
#include <stdbool.h>
#include <stdint.h>

void stats_register(void);

void stats_request(int status, uint64_t us);
void stats_process_start(uint64_t us);   /* START to the agent's answer */
void stats_store_append(uint64_t us);    /* a batch to its confirmation */
void stats_frames_stored(unsigned n);
void stats_frames_lost(uint64_t n);
void stats_frames_sent(unsigned n, uint64_t bytes);
void stats_store_refused(void);
void stats_link_broken(void);            /* an agent broke a rule */

/* Levels, set when metrics are asked for. */
struct stats_levels {
    bool redis_up, gate_up;
    unsigned routes, links, streams, sessions, connections;
    uint64_t pending_bytes;
};
void stats_levels(const struct stats_levels *l);
