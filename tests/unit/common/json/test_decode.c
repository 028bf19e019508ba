/* SPDX-License-Identifier: Apache-2.0 */
/* test_decode - tables: every kind, its limits, spellings, and errors that name the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/json/json.h"

struct inner {
    char *path;
    int64_t mode;
};
struct thing {
    bool flag;
    int64_t number, timeout;
    uint64_t big;
    double ratio;
    char *name, *id;
    struct json_bytes bytes;
    struct inner inner;
    bool has_inner, has_timeout;
    struct json_map env, meta;
    struct json_strings args, hosts;
    struct json_array files;
    const struct json *any;
};

#define ROW(n, k, m, ...)                                                                          \
    {.name = n, .kind = k, .offset = offsetof(struct thing, m), .present = JSON_NO_PRESENT, ##__VA_ARGS__}

static const struct json_field inner_fields[] = {
    {.name = "path", .kind = JSON_F_STRING, .flags = JSON_REQUIRED, .offset = offsetof(struct inner, path),
     .present = JSON_NO_PRESENT, .min = 1, .max = 100},
    {.name = "mode", .kind = JSON_F_INT, .offset = offsetof(struct inner, mode), .present = JSON_NO_PRESENT, .max = 4095},
    {0},
};
static const struct json_table inner_table = {.fields = inner_fields, .size = sizeof(struct inner), .refuse_unknown = true};
static const struct json_field thing_fields[] = {
    ROW("flag", JSON_F_BOOL, flag),
    ROW("number", JSON_F_INT, number),
    {.name = "timeout", .kind = JSON_F_INT, .flags = JSON_NULL_OK, .offset = offsetof(struct thing, timeout),
     .present = offsetof(struct thing, has_timeout), .min = 1, .max = 86400},
    ROW("big", JSON_F_U64, big),
    ROW("ratio", JSON_F_DOUBLE, ratio, .min = 0, .max = 1),
    ROW("name", JSON_F_STRING, name, .min = 1, .max = 8),
    ROW("id|sandbox_id", JSON_F_ID, id, .max = 10),
    ROW("bytes|data_base64", JSON_F_BASE64, bytes, .max = 6),
    {.name = "inner", .kind = JSON_F_OBJECT, .offset = offsetof(struct thing, inner),
     .present = offsetof(struct thing, has_inner), .nested = &inner_table},
    ROW("env_vars|envs|env", JSON_F_MAP, env, .flags = JSON_NULL_OK, .max = 3),
    ROW("metadata", JSON_F_MAP, meta, .flags = JSON_STRINGIFY | JSON_NULL_REMOVES),
    ROW("args", JSON_F_STRINGS, args, .max = 3),
    ROW("hosts", JSON_F_STRINGS, hosts, .flags = JSON_ONE_OR_MANY),
    ROW("files", JSON_F_ARRAY, files, .max = 3, .nested = &inner_table),
    {0},
};
static const struct json_table thing_table = {.fields = thing_fields, .size = sizeof(struct thing)};

static struct arena *arena;
static struct thing thing;

static int setup(void **state)
{
    (void) state;
    arena = arena_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    arena_freep(&arena);
    return 0;
}

static const struct thing *decode(const char *text)
{
    struct err e = ERR_INIT;

    memset(&thing, 0xaa, sizeof(thing));
    if (json_decode(&thing_table, text, strlen(text), arena, &thing, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return &thing;
}

static void refuse(const char *text, const char *words)
{
    struct err e = ERR_INIT;

    assert_int_equal(json_decode(&thing_table, text, strlen(text), arena, &thing, &e), -EINVAL);
    assert_string_equal(e.text, words);
    assert_int_equal(json_decode(&thing_table, text, strlen(text), arena, &thing, NULL), -EINVAL);
}

static void test_all_kinds(void **state)
{
    const struct thing *t = decode(
        "{\"flag\":true,\"number\":-9223372036854775808,\"timeout\":86400,\"big\":18446744073709551615,\"ratio\":1,"
        "\"name\":\"n\xc3\xa9\",\"id\":123,\"bytes\":\"Zm9v\",\"inner\":{\"path\":\"/a\",\"mode\":420},"
        "\"env\":{\"A\":\"1\",\"B\":\"\"},\"args\":[\"x\",\"\"],\"files\":[{\"path\":\"p\"},{\"path\":\"q\"}],\"more\":[{}]}");

    (void) state;
    assert_true(t->flag && t->has_inner && t->has_timeout);
    assert_true(t->number == INT64_MIN && t->big == UINT64_MAX && t->ratio == 1);
    assert_int_equal(t->timeout, 86400);
    assert_string_equal(t->name, "n\xc3\xa9");
    assert_string_equal(t->id, "123");
    assert_int_equal(t->bytes.len, 3);
    assert_memory_equal(t->bytes.data, "foo", 3);
    assert_string_equal(t->inner.path, "/a");
    assert_int_equal(t->inner.mode, 420);
    assert_int_equal(t->env.count, 2);
    assert_string_equal(t->env.items[1].key, "B");
    assert_string_equal(t->env.items[1].value, "");
    assert_int_equal(t->args.count, 2);
    assert_string_equal(t->args.items[1], "");
    assert_int_equal(t->files.count, 2);
    assert_string_equal(((struct inner *) t->files.items)[1].path, "q");
    assert_int_equal(t->meta.count, 0);
}

static void test_absent(void **state)
{
    const struct thing *t = decode("{}");
    static const struct thing zero;

    (void) state;
    assert_memory_equal(t, &zero, sizeof(zero));
    assert_false(decode("{\"timeout\":null,\"env\":null}")->has_timeout);
}

static void test_spellings(void **state)
{
    (void) state;
    assert_string_equal(decode("{\"env\":{\"A\":\"1\"}}")->env.items[0].key, "A");
    assert_string_equal(decode("{\"envs\":{\"A\":\"1\"}}")->env.items[0].key, "A");
    assert_string_equal(decode("{\"env\":{\"no\":\"1\"},\"env_vars\":{\"yes\":\"1\"}}")->env.items[0].key, "yes");
    assert_string_equal(decode("{\"env_vars\":null,\"env\":{\"A\":\"1\"}}")->env.items[0].key, "A");
    assert_string_equal(decode("{\"sandbox_id\":\"x\"}")->id, "x");
    assert_string_equal(decode("{\"id\":\"\"}")->id, "");
    refuse("{\"envs\":[]}", "envs: must be an object"); /* by the name that was sent */
    refuse("{\"data_base64\":5}", "data_base64: must be a base64 string");
}

