/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * heartbeat - POST /internal/v1/heartbeat: a host reports itself and its VMs. The host is who its
 * certificate says (common name) and must show a token that was made for that name. Answered only
 * when what it reported is written down.
 */
#include "common/http/route.h"

extern const struct route heartbeat_routes[];
void heartbeat_register_metrics(void);
