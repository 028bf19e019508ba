/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * apikey - the form of API keys (bvk_<id>_<secret>) and host tokens (bvh_<id>_<secret>). The id is
 * public; of the secret only its SHA-256 is kept.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/auth/crypto.h"

enum {
    APIKEY_ID_LEN = 12,
    APIKEY_SECRET_LEN = 40,
    APIKEY_TEXT_SIZE = 4 + APIKEY_ID_LEN + 1 + APIKEY_SECRET_LEN + 1
};
#define APIKEY_PREFIX "bvk"
#define HOST_TOKEN_PREFIX "bvh"

struct apikey {
    char id[APIKEY_ID_LEN + 1];
    uint8_t hash[SHA256_LEN];
};

/* Makes one; text is the only place where the secret stands. */
void apikey_make(const char *prefix, struct apikey *out, char text[APIKEY_TEXT_SIZE]);
/* Reads "bvk_..."; false when it is none. The secret is hashed, not kept. */
bool apikey_parse(const char *prefix, const char *text, struct apikey *out) must_check;
/* Reads an Authorization header's "Bearer <key>" (scheme without case). */
bool apikey_parse_bearer(const char *prefix, const char *header, struct apikey *out) must_check;
/* Constant time. */
bool apikey_hash_equal(const struct apikey *k, const uint8_t hash[SHA256_LEN]);
