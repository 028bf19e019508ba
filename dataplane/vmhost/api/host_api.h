/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* host_api - control's door: mTLS HTTP, docs/protocols/host-api.md; and the admin listener with /health and /metrics. */
#include "common/base/attr.h"

struct err;
struct host;
struct host_api;

int host_api_open(struct host_api **out, struct host *h, struct err *e) must_check;
void host_api_close(struct host_api *a); /* NULL is fine */
