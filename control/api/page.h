/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * page - next_token: where a list goes on and with which filters, opaque to clients. It needs no
 * secret: which teams a caller may see is decided by the key of the request that brings it.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/json/json.h"

struct arena;

enum {
    PAGE_LIMIT_MAX = 100,
    PAGE_LIMIT_DEFAULT = 20,
    PAGE_FILTERS_MAX = 32,
    PAGE_TOKEN_MAX = 8192
};

struct page {          /* of the sandbox list */
    int64_t before_id; /* older ones only */
    int64_t limit;
    char *team;                 /* slug; NULL: all of the key's */
    struct json_strings states; /* as asked for, aliases included */
    struct json_map metadata;
};

/* base64url of a JSON object; NULL beyond PAGE_TOKEN_MAX or the arena. */
char *page_encode(const struct page *p, struct arena *a) must_check;
/* -EINVAL: not one of ours. */
int page_decode(const char *token, struct arena *a, struct page *out) must_check;
