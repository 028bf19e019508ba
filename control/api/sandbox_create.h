/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sandbox_create - the handler of POST /v1/sandboxes. */
struct route_call;

void sandbox_create(struct route_call *c);
