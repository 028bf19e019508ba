/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt_keys - key folders, rotation, and keys that are not accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/jwt/jwt.h"
#include "tests/unit/common/jwt/test_token.h"

#define NOW INT64_C(1800000000)

static const struct session_claims good = {
    .sandbox_id = "42",
    .route_token = "abcdefghij0123456789wxyz",
    .team = "7",
    .scope = "sandbox",
    .jti = "j-1",
    .issued_at = NOW,
    .expires_at = NOW + 3600,
};

struct fixture {
    struct token_dir dir, keys;
    struct token_key *old_key, *new_key;
    struct jwt_signer *old_signer, *new_signer;
    struct jwt_verifier *verifier;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    token_dir_new(&f->dir);
    token_dir_new(&f->keys);
    f->old_key = token_key_new("P-256");
    f->new_key = token_key_new("P-256");
    token_key_write_private(f->old_key, token_path(&f->dir, "old.key"));
    token_key_write_private(f->new_key, token_path(&f->dir, "new.key"));
    token_key_write_public(f->old_key, token_path(&f->keys, "old.pem"));
    assert_int_equal(jwt_signer_load(&f->old_signer, "old", token_path(&f->dir, "old.key"), NULL), 0);
    assert_int_equal(jwt_signer_load(&f->new_signer, "new", token_path(&f->dir, "new.key"), NULL), 0);
    assert_int_equal(jwt_verifier_load(&f->verifier, f->keys.path, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    jwt_signer_free(f->old_signer);
    jwt_signer_free(f->new_signer);
    jwt_verifier_free(f->verifier);
    token_key_free(f->old_key);
    token_key_free(f->new_key);
    token_dir_free(&f->dir);
    token_dir_free(&f->keys);
    free(f);
    return 0;
}

static int verify(struct fixture *f, const char *token)
{
    struct session_claims c;

    return jwt_verify_session(f->verifier, token, strlen(token), NOW, &c);
}

static void rotation_takes_two_keys_at_a_time(void **state)
{
    struct fixture *f = *state;
    char *old, *new;

    assert_int_equal(jwt_sign_session(f->old_signer, &good, &old), 0);
    assert_int_equal(jwt_sign_session(f->new_signer, &good, &new), 0);
    assert_int_equal(verify(f, old), JWT_E_OK);
    assert_int_equal(verify(f, new), JWT_E_KEY);
    token_key_write_public(f->new_key, token_path(&f->keys, "new.pem"));
    assert_int_equal(verify(f, new), JWT_E_KEY); /* until it is told */
    assert_int_equal(jwt_verifier_reload(f->verifier, NULL), 0);
    assert_int_equal(verify(f, old), JWT_E_OK);
    assert_int_equal(verify(f, new), JWT_E_OK);
    assert_int_equal(unlink(token_path(&f->keys, "old.pem")), 0);
    assert_int_equal(jwt_verifier_reload(f->verifier, NULL), 0);
    assert_int_equal(verify(f, old), JWT_E_KEY); /* it was in the cache */
    assert_int_equal(verify(f, new), JWT_E_OK);
    free(old);
    free(new);
}

static void swapped_keys_are_not_mixed_up(void **state)
{
    struct fixture *f = *state;
    char *token;

    assert_int_equal(jwt_sign_session(f->old_signer, &good, &token), 0);
    assert_int_equal(verify(f, token), JWT_E_OK);
    token_key_write_public(f->new_key, token_path(&f->keys, "old.pem"));
    assert_int_equal(jwt_verifier_reload(f->verifier, NULL), 0);
    assert_int_equal(verify(f, token), JWT_E_SIGNATURE);
    free(token);
}

/* Reloading with this file beside the good one fails with these words and changes nothing. */
static void refuse_file(struct fixture *f, const char *file, const char *words)
{
    struct err e = ERR_INIT;
    char *token;

    assert_true(jwt_verifier_reload(f->verifier, &e) < 0);
    if (!strstr(e.text, words))
        fail_msg("'%s' is not in: %s", words, e.text);
    assert_non_null(strstr(e.text, f->keys.path));
    assert_int_equal(jwt_sign_session(f->old_signer, &good, &token), 0);
    assert_int_equal(verify(f, token), JWT_E_OK);
    free(token);
    assert_int_equal(unlink(token_path(&f->keys, file)), 0);
    assert_int_equal(jwt_verifier_reload(f->verifier, &e), 0);
}

static void keys_of_other_kinds_refuse_the_folder_and_keep_the_old_set(void **state)
{
    static const char *const kinds[] = {"P-384", "P-521", "secp256k1", "RSA", "ED25519"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct token_key *k = token_key_new(kinds[i]);

        token_key_write_public(k, token_path(&f->keys, "other.pem"));
        token_key_free(k);
        refuse_file(f, "other.pem", "P-256");
    }
    token_key_write_private(f->new_key, token_path(&f->keys, "private.pem"));
    refuse_file(f, "private.pem", "public key");
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static void broken_files_refuse_the_folder(void **state)
{
    struct fixture *f = *state;
    static char big[9000];

    write_text(token_path(&f->keys, "x.pem"), "");
    refuse_file(f, "x.pem", "x.pem");
    write_text(token_path(&f->keys, "x.pem"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    refuse_file(f, "x.pem", "x.pem");
    memset(big, 'a', sizeof(big) - 1);
    write_text(token_path(&f->keys, "x.pem"), big);
    refuse_file(f, "x.pem", "at most");
    token_key_write_public(f->new_key, token_path(&f->keys, "a b.pem"));
    refuse_file(f, "a b.pem", "key id");
    token_key_write_public(f->new_key, token_path(&f->keys, "w.pem"));
    assert_int_equal(chmod(token_path(&f->keys, "w.pem"), 0666), 0);
    refuse_file(f, "w.pem", "everyone may write");
    assert_int_equal(symlink("/dev/zero", token_path(&f->keys, "dev.pem")), 0);
    refuse_file(f, "dev.pem", "not a file");
}

static void other_files_are_passed_over(void **state)
{
    struct fixture *f = *state;

    write_text(token_path(&f->keys, "README"), "hello");
    write_text(token_path(&f->keys, ".hidden.pem"), "hello");
    write_text(token_path(&f->keys, "old.pem.bak"), "hello");
    assert_int_equal(jwt_verifier_reload(f->verifier, NULL), 0);
}

static void a_folder_holds_one_to_eight_keys(void **state)
{
    struct fixture *f = *state;
    struct jwt_verifier *v = NULL;
    struct err e = ERR_INIT;
    char file[16];

    for (int i = 0; i < 8; i++) {
        snprintf(file, sizeof(file), "k%d.pem", i);
        token_key_write_public(f->new_key, token_path(&f->keys, file));
    }
    assert_int_equal(jwt_verifier_load(&v, f->keys.path, &e), -E2BIG);
    assert_null(v);
    assert_int_equal(unlink(token_path(&f->keys, "old.pem")), 0);
    assert_int_equal(jwt_verifier_load(&v, f->keys.path, &e), 0);
    jwt_verifier_free(v);
    v = NULL;
    assert_int_equal(jwt_verifier_load(&v, "/tmp/no-such-folder-of-keys", &e), -ENOENT);
    for (int i = 0; i < 8; i++) {
        snprintf(file, sizeof(file), "k%d.pem", i);
        assert_int_equal(unlink(token_path(&f->keys, file)), 0);
    }
    assert_int_equal(jwt_verifier_load(&v, f->keys.path, &e), -ENOENT);
    assert_non_null(strstr(e.text, "<kid>.pem"));
    jwt_verifier_free(NULL);
}

static void refuse_signer(const char *kid, const char *file, const char *words)
{
    struct jwt_signer *s = NULL;
    struct err e = ERR_INIT;

    assert_true(jwt_signer_load(&s, kid, file, &e) < 0);
    assert_null(s);
    if (!strstr(e.text, words))
        fail_msg("'%s' is not in: %s", words, e.text);
}

static void signers_need_a_private_p256_key_that_is_private(void **state)
{
    struct fixture *f = *state;
    struct token_key *p384 = token_key_new("P-384"), *rsa = token_key_new("RSA");
    const char *path = token_path(&f->dir, "x.key");

    refuse_signer("a/b", token_path(&f->dir, "old.key"), "key id");
    refuse_signer("", token_path(&f->dir, "old.key"), "key id");
    refuse_signer("k", token_path(&f->dir, "none.key"), "none.key");
    token_key_write_private(p384, path);
    refuse_signer("k", path, "P-256");
    token_key_write_private(rsa, path);
    refuse_signer("k", path, "P-256");
    token_key_write_public(f->old_key, path);
    refuse_signer("k", path, "P-256");
    token_key_write_private(f->old_key, path);
    assert_int_equal(chmod(path, 0644), 0);
    refuse_signer("k", path, "mode");
    token_key_free(p384);
    token_key_free(rsa);
    jwt_signer_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(rotation_takes_two_keys_at_a_time),
        T(swapped_keys_are_not_mixed_up),
        T(keys_of_other_kinds_refuse_the_folder_and_keep_the_old_set),
        T(broken_files_refuse_the_folder),
        T(other_files_are_passed_over),
        T(a_folder_holds_one_to_eight_keys),
        T(signers_need_a_private_p256_key_that_is_private),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
