/* SPDX-License-Identifier: Apache-2.0 */
/* test_writer - commas, escapes, numbers, bytes that are not UTF-8, and a full buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/json/json.h"

static struct buf out;
static struct json_writer w;

static int setup(void **state)
{
    (void) state;
    buf_init(&out, 0);
    json_writer_init(&w, &out);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    buf_deinit(&out);
    return 0;
}

static void expect(const char *want)
{
    assert_int_equal(json_writer_end(&w), 0);
    assert_string_equal(buf_cstr(&out), want);
    buf_clear(&out);
    json_writer_init(&w, &out);
}

static void test_structure(void **state)
{
    char k[] = "k", v[] = "v", e[] = "e", empty[] = "", a[] = "a", b[] = "b";
    struct json_pair pairs[] = {{k, v}, {e, empty}};
    struct json_map map = {pairs, 2};
    char *texts[] = {a, b};
    struct json_strings list = {texts, 2};

    (void) state;
    jw_object(&w);
    jw_kstr(&w, "s", "x");
    jw_kstr(&w, "z", NULL);
    jw_kstr_opt(&w, "not", NULL);
    jw_kstr_opt(&w, "yes", "y");
    jw_kbool(&w, "b", true);
    jw_knull(&w, "n");
    jw_karray(&w, "a");
    jw_int(&w, 1);
    jw_object(&w);
    jw_object_end(&w);
    jw_array(&w);
    jw_array_end(&w);
    jw_bool(&w, false);
    jw_array_end(&w);
    jw_kobject(&w, "o");
    jw_kint(&w, "i", -5);
    jw_object_end(&w);
    jw_kmap(&w, "m", &map);
    jw_kstrings(&w, "l", &list);
    jw_key(&w, "raw");
    jw_raw(&w, "[1]", 3);
    jw_kint(&w, "after", 1);
    jw_object_end(&w);
    expect("{\"s\":\"x\",\"z\":null,\"yes\":\"y\",\"b\":true,\"n\":null,\"a\":[1,{},[],false],\"o\":{\"i\":-5},"
           "\"m\":{\"k\":\"v\",\"e\":\"\"},\"l\":[\"a\",\"b\"],\"raw\":[1],\"after\":1}");
    jw_str(&w, "alone");
    expect("\"alone\"");
}

static void test_escapes(void **state)
{
    static const char *const cases[][2] = {
        {"", "\"\""},
        {"plain / text'", "\"plain / text'\""},
        {"\"\\\b\f\n\r\t\x01\x1f\x7f", "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {"a\xff" "b", "\"a\xef\xbf\xbd" "b\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\xa9\xff\xc3\xa9", "\"\xc3\xa9\xef\xbf\xbd\xc3\xa9\""},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        jw_str(&w, cases[i][0]);
        expect(cases[i][1]);
    }
    jw_str_n(&w, "a\0b", 3);
    expect("\"a\\u0000b\"");
    jw_object(&w);
    jw_kint(&w, "a\"b", 1);
    jw_object_end(&w);
    expect("{\"a\\\"b\":1}");
}

static void test_numbers(void **state)
{
    (void) state;
    jw_array(&w);
    jw_int(&w, INT64_MIN);
    jw_int(&w, INT64_MAX);
    jw_u64(&w, UINT64_MAX);
    jw_int(&w, 0);
    jw_array_end(&w);
    expect("[-9223372036854775808,9223372036854775807,18446744073709551615,0]");
    jw_array(&w);
    jw_double(&w, 0.1);
    jw_double(&w, 5);
    jw_double(&w, -1e300);
    jw_double(&w, 1.0 / 3);
    jw_double(&w, NAN);
    jw_double(&w, -INFINITY);
    jw_array_end(&w);
    expect("[0.1,5.0,-1e+300,0.3333333333333333,null,null]");
}

/* Any bytes: what is written reads back, as the same text where it was UTF-8. */
static void test_reads_back(void **state)
{
    (void) state;
    for (unsigned a = 0; a < 256; a++) {
        char text[40];
        struct json_doc *d = NULL;
        struct err e = ERR_INIT;

        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char) (i == a % sizeof(text) ? a : 'a' + i % 26);
        jw_str_n(&w, text, sizeof(text));
        assert_int_equal(json_writer_end(&w), 0);
        if (json_parse(&d, buf_data(&out), out.len, &e) != 0)
            fail_msg("%02x: %s", a, e.text);
        if (a && a < 0x80) {
            assert_int_equal(json_str_len(json_root(d)), sizeof(text));
            assert_memory_equal(json_str(json_root(d)), text, sizeof(text));
        }
        json_doc_free(d);
        buf_clear(&out);
        json_writer_init(&w, &out);
    }
}

static void test_base64(void **state)
{
    (void) state;
    jw_array(&w);
    jw_base64(&w, "", 0);
    jw_base64(&w, "foo", 3);
    jw_base64(&w, "fo", 2);
    jw_array_end(&w);
    expect("[\"\",\"Zm9v\",\"Zm8=\"]");
}

static void test_tree(void **state)
{
    const char *text = "{\"a\":[1,-1,1.5,\"x\\u0000\",null,true,18446744073709551615],\"o\":{\"k\":{}}}";
    struct json_doc *d = NULL;

    (void) state;
    assert_int_equal(json_parse(&d, text, strlen(text), NULL), 0);
    jw_tree(&w, json_root(d));
    expect(text);
    jw_tree(&w, NULL);
    expect("null");
    json_doc_free(d);
}

static void test_full_buffer(void **state)
{
    struct buf small = BUF_INIT(40);

    (void) state;
    assert_int_equal(buf_append_str(&small, "kept"), 0);
    for (size_t len = 0; len < 60; len++) {
        char text[61];

        memset(text, 'x', len);
        text[len] = '\0';
        json_writer_init(&w, &small);
        jw_object(&w);
        jw_kstr(&w, "k", text);
        jw_key(&w, "b");
        jw_base64(&w, "abc", 3);
        jw_object_end(&w);
        bool fits = 4 + strlen("{\"k\":\"\",\"b\":\"YWJj\"}") + len <= 40;

        assert_int_equal(json_writer_end(&w), fits ? 0 : -ENOBUFS);
        if (!fits)
            assert_int_equal(small.len, 4);
        small.len = 4;
        assert_memory_equal(buf_data(&small), "kept", 4);
    }
    buf_deinit(&small);
    json_writer_init(&w, &out);
    jw_null(&w);
    expect("null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_structure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_buffer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
