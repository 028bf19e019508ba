/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* api - the agent's HTTP side: who may connect, who may ask, which routes there are. */
#include <stdint.h>
#include "common/base/attr.h"

struct agent;
struct err;

/* listen: "address:port"; port 0 picks one. a->peer must be set. */
int api_open(struct agent *a, const char *listen, struct err *e) must_check;
uint16_t api_port(const struct agent *a);
void api_close(struct agent *a);
