/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* act - what a client says to a process that runs: input, signals, sizes. With or without a socket that waits for acknowledgements. */
#include "common/base/attr.h"

struct client_frame;
struct pstream;
struct stdin_owner;

/* STDIN, CLOSE_STDIN. owner may be NULL. Nothing happens to a process that has ended. -ENOBUFS: too much is waiting. */
int act_input(struct pstream *p, struct stdin_owner *owner, const struct client_frame *f) must_check;
int act_signal(struct pstream *p, const struct client_frame *f) must_check; /* -ENOTCONN: the agent is out of reach */
void act_resize(struct pstream *p, const struct client_frame *f);
