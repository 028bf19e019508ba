/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* agent_init - bodies of the agent's own routes: POST /agent/v1/init, /agent/v1/quiesce, /agent/v1/shutdown. JSON. */
#include <stdbool.h>
#include <stdint.h>
#include "common/json/json.h"

struct buf;

enum { AGENT_PORT = 7777, AGENT_TOKEN_LEN = 64, AGENT_ENTROPY_LEN = 64 };
#define AGENT_GUEST_ADDR "169.254.77.2"
#define AGENT_HOST_ADDR "169.254.77.1"

struct agent_init {
    char *token;              /* new bearer token, 64 hex characters; replaces the one that authenticated this call */
    uint64_t generation;
    char *sandbox_id;
    char *hostname;
    char *machine_id;         /* 32 hex characters */
    struct json_bytes entropy; /* "entropy_b64", 64 bytes */
    int64_t time_ns;          /* wall clock of the host, unix */
    struct json_map env;
};
struct agent_init_result {
    bool ok;
    char *agent_version;
    int64_t link_version;
};
extern const struct json_table agent_init_table, agent_init_result_table;
int agent_init_write(struct buf *out, const struct agent_init *m) must_check;
int agent_init_result_write(struct buf *out, const struct agent_init_result *m) must_check;
