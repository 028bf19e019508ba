/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * list_query - the query of GET /v1/sandboxes: team, limit, next_token, query[metadata][k]=v,
 * query[state][]=s. A next_token brings the filters it was made with; then only limit is read
 * besides.
 */
#include <stddef.h>
#include "common/base/attr.h"
#include "control/api/page.h"
#include "control/life/state.h"

struct arena;
struct http_req;

enum { LIST_OK, LIST_E_LIMIT, LIST_E_TOKEN, LIST_E_STATE, LIST_E_FILTERS, LIST_E_ESCAPES };
int list_query_read(const struct http_req *r, struct arena *a, struct page *out) must_check;
/* The states that the filter names, aliases resolved; NULL: none named (all that live). -EINVAL: an
 * unknown one. */
int list_query_states(const struct json_strings *asked, const char *out[STATES_COUNT],
                      size_t *count) must_check;
/* One member of the query, as the reader above sees it; for tests. */
int list_query_member(struct page *p, struct arena *a, const char *key,
                      const char *value) must_check;
