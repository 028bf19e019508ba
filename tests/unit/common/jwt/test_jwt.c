/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt - session tokens: what we sign is accepted, and everything a hostile client can make of it is refused (hazard 28). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/jwt/jwt.h"
#include "tests/unit/common/jwt/test_token.h"

#define NOW INT64_C(1800000000)
#define ROUTE "abcdefghij0123456789wxyz"
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define PAYLOAD                                                                                    \
    "{\"iss\":\"bivouac\",\"aud\":\"dataplane\",\"sub\":\"42\",\"rt\":\"" ROUTE "\",\"team\":\"7\",\"scope\":\"sandbox\"," \
    "\"jti\":\"j-1\",\"iat\":1799999000,\"exp\":1800003600}"

static struct token_dir dir, public_dir;
static struct token_key *key, *stranger;
static struct jwt_signer *signer;
static struct jwt_verifier *verifier;

static const struct session_claims good = {
    .sandbox_id = "42",
    .route_token = ROUTE,
    .team = "7",
    .scope = "sandbox",
    .jti = "j-1",
    .issued_at = NOW - 1000,
    .expires_at = NOW + 3600,
};

static int setup(void **state)
{
    struct err e = ERR_INIT;

    (void) state;
    token_dir_new(&dir);
    token_dir_new(&public_dir);
    key = token_key_new("P-256");
    stranger = token_key_new("P-256");
    token_key_write_private(key, token_path(&dir, "k1.key"));
    token_key_write_public(key, token_path(&public_dir, "k1.pem"));
    if (jwt_signer_load(&signer, "k1", token_path(&dir, "k1.key"), &e) < 0 || jwt_verifier_load(&verifier, public_dir.path, &e) < 0)
        fail_msg("%s", e.text);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    jwt_signer_free(signer);
    jwt_verifier_free(verifier);
    token_key_free(key);
    token_key_free(stranger);
    token_dir_free(&dir);
    token_dir_free(&public_dir);
    return 0;
}

static int verify_at(const char *token, int64_t now)
{
    struct session_claims c;

    return jwt_verify_session(verifier, token, strlen(token), now, &c);
}

/* Takes the token. */
static void refuse(char *token, int outcome)
{
    /* Twice: a refusal must not be remembered as something else. */
    assert_int_equal(verify_at(token, NOW), outcome);
    assert_int_equal(verify_at(token, NOW), outcome);
    free(token);
}

static void what_we_sign_we_accept(void **state)
{
    struct session_claims c;
    char *token;

    (void) state;
    assert_int_equal(jwt_sign_session(signer, &good, &token), 0);
    for (int i = 0; i < 2; i++) { /* then from the cache */
        memset(&c, 0xff, sizeof(c));
        assert_int_equal(jwt_verify_session(verifier, token, strlen(token), NOW, &c), JWT_E_OK);
        assert_string_equal(c.sandbox_id, good.sandbox_id);
        assert_string_equal(c.route_token, good.route_token);
        assert_string_equal(c.team, good.team);
        assert_string_equal(c.scope, good.scope);
        assert_string_equal(c.jti, good.jti);
        assert_int_equal(c.issued_at, good.issued_at);
        assert_int_equal(c.expires_at, good.expires_at);
    }
    free(token);
}

static void every_signature_verifies_also_with_leading_zeros(void **state)
{
    struct session_claims c = good;
    char *token;

    (void) state;
    for (int i = 0; i < 600; i++) { /* one in 128 has a short number */
        snprintf(c.jti, sizeof(c.jti), "n%d", i);
        assert_int_equal(jwt_sign_session(signer, &c, &token), 0);
        assert_int_equal(verify_at(token, NOW), JWT_E_OK);
        free(token);
    }
}

