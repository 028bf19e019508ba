/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gate - our end of vmhost's gate.sock: routes come in, connected sockets to agents are asked for. Reconnects by itself; while vmhost is
 * away, asked connects wait for it until their deadline. Loop thread only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct gate;
struct gate_msg;
struct loop;
struct op;

struct gate_ops {
    void (*on_up)(void *arg);                              /* a new round of routes begins */
    void (*on_route)(void *arg, const struct gate_msg *m); /* complete by gate_msg_type() */
    void (*on_gone)(void *arg, const struct gate_msg *m);
    void (*on_synced)(void *arg);
    void (*on_down)(void *arg);
};
enum gate_state {
    GATE_STATE_DOWN,    /* waiting to connect again */
    GATE_STATE_HELLO,   /* connected, vmhost's hello is awaited */
    GATE_STATE_SYNCING, /* routes are coming */
    GATE_STATE_SYNCED,
};

struct gate *gate_new(struct loop *l, const char *path, const struct gate_ops *ops, void *arg);
void gate_free(struct gate *g); /* pending connects are dropped without a callback */
enum gate_state gate_state(const struct gate *g);
unsigned gate_pending(const struct gate *g);

/*
 * A connected, non-blocking socket to the agent of a sandbox. r: 0 with a descriptor that is taken; -ENOENT: vmhost knows no such VM;
 * -ECONNREFUSED: it could not connect; -ETIMEDOUT.
 */
typedef void gate_connected_fn(void *arg, int r, int fd);
void gate_connect(struct gate *g, const char *sandbox_id, uint32_t deadline_ms, struct op **slot, gate_connected_fn *done, void *arg);

/* ---- for tests and fuzzing: one packet as it comes from the socket; -EPROTO ends the connection ---- */
int gate_decode(const void *p, size_t len, int (*fn)(void *arg, const struct gate_msg *m, int type), void *arg) must_check;
