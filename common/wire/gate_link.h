/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* gate_link - messages on gate.sock between gateway and vmhost: one JSON object a SEQPACKET packet. docs/architecture.md section 5. */
#include <stdint.h>
#include "common/json/json.h"

struct buf;

enum { GATE_PACKET_MAX = 64 * 1024, GATE_VERSION = 1 };
enum gate_type { GATE_HELLO, GATE_ROUTE, GATE_SYNCED, GATE_GONE, GATE_CONNECT, GATE_CONNECTED };

struct gate_msg {
    char *t;             /* "hello" "route" "synced" "gone" "connect" "connected" */
    int64_t v;           /* hello */
    char *host;          /* hello from vmhost */
    char *id, *rt;       /* route, gone; connect: id */
    uint64_t generation;
    char *state;         /* route: "running" | "paused" */
    char *agent_token;   /* route */
    char *team;
    int64_t deadline_ms; /* route: unix ms */
    char *reason;        /* gone */
    uint64_t req;        /* connect, connected */
    char *error, *message; /* connected */
};
extern const struct json_table gate_msg_table;
int gate_msg_type(const struct gate_msg *m, enum gate_type *out) must_check; /* -EINVAL: unknown, or members missing for its type */
int gate_msg_write(struct buf *out, const struct gate_msg *m) must_check;    /* members that are NULL/0 are left out */