static void test_stringify(void **state)
{
    const struct thing *t = decode("{\"metadata\":{\"a\":\"s\",\"b\":1.50,\"c\":true,\"d\":null,\"e\":{\"x\":[1]},\"f\":12}}");

    (void) state;
    assert_int_equal(t->meta.count, 5);
    assert_string_equal(t->meta.items[0].value, "s");
    assert_string_equal(t->meta.items[1].value, "1.5");
    assert_string_equal(t->meta.items[2].value, "true");
    assert_string_equal(t->meta.items[3].value, "{\"x\":[1]}");
    assert_string_equal(t->meta.items[4].key, "f");
    assert_string_equal(t->meta.items[4].value, "12");
    assert_string_equal(decode("{\"hosts\":\"one\"}")->hosts.items[0], "one");
    assert_int_equal(decode("{\"hosts\":[\"one\",\"two\"]}")->hosts.count, 2);
    assert_int_equal(decode("{\"hosts\":[]}")->hosts.count, 0);
}

static void test_types(void **state)
{
    (void) state;
    refuse("[]", "must be an object");
    refuse("{\"flag\":1}", "flag: must be true or false");
    refuse("{\"flag\":null}", "flag: must not be null");
    refuse("{\"number\":\"1\"}", "number: must be an integer");
    refuse("{\"number\":1.0}", "number: must be an integer");
    refuse("{\"big\":1.5}", "big: must be an integer");
    refuse("{\"ratio\":\"1\"}", "ratio: must be a number");
    refuse("{\"name\":7}", "name: must be a string");
    refuse("{\"id\":-1}", "id: must be a string or a number that is not negative");
    refuse("{\"id\":1.5}", "id: must be a string or a number that is not negative");
    refuse("{\"inner\":[]}", "inner: must be an object");
    refuse("{\"env\":{\"A\":1}}", "env.A: must be a string");
    refuse("{\"env\":{\"A\":null}}", "env.A: must be a string");
    refuse("{\"args\":\"x\"}", "args: must be an array of strings");
    refuse("{\"args\":[\"x\",1]}", "args[1]: must be a string");
    refuse("{\"hosts\":{}}", "hosts: must be a string or an array of strings");
    refuse("{\"files\":{}}", "files: must be an array");
    refuse("{\"files\":[1]}", "files[0]: must be an object");
    refuse("{\"bytes\":\"Zm9\\u0000\"}", "bytes: must be valid base64");
    refuse("{\"bytes\":\"Zm 9v\"}", "bytes: must be valid base64");
}

