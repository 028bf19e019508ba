/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/net/test_ca.h"
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct test_ca {
    char dir[64];
    EVP_PKEY *key;
    X509 *cert;
    long serial;
};

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "test_ca: %s failed (line %d)\n", #x, __LINE__);                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

const char *test_ca_path(const struct test_ca *ca, const char *file)
{
    static char paths[8][400];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", ca->dir, file);
    return path;
}

static void write_pem(const struct test_ca *ca, const char *name, X509 *cert, EVP_PKEY *key)
{
    char file[80];
    FILE *f;

    snprintf(file, sizeof(file), "%s.pem", name);
    CHECK(f = fopen(test_ca_path(ca, file), "we"));
    CHECK(PEM_write_X509(f, cert));
    CHECK(fclose(f) == 0);
    if (!key)
        return;
    snprintf(file, sizeof(file), "%s.key", name);
    CHECK(f = fdopen(open(test_ca_path(ca, file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "w"));
    CHECK(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    CHECK(fclose(f) == 0);
}

static void add_cn(X509_NAME *name, const char *cn)
{
    if (cn)
        CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) cn, -1, -1, 0));
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    CHECK(ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value));
    CHECK(X509_add_ext(cert, ext, -1));
    X509_EXTENSION_free(ext);
}

static X509 *cert_new(struct test_ca *ca, EVP_PKEY *key, const struct test_cert *c)
{
    X509 *cert = X509_new();

    CHECK(cert && X509_set_version(cert, 2));
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), ++ca->serial));
    CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), -7200));
    CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), c->expired ? -3600 : 86400));
    CHECK(X509_set_pubkey(cert, key));
    add_cn(X509_get_subject_name(cert), c->cn);
    add_cn(X509_get_subject_name(cert), c->second_cn);
    CHECK(X509_set_issuer_name(cert, X509_get_subject_name(ca->cert ? ca->cert : cert)));
    if (c->san)
        add_extension(cert, ca->cert, NID_subject_alt_name, c->san);
    return cert;
}

struct test_ca *test_ca_new(void)
{
    struct test_ca *ca = calloc(1, sizeof(*ca));
    struct test_cert self = {.cn = "test ca"};

    CHECK(ca);
    strcpy(ca->dir, "/tmp/biv-test-ca-XXXXXX");
    CHECK(mkdtemp(ca->dir));
    CHECK(ca->key = EVP_EC_gen("P-256"));
    ca->cert = cert_new(ca, ca->key, &self);
    add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE");
    CHECK(X509_sign(ca->cert, ca->key, EVP_sha256()));
    write_pem(ca, "ca", ca->cert, NULL);
    return ca;
}

void test_ca_issue(struct test_ca *ca, const struct test_cert *c)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert;

    CHECK(key);
    cert = cert_new(ca, key, c);
    CHECK(X509_sign(cert, ca->key, EVP_sha256()));
    write_pem(ca, c->name, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void test_ca_free(struct test_ca *ca)
{
    struct dirent *entry;
    DIR *dir = opendir(ca->dir);

    CHECK(dir);
    while ((entry = readdir(dir)))
        (void) unlink(test_ca_path(ca, entry->d_name)); /* . and .. refuse */
    closedir(dir);
    CHECK(rmdir(ca->dir) == 0);
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca);
}
