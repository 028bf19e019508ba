/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_token - makes keys and tokens by hand, good and bad ones, without the library under test. Aborts when it cannot. */
#include <stdbool.h>
#include <stddef.h>

struct token_key; /* an EC or RSA key pair */

struct token_dir {
    char path[64]; /* private keys are in <path>/<name>.key, public ones where the test puts them */
};

void token_dir_new(struct token_dir *d);
void token_dir_free(const struct token_dir *d);
/* <path>/<file>; valid until the next call but seven. */
const char *token_path(const struct token_dir *d, const char *file);

struct token_key *token_key_new(const char *kind); /* "P-256", "P-384", "RSA", "ED25519" */
void token_key_free(struct token_key *k);
void token_key_write_public(const struct token_key *k, const char *path);
void token_key_write_private(const struct token_key *k, const char *path);

/* base64url(header).base64url(payload).base64url(signature); owned by the caller. */
char *token_es256(const struct token_key *k, const char *header, const char *payload);
char *token_hs256(const void *secret, size_t secret_len, const char *header, const char *payload);
char *token_raw(const char *header, const char *payload, const void *signature, size_t signature_len);
/* The same with the signature in DER, which is wrong in a JWT. */
char *token_es256_der(const struct token_key *k, const char *header, const char *payload);
