/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/jwt/test_token.h"
#include <dirent.h>
#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/base/str.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "test_token: %s failed (line %d)\n", #x, __LINE__);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct token_key {
    EVP_PKEY *pkey;
};

void token_dir_new(struct token_dir *d)
{
    strcpy(d->path, "/tmp/biv-test-jwt-XXXXXX");
    CHECK(mkdtemp(d->path));
}

const char *token_path(const struct token_dir *d, const char *file)
{
    static char paths[8][400];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", d->path, file);
    return path;
}

void token_dir_free(const struct token_dir *d)
{
    struct dirent *entry;
    DIR *dir = opendir(d->path);

    CHECK(dir);
    while ((entry = readdir(dir)))
        (void) unlink(token_path(d, entry->d_name)); /* . and .. refuse */
    closedir(dir);
    CHECK(rmdir(d->path) == 0);
}

struct token_key *token_key_new(const char *kind)
{
    struct token_key *k = xnew(struct token_key);

    if (str_eq(kind, "RSA"))
        k->pkey = EVP_RSA_gen(2048);
    else if (str_eq(kind, "ED25519"))
        k->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        k->pkey = EVP_EC_gen(kind);
    CHECK(k->pkey);
    return k;
}

void token_key_free(struct token_key *k)
{
    EVP_PKEY_free(k->pkey);
    free(k);
}

static FILE *create(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    FILE *f;

    CHECK(fd >= 0);
    CHECK(f = fdopen(fd, "w"));
    return f;
}

void token_key_write_public(const struct token_key *k, const char *path)
{
    FILE *f = create(path, 0644);

    CHECK(PEM_write_PUBKEY(f, k->pkey) == 1 && fclose(f) == 0);
}

void token_key_write_private(const struct token_key *k, const char *path)
{
    FILE *f = create(path, 0600);

    CHECK(PEM_write_PrivateKey(f, k->pkey, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
}

static char *signing_input(const char *header, const char *payload)
{
    size_t h = strlen(header), p = strlen(payload);
    char *text = xmalloc(base64_encoded_len(h) + base64_encoded_len(p) + 200);

    base64url_encode(header, h, text);
    strcat(text, ".");
    base64url_encode(payload, p, text + strlen(text));
    return text;
}

static char *with_signature(char *text, const void *signature, size_t len)
{
    text = xrealloc(text, strlen(text) + base64_encoded_len(len) + 2);
    strcat(text, ".");
    base64url_encode(signature, len, text + strlen(text));
    return text;
}

char *token_raw(const char *header, const char *payload, const void *signature, size_t signature_len)
{
    return with_signature(signing_input(header, payload), signature, signature_len);
}

static size_t sign_der(const struct token_key *k, const char *text, unsigned char *der, size_t room)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = room;

    CHECK(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1);
    CHECK(EVP_DigestSign(ctx, der, &len, (const unsigned char *) text, strlen(text)) == 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

char *token_es256_der(const struct token_key *k, const char *header, const char *payload)
{
    char *text = signing_input(header, payload);
    unsigned char der[256];

    return with_signature(text, der, sign_der(k, text, der, sizeof(der)));
}

char *token_es256(const struct token_key *k, const char *header, const char *payload)
{
    char *text = signing_input(header, payload);
    unsigned char der[256], flat[64];
    const unsigned char *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long) sign_der(k, text, der, sizeof(der)));

    CHECK(sig);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(sig), flat, 32) == 32);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(sig), flat + 32, 32) == 32);
    ECDSA_SIG_free(sig);
    return with_signature(text, flat, sizeof(flat));
}

char *token_hs256(const void *secret, size_t secret_len, const char *header, const char *payload)
{
    char *text = signing_input(header, payload);
    unsigned char mac[32];
    unsigned len = sizeof(mac);

    CHECK(HMAC(EVP_sha256(), secret, (int) secret_len, (const unsigned char *) text, strlen(text), mac, &len));
    return with_signature(text, mac, len);
}
