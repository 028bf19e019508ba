/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token - header . payload . signature (RFC 7515 compact form). Everything that decides which key and which algorithm is used is read here,
 * strictly, before the JWT library sees the token. A header may hold alg, kid and typ and nothing else: no crit, jwk, jku, x5c.
 */
#include <string.h>
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/jwt/jwt_internal.h"

enum { HEADER_BYTES_MAX = 256, SIGNATURE_BYTES = 64, SIGNATURE_CHARS = 86 };

bool jwt_kid_valid(const char *kid, size_t len)
{
    if (len < 1 || len > JWT_KID_MAX || kid[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = kid[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool is_base64url(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Finds the two dots; every other character is of the alphabet. */
static bool token_split(const char *text, size_t len, size_t dots[2])
{
    unsigned count = 0;

    for (size_t i = 0; i < len; i++) {
        if (is_base64url(text[i]))
            continue;
        if (text[i] != '.' || count == 2)
            return false;
        dots[count++] = i;
    }
    return count == 2;
}

static int header_check(const struct json *header, struct jwt_token *out)
{
    struct json_iter it = JSON_ITER_INIT;
    const struct json *value;
    const char *name, *text;
    const char *alg = json_str(json_get(header, "alg")), *kid = json_str(json_get(header, "kid"));

    if (json_type(header) != JSON_OBJECT || !alg)
        return JWT_E_MALFORMED;
    if (!str_eq(alg, "ES256"))
        return JWT_E_ALGORITHM;
    while (json_next(header, &it, &name, &value)) {
        text = json_str(value);
        if (str_eq(name, "typ") ? !str_eq_nocase(text, "JWT") : !str_eq(name, "alg") && !str_eq(name, "kid"))
            return JWT_E_MALFORMED;
    }
    if (!kid || !jwt_kid_valid(kid, strlen(kid)) || !str_copy(out->kid, sizeof(out->kid), kid))
        return JWT_E_KEY;
    return JWT_E_OK;
}

static int header_parse(const char *text, size_t len, struct jwt_token *out)
{
    unsigned char bytes[HEADER_BYTES_MAX / 4 * 3 + 3];
    struct json_doc *doc;
    ssize_t n;
    int r;

    if (len > HEADER_BYTES_MAX)
        return JWT_E_MALFORMED;
    n = base64url_decode(text, len, bytes);
    if (n < 0 || json_parse(&doc, bytes, (size_t) n, NULL) < 0)
        return JWT_E_MALFORMED;
    r = header_check(json_root(doc), out);
    json_doc_free(doc);
    return r;
}

/* One text for one signature: the JWT library would pass over bits that belong to no byte. */
static bool signature_is_canonical(const char *text, size_t len)
{
    unsigned char bytes[SIGNATURE_BYTES + 2];

    return len == SIGNATURE_CHARS && base64url_decode(text, len, bytes) == SIGNATURE_BYTES;
}

int jwt_token_parse(struct jwt_token *out, const char *text, size_t len)
{
    size_t dots[2];
    int r;

    if (len > JWT_TOKEN_BYTES_MAX || !token_split(text, len, dots))
        return JWT_E_MALFORMED;
    out->text = text;
    out->payload_at = dots[0] + 1;
    out->payload_len = dots[1] - out->payload_at;
    r = header_parse(text, dots[0], out);
    if (r != JWT_E_OK)
        return r;
    if (out->payload_len == 0)
        return JWT_E_MALFORMED;
    return signature_is_canonical(text + dots[1] + 1, len - dots[1] - 1) ? JWT_E_OK : JWT_E_SIGNATURE;
}
