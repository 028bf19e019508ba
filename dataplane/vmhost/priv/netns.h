/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * netns - the network namespace of a slot: persistent (a bind mount in /run/netns, "bvm<instance>-<slot>"), with a tap whose host side
 * is 169.254.77.1/30, the guest as a fixed neighbour, and nftables rules that let in only answers and forward nothing. A namespace
 * serves one VM and is thrown away with it: what else may still hold a socket in it never meets another tenant's guest.
 * Parent only; blocks (a helper process with a deadline does the work inside the namespace).
 */
#include <stdint.h>
#include "common/base/attr.h"

struct err;

#define NETNS_TAP "tap0"
#define NETNS_GUEST_MAC "02:00:00:00:00:02" /* in every snapshot; the guest's neighbour table knows the host side's */

int netns_prepare(struct err *e) must_check; /* once: /run/netns as `ip netns` wants it */
/* Makes it anew (an old one of that name is removed). *ns and *tap are owned by the caller. */
int netns_make(const char *instance, unsigned slot, int *ns, int *tap, struct err *e) must_check;
/* Of a VM that runs: by its name, or, where that mount is gone (a service manager may give each start a mount namespace of its own), by
 * the tap that its QEMU holds. */
int netns_open(const char *instance, unsigned slot, int pidfd, int *ns, struct err *e) must_check;
int netns_remove(const char *instance, unsigned slot) must_check; /* fine if it is gone */
void netns_mark(const char *instance, uint8_t *bits, unsigned slots); /* sets the bits of slots that have one */
/* A TCP socket made in that namespace, non-blocking. own: a descriptor of the namespace to come back to. */
int netns_socket(int ns, int own, int *sock) must_check;
