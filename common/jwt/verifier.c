/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verifier - session tokens as the gateway meets them: form, pinned algorithm and key, signature, claims, times; then the cache.
 * The signature covers the bytes whose claims we decode ourselves: the library's coercing getters are not used.
 */
#include <errno.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/jwt/jwt_internal.h"

struct jwt_verifier {
    char *dir;
    struct jwt_keyset keys;
    struct jwt_cache *cache; /* owned */
};

int jwt_verifier_load(struct jwt_verifier **out, const char *dir, struct err *e)
{
    struct jwt_verifier *v = xnew(struct jwt_verifier);
    int r;

    v->dir = xstrdup(dir);
    v->cache = jwt_cache_new(JWT_CACHE_ENTRIES);
    r = jwt_keyset_load(&v->keys, dir, e);
    if (r < 0) {
        jwt_verifier_free(v);
        return r;
    }
    *out = v;
    return 0;
}

int jwt_verifier_reload(struct jwt_verifier *v, struct err *e)
{
    int r = jwt_keyset_load(&v->keys, v->dir, e); /* written on success only */

    if (r == 0)
        jwt_cache_clear(v->cache); /* a key that was taken away takes its tokens with it */
    return r;
}

static int signature_check(const struct jwt_key *key, const char *text)
{
    jwt_t *jwt = NULL;
    int r = jwt_decode(&jwt, text, (const unsigned char *) key->pem, key->pem_len);

    if (r == ENOMEM)
        return -ENOMEM;
    if (r != 0 || !jwt)
        return JWT_E_SIGNATURE;
    r = jwt_get_alg(jwt) == JWT_ALG_ES256 ? JWT_E_OK : JWT_E_ALGORITHM;
    jwt_free(jwt);
    return r;
}

/* `text` is NUL-terminated. */
static int token_verify(const struct jwt_verifier *v, const char *text, size_t len, struct session_claims *out)
{
    unsigned char payload[JWT_TOKEN_BYTES_MAX];
    const struct jwt_key *key;
    struct jwt_token token;
    ssize_t n;
    int r = jwt_token_parse(&token, text, len);

    if (r != JWT_E_OK)
        return r;
    key = jwt_keyset_find(&v->keys, token.kid);
    if (!key)
        return JWT_E_KEY;
    n = base64url_decode(text + token.payload_at, token.payload_len, payload);
    if (n < 0)
        return JWT_E_MALFORMED;
    r = signature_check(key, text);
    if (r == JWT_E_OK)
        r = jwt_claims_decode(payload, (size_t) n, out);
    mem_wipe(payload, (size_t) n);
    return r;
}

int jwt_verify_session(struct jwt_verifier *v, const char *token, size_t len, int64_t now, struct session_claims *out)
{
    uint8_t digest[JWT_DIGEST_LEN];
    char text[JWT_TOKEN_BYTES_MAX + 1];
    const struct session_claims *known;
    struct session_claims claims;
    int r;

    if (len > JWT_TOKEN_BYTES_MAX)
        return JWT_E_MALFORMED;
    if (EVP_Digest(token, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    known = jwt_cache_find(v->cache, digest);
    if (known) {
        r = jwt_claims_check_time(known, now);
        if (r == JWT_E_OK)
            *out = *known;
        else if (r == JWT_E_EXPIRED)
            jwt_cache_drop(v->cache, digest);
        return r;
    }
    memcpy(text, token, len);
    text[len] = '\0';
    r = token_verify(v, text, len, &claims);
    mem_wipe(text, len);
    if (r == JWT_E_OK)
        r = jwt_claims_check_time(&claims, now);
    if (r == JWT_E_OK) {
        jwt_cache_put(v->cache, digest, &claims);
        *out = claims;
    }
    return r;
}

void jwt_verifier_free(struct jwt_verifier *v)
{
    if (!v)
        return;
    jwt_cache_free(v->cache);
    free(v->dir);
    free(v);
}
