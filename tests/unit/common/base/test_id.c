/* SPDX-License-Identifier: Apache-2.0 */
/* test_id - alphabet, length, and that none comes twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/base/id.h"
#include "common/base/map.h"

static void assert_alphabet(const char *s, size_t len)
{
    assert_int_equal(strlen(s), len);
    assert_int_equal(strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789"), len);
}

static void test_route_token(void **state)
{
    struct map *seen = map_new();

    (void) state;
    for (int i = 0; i < 2000; i++) {
        char id[ROUTE_TOKEN_LEN + 1];

        id_route_token(id);
        assert_alphabet(id, ROUTE_TOKEN_LEN);
        assert_true(id[0] >= 'a' && id[0] <= 'z');
        assert_null(map_put(seen, id, seen));
    }
    map_free(seen);
}

static void test_request(void **state)
{
    char id[REQUEST_ID_LEN + 1];

    (void) state;
    id_request(id);
    assert_int_equal(strlen(id), REQUEST_ID_LEN);
    assert_memory_equal(id, "req_", 4);
    assert_alphabet(id + 4, REQUEST_ID_LEN - 4);
}

/* Each of the 36 characters about as often as the others: 36000 draws, 1000 wanted, 6 sigma are 190. */
static void test_evenly(void **state)
{
    unsigned count[256] = {0};
    char text[36001];

    (void) state;
    id_random(text, 36000);
    assert_alphabet(text, 36000);
    for (size_t i = 0; i < 36000; i++)
        count[(unsigned char) text[i]]++;
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++)
        assert_in_range(count[(unsigned char) *c], 800, 1200);
}

static void test_hex(void **state)
{
    char text[2 * 100 + 1];

    (void) state;
    id_random_hex(text, 100);
    assert_int_equal(strlen(text), 200);
    assert_int_equal(strspn(text, "0123456789abcdef"), 200);
    id_random_hex(text, 0);
    assert_string_equal(text, "");
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_token),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_evenly),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
