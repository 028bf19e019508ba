/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* guest_socket - a TCP connection to a port of the guest: the parent makes the socket in the slot's namespace, the child connects it. */
#include <stdint.h>
#include "common/base/attr.h"

struct host;
struct op;

/* fd: connected, non-blocking, owned by the callee when r == 0; else r is -errno (-ETIMEDOUT, -ECONNREFUSED ...). */
typedef void guest_socket_fn(void *arg, int r, int fd);
int guest_socket_open(struct host *h, unsigned slot, uint16_t port, uint32_t deadline_ms, struct op **op_slot, guest_socket_fn *done,
                      void *arg) must_check;
