/* SPDX-License-Identifier: Apache-2.0 */
/* test_base64 - vectors of RFC 4648, round trips, and every way to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/str.h"

static void test_vectors(void **state)
{
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    char text[16], bytes[16];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        size_t len = strlen(vectors[i][0]);

        base64_encode(vectors[i][0], len, text);
        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(base64_encoded_len(len), strlen(text));
        assert_int_equal(base64_decode(text, strlen(text), false, bytes), len);
        assert_memory_equal(bytes, vectors[i][0], len);
    }
}

static void test_round_trips(void **state)
{
    (void) state;
    for (size_t len = 0; len < 300; len++) {
        unsigned char *bytes = xmalloc(len), *back = xmalloc(base64_encoded_len(len) / 4 * 3 + 3);
        char *text = xmalloc(base64_encoded_len(len) + 1);

        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char) (i * 151 + len * 31 + (i >> 3));
        base64_encode(bytes, len, text);
        assert_int_equal(strlen(text), base64_encoded_len(len));
        assert_int_equal(base64_decode(text, strlen(text), false, back), len);
        assert_memory_equal(back, bytes, len);
        size_t bare = strcspn(text, "=");

        assert_int_equal(base64_decode(text, bare, true, back), len);
        assert_memory_equal(back, bytes, len);
        base64url_encode(bytes, len, text);
        assert_int_equal(strlen(text), bare);
        assert_null(strpbrk(text, "+/="));
        assert_int_equal(base64url_decode(text, bare, back), len);
        assert_memory_equal(back, bytes, len);
        free(bytes);
        free(back);
        free(text);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zm8", "=", "==", "====", "Z===", "Zg==Zg==", "Zm9v\n", " Zm9",
                                      "Zm-_", "Zm9v====", "Zh==", "Zm9=", "Zm\xff""9", "Zg=="" "};
    unsigned char out[32];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), false, out), -EINVAL);
    assert_int_equal(base64_decode("Zm9v\0", 5, false, out), -EINVAL);
    assert_int_equal(base64_decode("Zg=", 3, true, out), -EINVAL); /* either all of the padding or none */
    assert_int_equal(base64_decode("Z", 1, true, out), -EINVAL);
    assert_int_equal(base64url_decode("Zg==", 4, out), -EINVAL);
    assert_int_equal(base64url_decode("Zm+/", 4, out), -EINVAL);
    assert_int_equal(base64url_decode("Zh", 2, out), -EINVAL);
    assert_int_equal(base64url_decode("Z", 1, out), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
