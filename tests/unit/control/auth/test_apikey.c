/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "control/auth/apikey.h"

#define ID "abcdefghij12"
#define SECRET "0123456789abcdefghij0123456789abcdefghij"

static void made_keys_parse(void **state)
{
    char text[APIKEY_TEXT_SIZE], other_text[APIKEY_TEXT_SIZE];
    struct apikey made, read, other;

    (void)state;
    apikey_make(APIKEY_PREFIX, &made, text);
    apikey_make(APIKEY_PREFIX, &other, other_text);
    assert_int_equal(strlen(text), APIKEY_TEXT_SIZE - 1);
    assert_string_not_equal(text, other_text);
    assert_true(apikey_parse(APIKEY_PREFIX, text, &read));
    assert_string_equal(read.id, made.id);
    assert_true(apikey_hash_equal(&read, made.hash));
    assert_false(apikey_hash_equal(&read, other.hash));
    assert_false(apikey_parse(HOST_TOKEN_PREFIX, text, &read));
}

static void forms(void **state)
{
    static const char *const bad[] = {
        "",
        "bvk",
        "bvk_",
        "bvk_" ID,
        "bvk_" ID "_",
        "bvk_" ID "_" SECRET "x",
        "bvk_" ID "_0123",
        "bvh_" ID "_" SECRET,
        "bvk_" ID "x_" SECRET,
        "bvk_abc_" SECRET,
        "BVK_" ID "_" SECRET,
        "bvk_ABCDEFGHIJ12_" SECRET,
        " bvk_" ID "_" SECRET,
        "bvk_" ID "_" SECRET " ",
        "bvk_" ID "-" SECRET,
        "bvk-" ID "_" SECRET,
        "bvk_" ID "_" SECRET "\n",
    };
    struct apikey k;

    (void)state;
    assert_true(apikey_parse("bvk", "bvk_" ID "_" SECRET, &k));
    assert_string_equal(k.id, ID);
    assert_false(apikey_parse("bvk", NULL, &k));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (apikey_parse("bvk", bad[i], &k))
            fail_msg("accepted '%s'", bad[i]);
    }
}

static void bearer(void **state)
{
    struct apikey k;

    (void)state;
    assert_true(apikey_parse_bearer("bvk", "Bearer bvk_" ID "_" SECRET, &k));
    assert_true(apikey_parse_bearer("bvk", "bearer   bvk_" ID "_" SECRET, &k));
    assert_false(apikey_parse_bearer("bvk", "Bearer", &k));
    assert_false(apikey_parse_bearer("bvk", "Bearer ", &k));
    assert_false(apikey_parse_bearer("bvk", "Basic bvk_" ID "_" SECRET, &k));
    assert_false(apikey_parse_bearer("bvk", "bvk_" ID "_" SECRET, &k));
    assert_false(apikey_parse_bearer("bvk", NULL, &k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(made_keys_parse), cmocka_unit_test(forms),
                                       cmocka_unit_test(bearer)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
