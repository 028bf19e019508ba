/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/base/str.h"
#include "control/auth/crypto.h"

static void sha256_known_answers(void **state)
{
    uint8_t out[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];

    (void)state;
    crypto_sha256("abc", 3, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256("", 0, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* Test case 14 of the GCM specification: key and nonce of zeros, 16 zero bytes, no associated data.
 */
static void gcm_known_answer(void **state)
{
    static const char hex[] = "000000000000000000000000"
                              "cea7403d4d606b6e074ec5d3baf39d18"
                              "d0d1c8a799996bf0265b98b5d48ab919";
    uint8_t key[AES_KEY_LEN] = {0}, box[64], zeros[16] = {0};
    struct buf plain = BUF_INIT(64);
    ssize_t len = hex_decode(hex, strlen(hex), box);

    (void)state;
    assert_int_equal(len, AES_NONCE_LEN + 16 + AES_TAG_LEN);
    assert_int_equal(crypto_open(key, "", 0, box, (size_t)len, &plain), 0);
    assert_int_equal(plain.len, 16);
    assert_memory_equal(buf_data(&plain), zeros, 16);
    buf_deinit(&plain);
}

static void round_trips(void **state)
{
    uint8_t key[AES_KEY_LEN] = "0123456789abcdef0123456789abcde";
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 100000};
    uint8_t data[100000];

    (void)state;
    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buf box = BUF_INIT(1 << 20), plain = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);

        assert_int_equal(crypto_seal(key, "aad", 3, data, sizes[i], &box), 0);
        assert_int_equal(box.len, sizes[i] + AES_NONCE_LEN + AES_TAG_LEN);
        assert_int_equal(crypto_open(key, "aad", 3, buf_data(&box), box.len, &plain), 0);
        assert_int_equal(plain.len, sizes[i]);
        if (sizes[i])
            assert_memory_equal(buf_data(&plain), data, sizes[i]);
        assert_int_equal(crypto_seal(key, "aad", 3, data, sizes[i], &again), 0);
        assert_memory_not_equal(buf_data(&box), buf_data(&again),
                                AES_NONCE_LEN); /* a nonce is never used twice */
        buf_deinit(&box);
        buf_deinit(&plain);
        buf_deinit(&again);
    }
}

static void every_changed_byte_is_seen(void **state)
{
    uint8_t key[AES_KEY_LEN] = {1}, other[AES_KEY_LEN] = {2};
    struct buf box = BUF_INIT(4096), plain = BUF_INIT(4096);

    (void)state;
    assert_int_equal(crypto_seal(key, "aad", 3, "secret", 6, &box), 0);
    for (size_t i = 0; i < box.len; i++) {
        buf_data(&box)[i] ^= 1;
        assert_int_equal(crypto_open(key, "aad", 3, buf_data(&box), box.len, &plain), -EBADMSG);
        buf_data(&box)[i] ^= 1;
    }
    assert_int_equal(crypto_open(key, "aaX", 3, buf_data(&box), box.len, &plain), -EBADMSG);
    assert_int_equal(crypto_open(key, "", 0, buf_data(&box), box.len, &plain), -EBADMSG);
    assert_int_equal(crypto_open(other, "aad", 3, buf_data(&box), box.len, &plain), -EBADMSG);
    for (size_t len = 0; len < box.len; len++)
        assert_int_equal(crypto_open(key, "aad", 3, buf_data(&box), len, &plain), -EBADMSG);
    assert_int_equal(plain.len, 0);
    assert_int_equal(crypto_open(key, "aad", 3, buf_data(&box), box.len, &plain), 0);
    buf_deinit(&box);
    buf_deinit(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(gcm_known_answer),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(every_changed_byte_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
