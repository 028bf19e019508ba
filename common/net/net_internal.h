/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* net_internal - what the files of this folder share; never included outside. */
#include "common/net/net.h"

/* An address literal of either family; -EINVAL. */
int net_addr_make(struct net_addr *out, const char *host, uint16_t port) must_check;
