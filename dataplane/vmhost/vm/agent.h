/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * agent - the host's few calls to the agent inside a guest: health, quiesce, init, shutdown. The answers are hostile: short deadlines,
 * small limits, nothing in them decides anything but whether the call worked.
 */
#include <stdint.h>
#include "common/base/attr.h"

struct agent;
struct agent_init;
struct host;
struct op;

/* token: in force now, 64 hex characters; copied, wiped when freed. */
int agent_new(struct agent **out, struct host *h, unsigned slot, const char *token) must_check;
void agent_free(struct agent *a); /* NULL is fine; calls under way are dropped */
void agent_set_token(struct agent *a, const char *token);

/* r: 0, or -errno with the reason in text (borrowed). -EACCES: the token was refused; -EPROTO: another refusal or nonsense. */
typedef void agent_done_fn(void *arg, int r, const char *text);
int agent_health(struct agent *a, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg) must_check;
int agent_quiesce(struct agent *a, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg) must_check; /* syncs and freezes */
int agent_send_init(struct agent *a, const struct agent_init *m, uint32_t deadline_ms, struct op **op_slot, agent_done_fn *done, void *arg) must_check;
