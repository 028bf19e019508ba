/* SPDX-License-Identifier: Apache-2.0 */
/* test_tree - what is JSON and what is not; getters that never coerce. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "common/json/json.h"

static struct json_doc *parse(const char *text)
{
    struct json_doc *d = NULL;
    struct err e = ERR_INIT;

    if (json_parse(&d, text, strlen(text), &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return d;
}

static void refuse(const char *text, size_t len, int want, const char *words)
{
    struct json_doc *d = NULL;
    struct err e = ERR_INIT;
    char *exact = malloc(len ? len : 1); /* a read past the end is seen by the sanitizer */

    assert_non_null(exact);
    memcpy(exact, text, len);
    int r = json_parse(&d, exact, len, &e);

    free(exact);
    if (r != want || d || !strstr(e.text, words))
        fail_msg("%.*s: %d '%s', wanted %d '%s'", (int) len, text, r, e.text, want, words);
}

static void test_accepted(void **state)
{
    static const char *const good[] = {
        "null", " true ", "false", "0", "-0", "1.5", "-1.5e-3", "1E+2", "\"\"", "[]", "{}", "[1,2,3]", "\t\r\n{ \"a\" : [ ] }\n",
        "\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\"", "{\"\":1}", "\"\x7f\"", "[18446744073709551615,-9223372036854775808]",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        json_doc_free(parse(good[i]));
}

static void test_refused(void **state)
{
    static const char *const bad[][2] = {
        {"", "byte 0: a value is missing"},
        {" ", "byte 1: a value is missing"},
        {"NaN", "a value is missing"},
        {"-Infinity", "a value is missing"},
        {"nul", "unknown word"},
        {"nullx", "more after the value"},
        {"TRUE", "a value is missing"},
        {"'a'", "a value is missing"},
        {"{'a':1}", "member name in double quotes"},
        {"{a:1}", "member name in double quotes"},
        {"/* c */ 1", "byte 0"},
        {"[1,/**/2]", "byte 3"},
        {"[1,]", "byte 3"},
        {"{\"a\":1,}", "byte 7"},
        {"[1 2]", "',' or ']' is missing"},
        {"{\"a\" 1}", "':' is missing"},
        {"{\"a\":1 \"b\":2}", "',' or '}' is missing"},
        {"[", "a value is missing"},
        {"{", "member name"},
        {"{\"a\"", "':' is missing"},
        {"{\"a\":", "a value is missing"},
        {"\"abc", "unfinished string"},
        {"\"abc\\", "unfinished escape"},
        {"\"\\x41\"", "unknown escape"},
        {"\"\\u12\"", "four hex digits"},
        {"\"\\u12g4\"", "four hex digits"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"a\nb\"", "raw control character"},
        {"\"a\tb\"", "raw control character"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\xed\xa0\x80\"", "not UTF-8"},
        {"\"\xe2\x82", "not UTF-8"},
        {"\xef\xbb\xbf{}", "byte 0"},
        {"01", "malformed number"},
        {"-01", "malformed number"},
        {"+1", "a value is missing"},
        {"1.", "after the point"},
        {".5", "a value is missing"},
        {"1e", "exponent"},
        {"1e+", "exponent"},
        {"1.2.3", "malformed number"},
        {"0x10", "more after the value"},
        {"-", "a value is missing"},
        {"18446744073709551616", "number out of range"},
        {"-9223372036854775809", "number out of range"},
        {"[1e400]", "byte 1: number out of range"},
        {"{} {}", "more after the value"},
        {"{\"x\\u0000\":1}", "NUL character in a member name"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refuse(bad[i][0], strlen(bad[i][0]), -EINVAL, bad[i][1]);
    refuse("{\"a\0\":1}", 8, -EINVAL, "raw control character");
    refuse("1\0", 2, -EINVAL, "more after the value");
}

static void test_duplicates_are_named(void **state)
{
    static const char *const bad[][2] = {
        {"{\"a\":1,\"a\":1}", "byte 7: member 'a' is there twice"},
        {"[{\"x\":{\"k\":1,\"l\":2,\"\\u006b\":null}}]", "member 'k' is there twice"},
        {"{\"\":1,\"\":2}", "member '' is there twice"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refuse(bad[i][0], strlen(bad[i][0]), -EINVAL, bad[i][1]);
    json_doc_free(parse("[{\"a\":1},{\"a\":{\"a\":1}}]")); /* of different objects */
}

static void test_long_number(void **state)
{
    char text[400];

    (void) state;
    memset(text, '0', sizeof(text));
    text[1] = '.';
    refuse(text, sizeof(text), -EINVAL, "number out of range");
    text[0] = '1';
    text[1] = '0';
    refuse(text, sizeof(text), -EINVAL, "number out of range");
}

static void nested(char *text, size_t depth, char open, char close)
{
    memset(text, open, depth);
    memset(text + depth, close, depth);
    text[2 * depth] = '\0';
}

static void test_depth(void **state)
{
    static char text[200001];

    (void) state;
    nested(text, 32, '[', ']');
    json_doc_free(parse(text));
    nested(text, 33, '[', ']');
    refuse(text, strlen(text), -E2BIG, "deeper than 32");
    memset(text, '[', 200000);
    refuse(text, 200000, -E2BIG, "deeper than 32");
}

static void test_getters(void **state)
{
    struct json_doc *d = parse("{\"s\":\"12\",\"i\":12,\"n\":-1,\"d\":1.0,\"b\":true,\"z\":null,\"big\":18446744073709551615,"
                               "\"a\":[1,\"x\",null],\"o\":{\"k\":\"v\"},\"nul\":\"a\\u0000b\",\"last\":9223372036854775807}");
    const struct json *r = json_root(d);
    int64_t i = 99;
    uint64_t u = 99;
    double f = 99;
    bool b = false;

    (void) state;
    assert_int_equal(json_type(r), JSON_OBJECT);
    assert_int_equal(json_count(r), 11);
    assert_string_equal(json_str(json_get(r, "s")), "12");
    assert_false(json_int(json_get(r, "s"), &i));
    assert_false(json_bool(json_get(r, "i"), &b));
    assert_false(json_int(json_get(r, "d"), &i));
    assert_false(json_u64(json_get(r, "n"), &u));
    assert_false(json_int(json_get(r, "big"), &i));
    assert_int_equal(i, 99);
    assert_true(json_u64(json_get(r, "big"), &u) && u == UINT64_MAX);
    assert_true(json_int(json_get(r, "last"), &i) && i == INT64_MAX);
    assert_true(json_int(json_get(r, "n"), &i) && i == -1);
    assert_true(json_double(json_get(r, "i"), &f) && f == 12);
    assert_true(json_double(json_get(r, "d"), &f) && f == 1);
    assert_true(json_bool(json_get(r, "b"), &b) && b);
    assert_null(json_str(json_get(r, "nul")));
    assert_int_equal(json_str_len(json_get(r, "nul")), 3);
    assert_null(json_str(json_get(r, "i")));
    assert_non_null(json_get(r, "z")); /* there, and null */
    assert_int_equal(json_type(json_get(r, "z")), JSON_NULL);
    assert_null(json_get(r, "absent"));
    assert_null(json_get(json_get(r, "a"), "x"));
    assert_string_equal(json_str(json_at(json_get(r, "a"), 1)), "x");
    assert_non_null(json_at(json_get(r, "a"), 2));
    assert_null(json_at(json_get(r, "a"), 3));
    assert_null(json_at(r, 0));
    assert_string_equal(json_str(json_get(json_get(r, "o"), "k")), "v");
    json_doc_freep(&d);
    assert_null(d);
}

static void test_nothing(void **state)
{
    bool b;
    int64_t i;
    uint64_t u;
    double f;
    struct json_iter it = JSON_ITER_INIT;

    (void) state;
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(NULL, 0));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_str(NULL));
    assert_int_equal(json_str_len(NULL), 0);
    assert_false(json_int(NULL, &i) || json_u64(NULL, &u) || json_double(NULL, &f) || json_bool(NULL, &b));
    assert_false(json_next(NULL, &it, NULL, NULL));
    assert_null(json_root(NULL));
    json_doc_free(NULL);
    struct json_doc *d = parse("null");

    assert_non_null(json_root(d));
    assert_int_equal(json_type(json_root(d)), JSON_NULL);
    json_doc_free(d);
}

static void test_members_in_order(void **state)
{
    struct json_doc *d = parse("{\"z\":1,\"a\":2,\"m\":null}");
    struct json_iter it = JSON_ITER_INIT;
    const struct json *v;
    const char *key;
    char order[8] = "";

    (void) state;
    while (json_next(json_root(d), &it, &key, &v)) {
        assert_non_null(v);
        strcat(order, key);
    }
    assert_string_equal(order, "zam");
    assert_false(json_next(json_root(d), &it, &key, &v)); /* stays at the end */
    json_doc_free(d);
    d = parse("{}");
    it = (struct json_iter) JSON_ITER_INIT;
    assert_false(json_next(json_root(d), &it, &key, &v));
    json_doc_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),    cmocka_unit_test(test_refused), cmocka_unit_test(test_duplicates_are_named),
        cmocka_unit_test(test_long_number), cmocka_unit_test(test_depth),   cmocka_unit_test(test_getters),
        cmocka_unit_test(test_nothing),     cmocka_unit_test(test_members_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
