/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_jwt - any bytes as a token and as a payload whose signature was right. The folder keys/ holds one public key; its private half was
 * thrown away after it signed corpus/jwt/good, so no other accepted token can be found: every acceptance is checked against that one.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/jwt/jwt_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jwt_verifier *verifier(void)
{
    static struct jwt_verifier *v;

    if (!v && jwt_verifier_load(&v, FUZZ_KEYS_DIR, NULL) < 0)
        abort();
    return v;
}

static void check_token(const uint8_t *data, size_t size)
{
    struct session_claims c;
    char *text = xstrndup((const char *) data, size);
    struct jwt_token token;
    int r;

    if (strlen(text) == size && jwt_token_parse(&token, text, size) == JWT_E_OK) {
        assert(jwt_kid_valid(token.kid, strlen(token.kid)));
        assert(token.payload_at + token.payload_len < size);
    }
    for (int i = 0; i < 2; i++) {
        r = jwt_verify_session(verifier(), (const char *) data, size, 1800000000, &c);
        assert(r >= 0);
        if (r == JWT_E_OK)
            assert(strcmp(c.sandbox_id, "42") == 0 && strcmp(c.jti, "fuzz-1") == 0 && jwt_claims_valid(&c));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_claims c;

    check_token(data, size);
    if (jwt_claims_decode(data, size, &c) == JWT_E_OK)
        assert(jwt_claims_valid(&c));
    return 0;
}
