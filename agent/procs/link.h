/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * link - the connections over which gateways start processes and receive frames (common/wire/agent_link.h).
 * Each link has its own place in each process' frames; what one acknowledges counts for all. A link that breaks a rule is cut.
 */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

struct http_req;
struct links;
struct loop;
struct procs;

enum { LINKS_MAX = 64 };

int links_new(struct links **out, struct loop *l, struct procs *procs) must_check;
/* Answers the request: 101 and a link, or an error. */
void links_accept(struct links *s, struct http_req *r);
void links_cut_all(struct links *s); /* they were authenticated by a token that is not valid any more */
unsigned links_count(const struct links *s);
void links_free(struct links *s);
