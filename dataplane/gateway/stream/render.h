/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * render - frames as the text messages that clients of the process WebSocket read. The output path writes JSON from prepared parts:
 * a pid needs no escapes by its alphabet, base64 neither.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_link.h"

struct buf;
struct meta;

const char *render_kind_text(enum link_kind k); /* "stdout" ... */
/* As the store keeps it: one letter. */
char render_kind_letter(enum link_kind k);
int render_kind_from_letter(char c, enum link_kind *out) must_check;

/* Each appends one whole message to out; -ENOBUFS when its limit is reached. */
int render_started(struct buf *out, const char *pid, const struct meta *m, bool truncated) must_check;
int render_output(struct buf *out, const char *pid, enum link_kind k, uint64_t cursor, const void *p, size_t len) must_check;
int render_exit(struct buf *out, const char *pid, uint64_t cursor, const struct meta *m) must_check;
int render_error(struct buf *out, const char *pid /* may be NULL */, const char *code, const char *message) must_check;
int render_ack(struct buf *out, const char *type, const char *pid /* may be NULL */) must_check;
