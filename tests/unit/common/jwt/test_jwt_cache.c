/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt_cache - bounded, least recently used first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/jwt/jwt_internal.h"

static const uint8_t *digest(unsigned i)
{
    static uint8_t bytes[JWT_DIGEST_LEN];

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, &i, sizeof(i));
    return bytes;
}

static void put(struct jwt_cache *c, unsigned i)
{
    struct session_claims claims = {.expires_at = i};

    jwt_cache_put(c, digest(i), &claims);
}

static bool has(struct jwt_cache *c, unsigned i)
{
    const struct session_claims *claims = jwt_cache_find(c, digest(i));

    if (claims)
        assert_int_equal(claims->expires_at, i);
    return claims != NULL;
}

static void the_least_recently_used_entry_goes_first(void **state)
{
    struct jwt_cache *c = jwt_cache_new(3);

    (void) state;
    for (unsigned i = 1; i <= 3; i++)
        put(c, i);
    assert_true(has(c, 1)); /* used */
    put(c, 4);
    assert_false(has(c, 2));
    assert_true(has(c, 1) && has(c, 3) && has(c, 4));
    put(c, 3); /* again: no second entry */
    assert_int_equal(jwt_cache_count(c), 3);
    jwt_cache_drop(c, digest(3));
    jwt_cache_drop(c, digest(3));
    assert_false(has(c, 3));
    jwt_cache_clear(c);
    assert_int_equal(jwt_cache_count(c), 0);
    assert_false(has(c, 1));
    put(c, 9);
    assert_true(has(c, 9));
    jwt_cache_free(c);
    jwt_cache_free(NULL);
}

static void it_never_grows_beyond_its_limit(void **state)
{
    struct jwt_cache *c = jwt_cache_new(100);

    (void) state;
    for (unsigned i = 0; i < 5000; i++) {
        put(c, i);
        assert_true(jwt_cache_count(c) <= 100);
    }
    for (unsigned i = 4900; i < 5000; i++)
        assert_true(has(c, i));
    jwt_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_recently_used_entry_goes_first),
        cmocka_unit_test(it_never_grows_beyond_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