static void tokens_made_by_others_with_our_key_are_accepted(void **state)
{
    char *token = token_es256(key, HEADER, PAYLOAD);

    (void) state;
    assert_int_equal(verify_at(token, NOW), JWT_E_OK);
    free(token);
    token = token_es256(key, "{\"kid\":\"k1\",\"alg\":\"ES256\"}", PAYLOAD);
    assert_int_equal(verify_at(token, NOW), JWT_E_OK);
    free(token);
}

static void the_signer_refuses_claims_that_a_gateway_would_refuse(void **state)
{
    struct session_claims c;
    char *token = NULL;

    (void) state;
#define BAD(change)                                                                                \
    do {                                                                                           \
        c = good;                                                                                  \
        change;                                                                                    \
        assert_int_equal(jwt_sign_session(signer, &c, &token), -EINVAL);                           \
        assert_null(token);                                                                        \
    } while (0)
    BAD(strcpy(c.sandbox_id, ""));
    BAD(strcpy(c.sandbox_id, "0"));
    BAD(strcpy(c.sandbox_id, "042"));
    BAD(strcpy(c.sandbox_id, "4x"));
    BAD(strcpy(c.route_token, "short"));
    BAD(c.route_token[3] = '-');
    BAD(c.route_token[0] = '1');
    BAD(strcpy(c.team, ""));
    BAD(strcpy(c.team, "a b"));
    BAD(strcpy(c.scope, ""));
    BAD(strcpy(c.scope, "a\nb"));
    BAD(strcpy(c.jti, ""));
    BAD(c.issued_at = 0);
    BAD(c.expires_at = c.issued_at);
#undef BAD
}

/* ---- hazard 28: algorithms and keys ---- */

static void hz28_alg_none_is_refused(void **state)
{
    static const char *const names[] = {"none", "None", "NONE", "nOnE"};
    char header[100];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k1\"}", names[i]);
        refuse(token_raw(header, PAYLOAD, "", 0), JWT_E_ALGORITHM);
        refuse(token_es256(key, header, PAYLOAD), JWT_E_ALGORITHM);
    }
}

