/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gate - gate.sock: tells gateways the routes of this host's VMs as they come and go, and hands them sockets that are connected to agents.
 * docs/protocols/gate-link.md. Loop thread only. A NULL gate is fine everywhere: nobody is told.
 */
#include "common/base/attr.h"

struct err;
struct gate;
struct host;
struct vm;

int gate_open(struct gate **out, struct host *h, struct err *e) must_check;
void gate_close(struct gate *g);
void gate_route(struct gate *g, const struct vm *v);                      /* it runs, or its deadline or token changed */
void gate_gone(struct gate *g, const struct vm *v, const char *reason);   /* cut its streams, refuse its tokens */