static void test_limits(void **state)
{
    (void) state;
    refuse("{\"timeout\":0}", "timeout: must be 1..86400");
    refuse("{\"timeout\":86401}", "timeout: must be 1..86400");
    refuse("{\"timeout\":18446744073709551615}", "timeout: must be 1..86400");
    refuse("{\"big\":-1}", "big: must be 0..18446744073709551615");
    refuse("{\"number\":9223372036854775808}", "number: must be -9223372036854775808..9223372036854775807");
    refuse("{\"ratio\":1.01}", "ratio: must be 0..1");
    refuse("{\"ratio\":-0.01}", "ratio: must be 0..1");
    refuse("{\"name\":\"\"}", "name: must not be empty");
    refuse("{\"name\":\"123456789\"}", "name: must have 1..8 bytes");
    refuse("{\"name\":\"a\\u0000b\"}", "name: must not hold a NUL character");
    refuse("{\"id\":\"12345678901\"}", "id: must have 0..10 bytes");
    refuse("{\"bytes\":\"MTIzNDU2Nw==\"}", "bytes: must be 0..6 bytes");
    assert_int_equal(decode("{\"bytes\":\"MTIzNDU2\"}")->bytes.len, 6);
    assert_int_equal(decode("{\"bytes\":\"MTIzNA\"}")->bytes.len, 4);
    refuse("{\"env\":{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\"}}", "env: must have 0..3 members");
    refuse("{\"args\":[\"\",\"\",\"\",\"\"]}", "args: must have 0..3 elements");
    refuse("{\"files\":[{},{},{},{}]}", "files: must have 0..3 elements");
}

static void test_paths(void **state)
{
    (void) state;
    refuse("{\"inner\":{}}", "inner.path: is required");
    refuse("{\"inner\":{\"path\":null}}", "inner.path: is required");
    refuse("{\"files\":[{\"path\":\"a\"},{\"path\":\"b\"},{\"mode\":1}]}", "files[2].path: is required");
    refuse("{\"files\":[{\"path\":\"a\",\"mode\":4096}]}", "files[0].mode: must be 0..4095");
    refuse("{\"inner\":{\"path\":\"a\",\"mod\":1}}", "inner.mod: unknown member");
    refuse("{\"inner\":{\"path\":\"a\"},}", "not valid JSON at byte 22: a member name in double quotes is missing");
}

static void test_long_names_are_cut(void **state)
{
    char text[400] = "{\"env\":{\"";
    struct err e = ERR_INIT;

    (void) state;
    for (int i = 0; i < 100; i++)
        strcat(text, "\xe2\x82\xac");
    strcat(text, "\":1}}");
    assert_int_equal(json_decode(&thing_table, text, strlen(text), arena, &thing, &e), -EINVAL);
    assert_true(strlen(e.text) < 100);
    assert_non_null(strstr(e.text, "must be a string"));
}

static void test_arena_limit(void **state)
{
    struct arena *small = arena_new(64);
    struct err e = ERR_INIT;
    const char *text = "{\"args\":[\"12345678901234567890\",\"12345678901234567890\",\"12345678901234567890\"]}";

    (void) state;
    assert_int_equal(json_decode(&thing_table, text, strlen(text), small, &thing, &e), -E2BIG);
    assert_string_equal(e.text, "args[1]: too large");
    arena_free(small);
}

static void test_any_borrows(void **state)
{
    static const struct json_field fields[] = {
        ROW("any", JSON_F_ANY, any),
        ROW("number", JSON_F_INT, number),
        {0},
    };
    static const struct json_table table = {.fields = fields, .size = sizeof(struct thing)};
    const char *text = "{\"any\":[1,2],\"number\":3}", *null = "{\"any\":null}";
    struct json_doc *d = NULL;
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(json_parse(&d, text, strlen(text), &e), 0);
    assert_int_equal(json_decode_tree(&table, json_root(d), arena, &thing, &e), 0);
    assert_int_equal(json_count(thing.any), 2);
    assert_int_equal(thing.number, 3);
    json_doc_free(d);
    assert_int_equal(json_parse(&d, null, strlen(null), &e), 0);
    assert_int_equal(json_decode_tree(&table, json_root(d), arena, &thing, &e), 0);
    assert_non_null(thing.any); /* null was sent */
    json_doc_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),  cmocka_unit_test(test_absent), cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_stringify),  cmocka_unit_test(test_types),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_long_names_are_cut),
        cmocka_unit_test(test_arena_limit), cmocka_unit_test(test_any_borrows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
