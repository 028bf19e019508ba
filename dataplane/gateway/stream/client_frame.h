/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * client_frame - what a client says on a process WebSocket: one JSON object a text message. Members may be null; unknown members are
 * ignored. Large stdin messages are decoded without building a tree.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/json/json.h"
#include "common/wire/agent_link.h"

struct arena;
struct err;

enum client_frame_type {
    CLIENT_START,
    CLIENT_STDIN,
    CLIENT_CLOSE_STDIN,
    CLIENT_SIGNAL,
    CLIENT_RESIZE,
    CLIENT_PING,
};

struct client_frame {
    enum client_frame_type type;
    struct link_start start;  /* START; id may be NULL */
    struct json_bytes data;   /* STDIN, arena */
    int64_t signal;           /* SIGNAL: 1..64 */
    int64_t cols, rows;       /* RESIZE: 1..1000 */
};

/* -EINVAL with a text that names the member. Everything in *out lives in the arena. */
int client_frame_decode(const void *p, size_t len, struct arena *a, struct client_frame *out, struct err *e) must_check;
/* "SIGTERM", "term" or "15"; 1..64 or -EINVAL. */
int signal_parse(const char *s, int64_t *out) must_check;
/* `[A-Za-z0-9._:-]{1,128}` */
bool process_id_valid(const char *s);
