/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* crypto - control's only door to the crypto library: SHA-256 and AES-256-GCM. */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct buf;

enum { SHA256_LEN = 32, AES_KEY_LEN = 32, AES_NONCE_LEN = 12, AES_TAG_LEN = 16 };

void crypto_sha256(const void *p, size_t len, uint8_t out[SHA256_LEN]);

/* Appends nonce (random), ciphertext and tag. aad is authenticated, not stored. -ENOBUFS. */
int crypto_seal(const uint8_t key[AES_KEY_LEN], const void *aad, size_t aad_len, const void *plain,
                size_t len, struct buf *out) must_check;
/* Appends the plain text. -EBADMSG: not what was sealed with this key and aad. */
int crypto_open(const uint8_t key[AES_KEY_LEN], const void *aad, size_t aad_len, const void *box,
                size_t len, struct buf *out) must_check;
