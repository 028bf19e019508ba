/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a create: spellings, defaults, and what is refused by name. The integration tests say
 * the rest over HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "control/api/create_body.h"
#include "control/config.h"

static struct arena *arena;
static struct json_doc *doc;
static struct control_config conf;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(0);
    return config_defaults(&control_config_table, arena, &conf, NULL);
}

static int teardown(void **state)
{
    (void)state;
    json_doc_free(doc);
    doc = NULL;
    arena_free(arena);
    return 0;
}

/* NULL: fine; else "code field". */
static const char *check(const char *json, struct create_body *b)
{
    static char text[200];
    struct body_error e = {0};
    struct err err = ERR_INIT;

    json_doc_free(doc);
    doc = NULL;
    assert_int_equal(json_parse(&doc, json, strlen(json), &err), 0);
    if (json_decode_tree(&create_body_table, json_root(doc), arena, b, &err) < 0)
        return strcpy(text, err.text);
    if (create_body_check(b, &conf, &e))
        return NULL;
    snprintf(text, sizeof(text), "%s %s", api_errors[e.error].code, e.field);
    return text;
}

static void defaults(void **state)
{
    struct create_body b;

    (void)state;
    assert_null(check("{}", &b));
    assert_null(b.template_ref);
    assert_int_equal(b.timeout, 300);
    assert_string_equal(b.lifecycle.on_timeout, "kill");
    assert_false(b.lifecycle.auto_resume);
    assert_int_equal(b.env.count + b.metadata.count, 0);
    assert_string_equal(body_map_json(&b.metadata, arena), "{}");
    assert_string_equal(
        body_network_json(&b, arena),
        "{\"allow_internet_access\":true,\"allow_public_traffic\":true,\"allow_out\":[],"
        "\"deny_out\":[],\"allow_package_registry_access\":false}");
}

static void spellings(void **state)
{
    static const char *const env[] = {"env_vars", "envs", "environment", "env"};
    static const char *const cpu[] = {"cpu", "cpu_count", "cpus"};
    struct create_body b;
    char json[100];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        snprintf(json, sizeof(json), "{\"%s\":{\"A\":\"1\"}}", env[i]);
        assert_null(check(json, &b));
        assert_int_equal(b.env.count, 1);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(json, sizeof(json), "{\"%s\":4}", cpu[i]);
        assert_null(check(json, &b));
        assert_true(b.has_cpu && b.cpu == 4);
    }
    assert_null(check("{\"template_id\":12}", &b));
    assert_string_equal(b.template_ref, "12");
    assert_null(check("{\"template_id\":null,\"template\":\"x\"}", &b));
    assert_string_equal(b.template_ref, "x");
    assert_null(check("{\"metadata\":{\"n\":1,\"t\":true,\"o\":{\"a\":[1,null]},\"z\":null}}", &b));
    assert_string_equal(
        body_map_json(&b.metadata, arena),
        "{\"n\":\"1\",\"t\":\"true\",\"o\":\"{\\\"a\\\":[1,null]}\",\"z\":\"null\"}");
}

static void nulls_are_absent(void **state)
{
    struct create_body b;

    (void)state;
    assert_null(check("{\"template\":null,\"timeout\":null,\"lifecycle\":null,\"metadata\":null,"
                      "\"env\":null,\"volume_mounts\":null,"
                      "\"cpu\":null,\"memory_mb\":null,\"name\":null,\"init\":null,\"keep_hot\":"
                      "null,\"new_volumes\":null,\"mcp\":null,"
                      "\"network\":null,\"allow_out\":null,\"rules\":null,\"auto_pause\":null,"
                      "\"team\":null,\"snapshot_id\":null}",
                      &b));
    assert_int_equal(b.timeout, 300);
}

static void refusals(void **state)
{
    static const char *const cases[][2] = {
        {"{\"timeout\":0}", "invalid_request timeout"},
        {"{\"timeout\":-5}", "invalid_request timeout"},
        {"{\"timeout\":9223372036854775807}", "invalid_request timeout"},
        {"{\"timeout\":9223372036854775808}",
         "timeout: must be -9223372036854775808..9223372036854775807"},
        {"{\"lifecycle\":{\"on_timeout\":\"pause\",\"auto_resume\":true}}",
         "not_supported lifecycle.on_timeout"},
        {"{\"lifecycle\":{\"on_timeout\":\"kill\",\"auto_resume\":true}}",
         "invalid_request lifecycle.auto_resume"},
        {"{\"lifecycle\":[]}", "lifecycle: must be an object"},
        {"{\"volume_mounts\":{\"/a\":\"b\",\"/c\":5}}", "invalid_request volume_mounts"},
        {"{\"volume_mounts\":[{\"path\":\"/a\"}]}", "invalid_request volume_mounts"},
        {"{\"volume_mounts\":[5]}", "invalid_request volume_mounts"},
        {"{\"volume_mounts\":true}", "invalid_request volume_mounts"},
        {"{\"network\":{\"rules\":{\"h\":[]}}}", "not_supported rules"},
        {"{\"network\":{\"allow_internet_access\":false}}", "not_supported allow_internet_access"},
        {"{\"network_class\":\"x\"}", "not_supported network_class"},
        {"{\"egress_profiles\":[]}", NULL},
        {"{\"mask_request_host\":false}", "not_supported mask_request_host"},
        {"{\"memory_mb\":511}", "invalid_request memory_mb"},
        {"{\"memory_mb\":513}", "invalid_request memory_mb"},
        {"{\"memory_mb\":32768}", "invalid_request memory_mb"},
        {"{\"cpu\":0}", "invalid_request cpu"},
        {"{\"name\":\"a\\u0000b\"}", "name: must not hold a NUL character"},
        {"{\"env\":{\"\":\"x\"}}", "invalid_request env_vars"},
        {"{\"env\":{\"A\":null}}", "env.A: must be a string"},
        {"{\"env\":[\"A=1\"]}", "env: must be an object"},
    };
    struct create_body b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = check(cases[i][0], &b);

        if (!str_eq(got, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], got ? got : "accepted");
    }
}

static void default_configuration_is_sound(void **state)
{
    int64_t cpus[CONFIG_CPUS_MAX];
    unsigned count;

    (void)state;
    assert_int_equal(config_check(&conf, NULL), 0);
    assert_int_equal(config_allowed_cpus(&conf, cpus, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_int_equal(cpus[3], 8);
    conf.allowed_cpus = " 3   5 ";
    assert_int_equal(config_allowed_cpus(&conf, cpus, &count, NULL), 0);
    assert_int_equal(count, 2);
    conf.allowed_cpus = "";
    assert_true(config_allowed_cpus(&conf, cpus, &count, NULL) < 0);
    conf.allowed_cpus = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17";
    assert_true(config_allowed_cpus(&conf, cpus, &count, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(spellings, setup, teardown),
        cmocka_unit_test_setup_teardown(nulls_are_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(default_configuration_is_sound, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
