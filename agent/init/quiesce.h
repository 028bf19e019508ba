/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * quiesce - before a snapshot: everything written reaches the disk (or two seconds pass), then the users' processes are frozen.
 * They stay so until init: a copy of this machine must not run user code before it has an identity of its own.
 */
#include <stdbool.h>
#include "common/base/attr.h"

struct agent;
struct http_req;
struct quiesce;

struct quiesce *quiesce_new(struct agent *a);
void quiesce_free(struct quiesce *q);
void quiesce_begin(struct quiesce *q, struct http_req *r, bool freeze); /* answers the request */
/* Init comes while it is under way (a snapshot was given up): the request is answered with an error, nothing is thawed here. */
void quiesce_cancel(struct quiesce *q);
