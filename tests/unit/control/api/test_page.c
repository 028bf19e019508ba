/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "control/api/page.h"

static void round_trip(void **state)
{
    struct arena *a = arena_new(0);
    char *states[] = {(char *)"running", (char *)"failed"};
    struct json_pair pairs[] = {{(char *)"job", (char *)"a \"b\" \xc3\xa4"},
                                {(char *)"", (char *)""}};
    struct page in = {.before_id = INT64_MAX - 1,
                      .limit = 7,
                      .team = (char *)"acme",
                      .states = {states, 2},
                      .metadata = {pairs, 2}},
                out;
    const char *token = page_encode(&in, a);

    (void)state;
    assert_non_null(token);
    assert_int_equal(
        strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
        strlen(token));
    assert_int_equal(page_decode(token, a, &out), 0);
    assert_true(out.before_id == in.before_id && out.limit == 7);
    assert_string_equal(out.team, "acme");
    assert_int_equal(out.states.count, 2);
    assert_string_equal(out.states.items[1], "failed");
    assert_int_equal(out.metadata.count, 2);
    assert_string_equal(out.metadata.items[0].value, pairs[0].value);
    in = (struct page){.before_id = 1, .limit = 20};
    token = page_encode(&in, a);
    assert_int_equal(page_decode(token, a, &out), 0);
    assert_null(out.team);
    assert_int_equal(out.states.count + out.metadata.count, 0);
    arena_free(a);
}

static int decode_text(const char *json)
{
    struct arena *a = arena_new(0);
    struct page out;
    char token[512];

    base64url_encode(json, strlen(json), token);
    int r = page_decode(token, a, &out);

    arena_free(a);
    return r;
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"v\":1}",
        "{\"v\":2,\"b\":1,\"l\":1}",
        "{\"v\":1,\"b\":0,\"l\":1}",
        "{\"v\":1,\"b\":-1,\"l\":1}",
        "{\"v\":1,\"b\":1,\"l\":101}",
        "{\"v\":1,\"b\":1,\"l\":0}",
        "{\"v\":1,\"b\":\"1\",\"l\":1}",
        "{\"v\":1,\"b\":1,\"l\":1,\"x\":1}",
        "{\"v\":1,\"b\":1,\"l\":1,\"s\":\"a\"}",
        "{\"v\":1,\"b\":1,\"l\":1,\"m\":[]}",
        "{\"v\":1,\"b\":99999999999999999999,\"l\":1}",
        "{\"v\":1,\"b\":1,\"l\":1",
    };
    struct arena *a = arena_new(0);
    struct page out;
    static char huge[PAGE_TOKEN_MAX + 2];

    (void)state;
    assert_int_equal(decode_text("{\"v\":1,\"b\":1,\"l\":1}"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (decode_text(bad[i]) != -EINVAL)
            fail_msg("accepted %s", bad[i]);
    }
    assert_int_equal(page_decode("", a, &out), -EINVAL);
    assert_int_equal(page_decode("!!!", a, &out), -EINVAL);
    assert_int_equal(page_decode("eyJ2IjoxfQ==", a, &out), -EINVAL);
    memset(huge, 'A', sizeof(huge) - 1);
    assert_int_equal(page_decode(huge, a, &out), -EINVAL);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
