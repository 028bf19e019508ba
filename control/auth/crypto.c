/* SPDX-License-Identifier: Apache-2.0 */
/* crypto - see crypto.h. Failures of the library itself (no memory, no such cipher) abort: there is
 * nothing to go on with. */
#include "control/auth/crypto.h"
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/buf.h"
#include "common/base/id.h"

static void crypto_need(int ok, const char *what)
{
    if (ok == 1)
        return;
    fprintf(stderr, "the crypto library failed: %s\n", what);
    abort();
}

void crypto_sha256(const void *p, size_t len, uint8_t out[SHA256_LEN])
{
    unsigned n = SHA256_LEN;

    crypto_need(EVP_Digest(p, len, out, &n, EVP_sha256(), NULL), "SHA-256");
}

int crypto_seal(const uint8_t key[AES_KEY_LEN], const void *aad, size_t aad_len, const void *plain,
                size_t len, struct buf *out)
{
    if (len > INT_MAX / 2 || aad_len > INT_MAX / 2)
        return -ENOBUFS;
    uint8_t *box = buf_reserve(out, AES_NONCE_LEN + len + AES_TAG_LEN);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;

    if (!box) {
        EVP_CIPHER_CTX_free(c);
        return -ENOBUFS;
    }
    crypto_need(c != NULL, "cipher context");
    random_bytes(box, AES_NONCE_LEN);
    crypto_need(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, box), "AES-256-GCM");
    crypto_need(EVP_EncryptUpdate(c, NULL, &n, aad, (int)aad_len), "AES-256-GCM associated data");
    crypto_need(EVP_EncryptUpdate(c, box + AES_NONCE_LEN, &n, plain, (int)len),
                "AES-256-GCM encrypt");
    crypto_need(EVP_EncryptFinal_ex(c, box + AES_NONCE_LEN + len, &n), "AES-256-GCM end");
    crypto_need(
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, AES_TAG_LEN, box + AES_NONCE_LEN + len),
        "AES-256-GCM tag");
    EVP_CIPHER_CTX_free(c);
    buf_commit(out, AES_NONCE_LEN + len + AES_TAG_LEN);
    return 0;
}

int crypto_open(const uint8_t key[AES_KEY_LEN], const void *aad, size_t aad_len, const void *box,
                size_t len, struct buf *out)
{
    const uint8_t *p = box;
    uint8_t none;
    int n, ok;

    if (len < AES_NONCE_LEN + AES_TAG_LEN || len > INT_MAX / 2 || aad_len > INT_MAX / 2)
        return -EBADMSG;
    size_t plain_len = len - AES_NONCE_LEN - AES_TAG_LEN;
    uint8_t *plain = plain_len ? buf_reserve(out, plain_len) : &none;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    if (!plain) {
        EVP_CIPHER_CTX_free(c);
        return -ENOBUFS;
    }
    crypto_need(c != NULL, "cipher context");
    crypto_need(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, p), "AES-256-GCM");
    crypto_need(EVP_DecryptUpdate(c, NULL, &n, aad, (int)aad_len), "AES-256-GCM associated data");
    crypto_need(EVP_DecryptUpdate(c, plain, &n, p + AES_NONCE_LEN, (int)plain_len),
                "AES-256-GCM decrypt");
    crypto_need(
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, AES_TAG_LEN, (void *)(p + len - AES_TAG_LEN)),
        "AES-256-GCM tag");
    ok = EVP_DecryptFinal_ex(c, plain + plain_len, &n);
    EVP_CIPHER_CTX_free(c);
    if (ok != 1)
        return -EBADMSG; /* what was written beyond out's length is not valid and is overwritten by
                            the next append */
    if (plain_len)
        buf_commit(out, plain_len);
    return 0;
}
