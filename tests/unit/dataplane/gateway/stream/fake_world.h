/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_world - stands where Redis and the agent link stand, so that process streams run without sockets: a store that answers when it is
 * told to, may go, and may forget its last appends; a link whose other end keeps frames as the agent does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/wire/agent_link.h"

struct loop;
struct streams;

struct fake_frame {
    uint64_t cursor;
    enum link_kind kind;
    size_t len;
    uint8_t data[64];
};

/* ---- the store ---- */
void fake_store_reset(void);
void fake_store_answer(unsigned count);      /* that many commands, oldest first */
unsigned fake_store_pending(void);
void fake_store_down(struct streams *s);     /* pending commands fail; whether they took effect is open */
void fake_store_up(struct streams *s, unsigned forget); /* without its last `forget` appends */
void fake_store_refuse(unsigned count);      /* the next appends are refused */
uint64_t fake_store_last(void);
size_t fake_store_count(void);               /* frames that are kept */
const struct fake_frame *fake_store_frame(size_t i);
bool fake_store_lost(void);
/* How many appends may be forgotten so that nothing above `cursor` is affected... below it. */
unsigned fake_store_appends_above(uint64_t cursor);

/* ---- the link and the agent behind it: one process, "p1" ---- */
void fake_link_reset(void);
void fake_link_up(struct streams *s);        /* begins at the first unacknowledged frame */
void fake_link_down(struct streams *s);
bool fake_link_is_up(void);
bool fake_link_paused(void);
int fake_link_deliver(struct streams *s, unsigned count); /* so many frames; what the callback returned */
int fake_link_say(struct streams *s, const void *p, size_t len); /* raw bytes through the real decoder */
void fake_agent_print(enum link_kind k, const void *p, size_t len);
uint64_t fake_agent_acked(void);
uint64_t fake_agent_last(void);
void fake_agent_forget(uint64_t to);         /* frames up to there are not kept */
unsigned fake_agent_resends(void);
