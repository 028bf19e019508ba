/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/attr.h"
#include "control/sched/catalog.h"

static const struct template_row templates[] = {
    {.id = 1, .slug = "base", .name = "Base"},
    {.id = 5, .slug = "empty", .name = "Nothing that runs"},
    {.id = 7, .slug = "v2", .name = "Other"},
};
static const struct version_row versions[] = {
    {.id = 9, .template_id = 5, .version = "1", .status = "building"},
    {.id = 8, .template_id = 7, .version = "1", .status = "ready"},
    {.id = 6, .template_id = 1, .version = "broken", .status = "failed"},
    {.id = 4, .template_id = 1, .version = "2026-06-14", .status = "ready"},
    {.id = 2, .template_id = 1, .version = "2026-01-01", .status = "ready"},
};
static const struct tag_row tags[] = {
    {.template_id = 1, .version_id = 2, .tag = "stable"},
    {.template_id = 7, .version_id = 8, .tag = "2026-06-14"}, /* of another template */
    {.template_id = 1, .version_id = 2, .tag = "4"}, /* looks like an id: a tag goes first */
};
static const struct catalog catalog = {
    .templates = templates,
    .templates_count = ARRAY_LEN(templates),
    .versions = versions,
    .versions_count = ARRAY_LEN(versions),
    .tags = tags,
    .tags_count = ARRAY_LEN(tags),
};

static int64_t resolve(const char *ref, const char *version_id)
{
    struct catalog_hit hit;
    int r = catalog_resolve(&catalog, ref, version_id, &hit);

    if (r == CATALOG_OK)
        assert_int_equal(hit.template_row->id, hit.version->template_id);
    return r == CATALOG_OK ? hit.version->id : -r;
}

static void by_name(void **state)
{
    (void)state;
    assert_int_equal(resolve("base", NULL), 4); /* the newest that can run */
    assert_int_equal(resolve("1", NULL), 4);    /* template id */
    assert_int_equal(resolve("2", NULL), 2);    /* version id */
    assert_int_equal(resolve("v2", NULL), 8);
    assert_int_equal(resolve("6", NULL), -CATALOG_E_NOT_READY);
    assert_int_equal(resolve("empty", NULL), -CATALOG_E_NOT_READY);
    assert_int_equal(resolve("9", NULL), -CATALOG_E_NOT_READY);
    assert_int_equal(resolve("nope", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("BASE", NULL), -CATALOG_E_UNKNOWN);
}

static void impossible_ids(void **state)
{
    (void)state;
    assert_int_equal(resolve("0", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("-1", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("01", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("9223372036854775808", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("99999999999999999999999999", NULL), -CATALOG_E_UNKNOWN);
}

static void pinned(void **state)
{
    char longest[200];

    (void)state;
    assert_int_equal(resolve("base:2026-01-01", NULL), 2);
    assert_int_equal(resolve("base:stable", NULL), 2);
    assert_int_equal(resolve("base:4", NULL), 2); /* the tag, not the id */
    assert_int_equal(resolve("base:2", NULL), 2);
    assert_int_equal(resolve("1:2026-06-14", NULL), 4);
    assert_int_equal(resolve("base:6", NULL), -CATALOG_E_NOT_READY);
    assert_int_equal(resolve("base:8", NULL), -CATALOG_E_UNKNOWN); /* another template's version */
    assert_int_equal(resolve("base:", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve(":stable", NULL), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("base:stable:x", NULL), -CATALOG_E_UNKNOWN);
    memset(longest, 'a', sizeof(longest) - 1);
    longest[100] = ':';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(resolve(longest, NULL), -CATALOG_E_UNKNOWN);
}

static void with_a_version_besides(void **state)
{
    (void)state;
    assert_int_equal(resolve("base", "2"), 2);
    assert_int_equal(resolve("base", "8"), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("base", "x"), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("base:2026-01-01", "2"), 2);
    assert_int_equal(resolve("base:2026-01-01", "4"), -CATALOG_E_UNKNOWN);
    assert_int_equal(resolve("base", "6"), -CATALOG_E_NOT_READY);
}

static void ids_and_slugs(void **state)
{
    char text[80];

    (void)state;
    assert_int_equal(id_parse("1"), 1);
    assert_int_equal(id_parse("9223372036854775807"), INT64_MAX);
    assert_int_equal(id_parse(NULL), -1);
    assert_int_equal(id_parse(""), -1);
    assert_int_equal(id_parse("1 "), -1);
    assert_int_equal(id_parse("+1"), -1);
    assert_int_equal(id_parse("0x1"), -1);
    assert_true(slug_valid("a"));
    assert_true(slug_valid("Base.img_2-x"));
    assert_false(slug_valid("1a"));
    assert_false(slug_valid(""));
    assert_false(slug_valid(NULL));
    assert_false(slug_valid("a b"));
    assert_false(slug_valid("a:b"));
    memset(text, 'a', sizeof(text));
    text[63] = '\0';
    assert_true(slug_valid(text));
    text[63] = 'a';
    text[64] = '\0';
    assert_false(slug_valid(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name),       cmocka_unit_test(impossible_ids),
        cmocka_unit_test(pinned),        cmocka_unit_test(with_a_version_besides),
        cmocka_unit_test(ids_and_slugs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