static void hz28_hs256_signed_with_our_public_key_is_refused(void **state)
{
    struct buf pem = BUF_INIT(0);

    (void) state;
    assert_int_equal(file_read(token_path(&public_dir, "k1.pem"), 4096, &pem, NULL), 0);
    refuse(token_hs256(buf_data(&pem), pem.len, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}", PAYLOAD), JWT_E_ALGORITHM);
    refuse(token_hs256(buf_data(&pem), pem.len - 1, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", PAYLOAD), JWT_E_ALGORITHM);
    refuse(token_hs256(buf_data(&pem), pem.len, HEADER, PAYLOAD), JWT_E_SIGNATURE);
    refuse(token_hs256("", 0, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", PAYLOAD), JWT_E_ALGORITHM);
    buf_deinit(&pem);
}

static void hz28_other_algorithms_are_refused(void **state)
{
    static const char *const names[] = {"ES384", "ES512", "RS256", "PS256", "EdDSA", "es256", "ES256 ", "", "ES256K", "HS512"};
    char header[100];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k1\"}", names[i]);
        refuse(token_es256(key, header, PAYLOAD), JWT_E_ALGORITHM);
    }
}

static void hz28_unknown_and_strange_key_ids_are_refused(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"ES256\",\"kid\":\"k2\"}",
        "{\"alg\":\"ES256\",\"kid\":\"K1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"../public/k1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"/etc/passwd\"}",
        "{\"alg\":\"ES256\",\"kid\":\"\"}",
        "{\"alg\":\"ES256\",\"kid\":1}",
        "{\"alg\":\"ES256\",\"kid\":null}",
        "{\"alg\":\"ES256\",\"kid\":[\"k1\"]}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\\u0000\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1.pem\"}",
        "{\"alg\":\"ES256\",\"kid\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        "{\"alg\":\"ES256\"}",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        refuse(token_es256(key, headers[i], PAYLOAD), JWT_E_KEY);
}

static void hz28_keys_inside_the_token_are_refused(void **state)
{
    static const char *const members[] = {
        "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\"}", "\"jku\":\"https://example.org/k\"", "\"x5c\":[\"AA\"]",
        "\"x5u\":\"https://example.org/k\"",          "\"crit\":[\"exp\"]",                "\"b64\":false",
        "\"zip\":\"DEF\"",                            "\"typ\":\"at+jwt\"",                "\"typ\":1",
        "\"alg\":\"ES256\"",
    };
    char header[200];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"k1\",%s}", members[i]);
        refuse(token_es256(key, header, PAYLOAD), JWT_E_MALFORMED);
    }
}

static void hz28_another_key_under_our_id_is_refused(void **state)
{
    (void) state;
    refuse(token_es256(stranger, HEADER, PAYLOAD), JWT_E_SIGNATURE);
}

/* ---- hazard 28: signatures ---- */

static void hz28_every_changed_character_is_noticed(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *token = token_es256(key, HEADER, PAYLOAD);
    size_t len = strlen(token);

    (void) state;
    for (size_t i = 0; i < len; i++) {
        char was = token[i];

        if (was == '.')
            continue;
        token[i] = alphabet[((size_t) (strchr(alphabet, was) - alphabet) + 1) % 64];
        assert_int_not_equal(verify_at(token, NOW), JWT_E_OK);
        token[i] = was;
    }
    assert_int_equal(verify_at(token, NOW), JWT_E_OK);
    free(token);
}

static void hz28_signatures_of_other_forms_are_refused(void **state)
{
    unsigned char bytes[132] = {0};

    (void) state;
    refuse(token_es256_der(key, HEADER, PAYLOAD), JWT_E_SIGNATURE);
    refuse(token_raw(HEADER, PAYLOAD, "", 0), JWT_E_SIGNATURE);
    refuse(token_raw(HEADER, PAYLOAD, bytes, 64), JWT_E_SIGNATURE); /* r = s = 0 */
    refuse(token_raw(HEADER, PAYLOAD, bytes, 63), JWT_E_SIGNATURE);
    refuse(token_raw(HEADER, PAYLOAD, bytes, 65), JWT_E_SIGNATURE);
    refuse(token_raw(HEADER, PAYLOAD, bytes, 132), JWT_E_SIGNATURE);
    memset(bytes, 0xff, sizeof(bytes));
    refuse(token_raw(HEADER, PAYLOAD, bytes, 64), JWT_E_SIGNATURE);
    memset(bytes, 0, sizeof(bytes));
    bytes[31] = bytes[63] = 1;
    refuse(token_raw(HEADER, PAYLOAD, bytes, 64), JWT_E_SIGNATURE);
}

static void hz28_a_signature_moved_to_another_payload_is_refused(void **state)
{
    char *a = token_es256(key, HEADER, PAYLOAD);
    char *b = token_raw(HEADER, "{\"iss\":\"bivouac\",\"aud\":\"dataplane\",\"sub\":\"43\"}", "", 0);
    char *mixed = malloc(strlen(a) + strlen(b) + 1);

    (void) state;
    sprintf(mixed, "%s%s", b, strrchr(a, '.') + 1);
    refuse(mixed, JWT_E_SIGNATURE);
    free(a);
    free(b);
}

/* ---- hazard 28: time ---- */

static void hz28_expired_tokens_are_refused_also_from_the_cache(void **state)
{
    char *token = token_es256(key, HEADER, PAYLOAD);

    (void) state;
    assert_int_equal(verify_at(token, 1800003599), JWT_E_OK);
    assert_int_equal(verify_at(token, 1800003600), JWT_E_EXPIRED); /* cached */
    assert_int_equal(verify_at(token, 1800003600), JWT_E_EXPIRED); /* dropped */
    assert_int_equal(verify_at(token, INT64_MAX), JWT_E_EXPIRED);
    free(token);
}

static void hz28_tokens_from_the_future_are_refused(void **state)
{
    char *token = token_es256(key, HEADER, PAYLOAD);

    (void) state;
    assert_int_equal(verify_at(token, 1799999000 - 31), JWT_E_CLAIMS);
    assert_int_equal(verify_at(token, 1799999000 - 30), JWT_E_OK);
    assert_int_equal(verify_at(token, 1799999000 - 31), JWT_E_CLAIMS); /* also from the cache */
    free(token);
}

/* ---- hazard 28: claims ---- */

static void hz28_wrong_or_missing_claims_are_refused(void **state)
{
    static const char *const changes[][2] = {
        {"\"bivouac\"", "\"bivouac2\""},
        {"\"bivouac\"", "\"Bivouac\""},
        {"\"bivouac\"", "1"},
        {"\"iss\"", "\"isS\""},
        {"\"dataplane\"", "\"control\""},
        {"\"dataplane\"", "[\"dataplane\"]"},
        {"\"aud\"", "\"audi\""},
        {"\"sub\":\"42\"", "\"sub\":42"},
        {"\"sub\":\"42\"", "\"sub\":\"\""},
        {"\"sub\":\"42\"", "\"sub\":\"-42\""},
        {"\"sub\":\"42\"", "\"sub\":\"042\""},
        {"\"sub\":\"42\"", "\"sub\":\"99999999999999999999\""},
        {"\"sub\":\"42\"", "\"sub\":\"42\",\"sub\":\"43\""},
        {"\"sub\":\"42\",", ""},
        {"\"rt\"", "\"rT\""},
        {ROUTE, "abc"},
        {ROUTE, "ABCDEFGHIJ0123456789WXYZ"},
        {ROUTE, "abcdefghij0123456789abcdefghij0123456789abcdefghij"},
        {"\"team\":\"7\",", ""},
        {"\"scope\":\"sandbox\",", ""},
        {"\"jti\":\"j-1\",", ""},
        {"\"iat\":1799999000,", ""},
        {"1799999000", "\"1799999000\""},
        {"1799999000", "1799999000.5"},
        {"1799999000", "0"},
        {",\"exp\":1800003600", ""},
        {"1800003600", "\"1800003600\""},
        {"1800003600", "null"},
        {"1800003600", "1e12"},
        {"1800003600", "-1"},
        {"1800003600", "1799998000"}, /* before iat */
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        char payload[1024];
        const char *at = strstr(PAYLOAD, changes[i][0]);

        assert_non_null(at);
        snprintf(payload, sizeof(payload), "%.*s%s%s", (int) (at - PAYLOAD), PAYLOAD, changes[i][1], at + strlen(changes[i][0]));
        refuse(token_es256(key, HEADER, payload), JWT_E_CLAIMS);
    }
    refuse(token_es256(key, HEADER, "{}"), JWT_E_CLAIMS);
}

static void hz28_payloads_that_no_parser_takes_are_refused(void **state)
{
    static const char *const payloads[] = {"null", "[]", "[" PAYLOAD "]", "\"a\"", "7", "{", "\xff", "{}{}", PAYLOAD "x", " ",
                                           "{\"sub\":\"42\\u0000\"}", "{\"exp\":99999999999999999999999}"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
        char *token = token_es256(key, HEADER, payloads[i]);
        int r = verify_at(token, NOW);

        /* The JWT library refuses some of them itself, and does not tell that from a bad signature. */
        assert_true(r == JWT_E_CLAIMS || r == JWT_E_SIGNATURE);
        free(token);
    }
}

static void unknown_claims_are_ignored(void **state)
{
    char payload[1024], *token;

    (void) state;
    snprintf(payload, sizeof(payload), "{\"new\":{\"a\":[1]},%s", PAYLOAD + 1);
    token = token_es256(key, HEADER, payload);
    assert_int_equal(verify_at(token, NOW), JWT_E_OK);
    free(token);
}

/* ---- forms ---- */

static void hz28_malformed_tokens_are_refused(void **state)
{
    static const char *const tokens[] = {
        "",  ".",  "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "e30.e30.", "bnVsbA.e30.AAAA", "e30=.e30.AAAA",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0..AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        " eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA", "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AA+A", "Bearer e30.e30.AAAA",
    };
    struct session_claims c;
    char *token, *longer;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        assert_int_equal(verify_at(tokens[i], NOW), JWT_E_MALFORMED);
    token = token_es256(key, HEADER, PAYLOAD);
    longer = malloc(strlen(token) + 8);
    sprintf(longer, "%s.", token);
    assert_int_equal(verify_at(longer, NOW), JWT_E_MALFORMED);
    sprintf(longer, "%s\n", token);
    assert_int_equal(verify_at(longer, NOW), JWT_E_MALFORMED);
    sprintf(longer, "%s=", token);
    assert_int_equal(verify_at(longer, NOW), JWT_E_MALFORMED);
    assert_int_equal(jwt_verify_session(verifier, token, strlen(token) + 1, NOW, &c), JWT_E_MALFORMED); /* with its NUL */
    assert_int_equal(jwt_verify_session(verifier, token, strlen(token) - 1, NOW, &c), JWT_E_SIGNATURE);
    assert_int_equal(jwt_verify_session(verifier, "", 0, NOW, &c), JWT_E_MALFORMED);
    free(longer);
    free(token);
}

static void hz28_huge_tokens_are_refused_early(void **state)
{
    static char payload[20000], huge[1 << 20];

    (void) state;
    memset(payload, ' ', sizeof(payload) - 1);
    refuse(token_es256(key, HEADER, payload), JWT_E_MALFORMED);
    memset(huge, 'A', sizeof(huge) - 1);
    assert_int_equal(verify_at(huge, NOW), JWT_E_MALFORMED);
    memset(huge, '.', sizeof(huge) - 1);
    assert_int_equal(verify_at(huge, NOW), JWT_E_MALFORMED);
}

static void every_outcome_has_words(void **state)
{
    (void) state;
    for (int i = -1; i < 20; i++)
        assert_true(strlen(jwt_outcome_text(i)) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_sign_we_accept),
        cmocka_unit_test(every_signature_verifies_also_with_leading_zeros),
        cmocka_unit_test(tokens_made_by_others_with_our_key_are_accepted),
        cmocka_unit_test(the_signer_refuses_claims_that_a_gateway_would_refuse),
        cmocka_unit_test(hz28_alg_none_is_refused),
        cmocka_unit_test(hz28_hs256_signed_with_our_public_key_is_refused),
        cmocka_unit_test(hz28_other_algorithms_are_refused),
        cmocka_unit_test(hz28_unknown_and_strange_key_ids_are_refused),
        cmocka_unit_test(hz28_keys_inside_the_token_are_refused),
        cmocka_unit_test(hz28_another_key_under_our_id_is_refused),
        cmocka_unit_test(hz28_every_changed_character_is_noticed),
        cmocka_unit_test(hz28_signatures_of_other_forms_are_refused),
        cmocka_unit_test(hz28_a_signature_moved_to_another_payload_is_refused),
        cmocka_unit_test(hz28_expired_tokens_are_refused_also_from_the_cache),
        cmocka_unit_test(hz28_tokens_from_the_future_are_refused),
        cmocka_unit_test(hz28_wrong_or_missing_claims_are_refused),
        cmocka_unit_test(hz28_payloads_that_no_parser_takes_are_refused),
        cmocka_unit_test(unknown_claims_are_ignored),
        cmocka_unit_test(hz28_malformed_tokens_are_refused),
        cmocka_unit_test(hz28_huge_tokens_are_refused_early),
        cmocka_unit_test(every_outcome_has_words),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
