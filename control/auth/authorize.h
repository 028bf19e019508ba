/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * authorize - who calls the public API: an API key as "Authorization: Bearer bvk_.." or
 * "X-API-Key", looked up for every request, so that a revoked key is dead at once on every replica.
 * Leaves a struct principal in route_call.who.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "control/auth/apikey.h"
#include "control/db/keys.h"

struct route_call;

struct principal { /* request's arena */
    char key_id[APIKEY_ID_LEN + 1];
    char actor[APIKEY_ID_LEN + 8]; /* "key:<id>" */
    struct key_row key;
    const int64_t *team_ids; /* of key.teams */
};

/* The router's hook. */
void authorize_call(struct route_call *c);
/* The team of that slug (NULL: the one that creates take); NULL: none that the key may use. */
const struct key_team *principal_team(const struct principal *p, const char *slug);
