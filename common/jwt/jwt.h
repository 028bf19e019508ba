/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jwt - ES256 session tokens; the only door to the JWT library. The algorithm and the key are pinned by `kid` before anything is
 * decoded: alg none, HS256 with our public key, unknown kid are refused. iss, aud, sub, exp (and rt) are required and checked here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct err;

enum { JWT_E_OK, JWT_E_MALFORMED, JWT_E_ALGORITHM, JWT_E_KEY, JWT_E_SIGNATURE, JWT_E_EXPIRED, JWT_E_CLAIMS };

struct session_claims {
    char sandbox_id[24];
    char route_token[44];
    char team[24];
    char scope[64];
    char jti[40];
    int64_t issued_at; /* unix seconds */
    int64_t expires_at;
};

/* ---- control: sign ---- */
struct jwt_signer;
int jwt_signer_load(struct jwt_signer **out, const char *kid, const char *private_key_file, struct err *e) must_check;
int jwt_sign_session(struct jwt_signer *s, const struct session_claims *c, char **token /* owned by caller */) must_check;
void jwt_signer_free(struct jwt_signer *s);

/* ---- gateway: verify ---- */
struct jwt_verifier;
/* Reads <dir>/<kid>.pem (public keys, P-256 only). At least one. jwt_verifier_reload() reads again; a failure keeps the old set. */
int jwt_verifier_load(struct jwt_verifier **out, const char *dir, struct err *e) must_check;
int jwt_verifier_reload(struct jwt_verifier *v, struct err *e) must_check;
/* 0 or JWT_E_*. Verified tokens are cached by their SHA-256 until exp (bounded, LRU). now: unix seconds; 30 s of leeway for iat only. */
int jwt_verify_session(struct jwt_verifier *v, const char *token, size_t len, int64_t now, struct session_claims *out) must_check;
const char *jwt_outcome_text(int outcome);
void jwt_verifier_free(struct jwt_verifier *v);
