/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * session - one process WebSocket: what its client says becomes starts, input and signals; what the process prints goes out.
 * Belongs to itself: lives until its socket has closed. A process never ends because a session does.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

struct http_req;
struct pstream;
struct streams;
struct stream_env;

/* Both consume the request: the socket is accepted, or the refusal answered. The first waits for `start`. */
void session_open(struct http_req *r, struct streams *s);
void session_attach(struct http_req *r, struct streams *s, struct pstream *p, uint64_t since);

/* The gateway goes down: every client is told so that it attaches again. */
void session_drain_all(struct stream_env *env);
void session_cut_all(struct stream_env *env); /* at once; for the end of the worker */
unsigned session_count(const struct stream_env *env);
