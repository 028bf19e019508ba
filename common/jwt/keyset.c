/* SPDX-License-Identifier: Apache-2.0 */
/* keyset - the public keys of a folder, <kid>.pem each. P-256 only; one bad file refuses the whole folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/jwt/jwt_internal.h"

static bool key_is_p256(const EVP_PKEY *key)
{
    char group[32];

    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 && str_eq(group, "prime256v1");
}

/* No prompt: a key with a passphrase is a mistake in the configuration. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void) out;
    (void) size;
    (void) writing;
    (void) arg;
    return -1;
}

int jwt_private_key_check(const void *pem, size_t len, struct err *e)
{
    BIO *in = len <= JWT_PEM_BYTES_MAX ? BIO_new_mem_buf(pem, (int) len) : NULL;
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
    bool good = key && key_is_p256(key);

    EVP_PKEY_free(key);
    BIO_free(in);
    ERR_clear_error();
    return good ? 0 : err_set(e, -EINVAL, "not a P-256 private key in PEM without a passphrase");
}

/* Reads a public key and writes it out again, so that the JWT library sees only what was checked. */
static bool key_normalise(const void *pem, size_t len, struct jwt_key *out)
{
    BIO *in = BIO_new_mem_buf(pem, (int) len), *text = BIO_new(BIO_s_mem());
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, no_passphrase, NULL) : NULL;
    bool good = key && text && key_is_p256(key) && PEM_write_bio_PUBKEY(text, key) == 1;

    out->pem_len = good ? BIO_read(text, out->pem, sizeof(out->pem) - 1) : 0;
    EVP_PKEY_free(key);
    BIO_free(text);
    BIO_free(in);
    ERR_clear_error();
    if (out->pem_len <= 0)
        return false;
    out->pem[out->pem_len] = '\0';
    return true;
}

static int key_load(struct jwt_key *out, int dir_fd, const char *file, struct err *e)
{
    cleanup(fd_closep) int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char bytes[JWT_PEM_BYTES_MAX];
    size_t kid_len = strlen(file) - strlen(".pem");
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, "key '%s'", file);
    if (!jwt_kid_valid(file, kid_len))
        return err_set(e, -EINVAL, "key '%s': the name is not a key id (A-Z a-z 0-9 . _ -, at most %d characters)", file, JWT_KID_MAX);
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t) sizeof(bytes))
        return err_set(e, -EINVAL, "key '%s': not a file of at most %zu bytes", file, sizeof(bytes));
    if (st.st_mode & S_IWOTH)
        return err_set(e, -EPERM, "key '%s': everyone may write it", file);
    r = fd_read_all(fd, bytes, (size_t) st.st_size);
    if (r < 0)
        return err_set(e, r, "key '%s': %s", file, strerror(-r));
    if (!key_normalise(bytes, (size_t) st.st_size, out))
        return err_set(e, -EINVAL, "key '%s': not a P-256 public key in PEM", file);
    memcpy(out->kid, file, kid_len);
    out->kid[kid_len] = '\0';
    return 0;
}

static int keyset_add_all(struct jwt_keyset *set, DIR *dir, struct err *e)
{
    struct dirent *entry;
    int r;

    while (errno = 0, (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || !str_ends(entry->d_name, ".pem"))
            continue;
        if (set->count == JWT_KEYS_MAX)
            return err_set(e, -E2BIG, "more than %d keys", JWT_KEYS_MAX);
        r = key_load(&set->keys[set->count], dirfd(dir), entry->d_name, e);
        if (r < 0)
            return r;
        set->count++;
    }
    if (errno)
        return err_errno(e, "read folder");
    return set->count ? 0 : err_set(e, -ENOENT, "no <kid>.pem in it");
}

int jwt_keyset_load(struct jwt_keyset *out, const char *dir, struct err *e)
{
    struct jwt_keyset *set;
    DIR *d = opendir(dir); /* close-on-exec in glibc */
    int r;

    if (!d)
        return err_errno(e, "token keys '%s'", dir);
    set = xnew(struct jwt_keyset);
    r = keyset_add_all(set, d, e);
    closedir(d);
    if (r == 0)
        *out = *set;
    free(set);
    return r < 0 ? err_wrap(e, r, "token keys '%s'", dir) : 0;
}

const struct jwt_key *jwt_keyset_find(const struct jwt_keyset *s, const char *kid)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (str_eq(s->keys[i].kid, kid))
            return &s->keys[i];
    }
    return NULL;
}
