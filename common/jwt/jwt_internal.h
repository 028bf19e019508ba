/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* jwt_internal - what the files of this folder share; never included outside. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/jwt/jwt.h"

#define JWT_ISSUER "bivouac"
#define JWT_AUDIENCE "dataplane"

enum {
    JWT_KID_MAX = 64,
    JWT_KEYS_MAX = 8,
    JWT_PEM_BYTES_MAX = 4096, /* a P-256 key has a few hundred */
    JWT_TOKEN_BYTES_MAX = 4096,
    JWT_CACHE_ENTRIES = 4096, /* about 2 MiB when full */
    JWT_DIGEST_LEN = 32,
    JWT_IAT_LEEWAY_S = 30,
};

bool jwt_kid_valid(const char *kid, size_t len); /* A-Za-z0-9._- , 1..JWT_KID_MAX, no dot first */

/* ---- claims.c ---- */
/* Forms and lengths of all claims but the times against a clock; for both sides. */
bool jwt_claims_valid(const struct session_claims *c);
/* Decodes a payload that has been verified. JWT_E_OK, JWT_E_CLAIMS. */
int jwt_claims_decode(const void *json, size_t len, struct session_claims *out) must_check;
/* The times: JWT_E_OK, JWT_E_EXPIRED, JWT_E_CLAIMS (issued in the future). */
int jwt_claims_check_time(const struct session_claims *c, int64_t now) must_check;

/* ---- token.c: the compact form, taken apart before any key is touched ---- */
struct jwt_token {
    const char *text; /* borrowed, NUL-terminated, base64url characters and two dots only */
    size_t payload_at, payload_len; /* in text; still encoded */
    char kid[JWT_KID_MAX + 1];
};
/* JWT_E_OK, JWT_E_MALFORMED, JWT_E_ALGORITHM, JWT_E_KEY (no kid). */
int jwt_token_parse(struct jwt_token *out, const char *text, size_t len) must_check;

/* ---- keyset.c ---- */
struct jwt_key {
    char kid[JWT_KID_MAX + 1];
    char pem[JWT_PEM_BYTES_MAX]; /* as our library wrote it after checking the key */
    int pem_len;
};
struct jwt_keyset {
    struct jwt_key keys[JWT_KEYS_MAX];
    unsigned count;
};
int jwt_keyset_load(struct jwt_keyset *out, const char *dir, struct err *e) must_check;
const struct jwt_key *jwt_keyset_find(const struct jwt_keyset *s, const char *kid);
/* A P-256 private key in PEM; 0 or -EINVAL with text. */
int jwt_private_key_check(const void *pem, size_t len, struct err *e) must_check;

/* ---- cache.c: verified tokens by digest, least recently used ones go first ---- */
struct jwt_cache;
struct jwt_cache *jwt_cache_new(unsigned entries_max);
const struct session_claims *jwt_cache_find(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN]);
void jwt_cache_put(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN], const struct session_claims *claims);
void jwt_cache_drop(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN]);
void jwt_cache_clear(struct jwt_cache *c); /* wipes all */
unsigned jwt_cache_count(const struct jwt_cache *c);
void jwt_cache_free(struct jwt_cache *c);
