/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * heartbeat - tells control what this host has, every heartbeat_ms and at once when a VM ends by itself. Control away changes nothing on the
 * host: it is tried on, with growing pauses, and what ended meanwhile is told until control has acknowledged it.
 */
#include "common/base/attr.h"

struct err;
struct heartbeat;
struct host;

int heartbeat_open(struct heartbeat **out, struct host *h, struct err *e) must_check; /* *out = NULL when no control is configured */
void heartbeat_close(struct heartbeat *b); /* NULL is fine */
void heartbeat_now(struct heartbeat *b);   /* NULL is fine */
