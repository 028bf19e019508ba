/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * link_rx - the receiving half of the agent link without its socket: cuts bytes into messages and refuses what an agent may not say.
 * Everything from the agent is hostile: a broken rule ends the link, never the gateway.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"

struct buf;

struct link_rx_ops {
    void (*on_result)(void *arg, uint32_t req, const void *json, size_t len);
    /* pid is NUL-terminated and valid; cursor is odd. Returns < 0 to end the link. */
    int (*on_frame)(void *arg, const char *pid, enum link_kind k, uint64_t cursor, const uint8_t *p, size_t len);
    int (*on_lost)(void *arg, const char *pid, uint64_t from, uint64_t to);
    void (*on_synced)(void *arg);
    void (*on_pong)(void *arg, uint32_t v);
};

/* Handles the complete messages at the front of b and consumes them. `stop` is looked at between messages: non-zero leaves the rest.
 * -EPROTO: the peer broke a rule; or what a callback returned. */
int link_rx_feed(struct buf *b, const struct link_rx_ops *ops, void *arg, const int *stop) must_check;
