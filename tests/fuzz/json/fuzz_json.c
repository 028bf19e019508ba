/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json - any bytes as JSON. Beside not crashing: what our scanner lets pass the library accepts too, what was read can
 * be written and reads back as the same, and a table of every kind decodes it or names a reason.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct inner {
    char *a;
    int64_t b;
};
struct outer {
    bool a;
    int64_t b;
    uint64_t c;
    double d;
    char *e, *f;
    struct json_bytes g;
    struct inner h;
    struct json_map i, j;
    struct json_strings k;
    struct json_array l;
    bool has_h;
};

#define ROW(n, k_, m, ...) {.name = n, .kind = k_, .offset = offsetof(struct outer, m), .present = JSON_NO_PRESENT, ##__VA_ARGS__}
static const struct json_field inner_fields[] = {
    {.name = "a", .kind = JSON_F_STRING, .flags = JSON_REQUIRED, .offset = offsetof(struct inner, a), .present = JSON_NO_PRESENT},
    {.name = "b", .kind = JSON_F_INT, .offset = offsetof(struct inner, b), .present = JSON_NO_PRESENT, .min = -5, .max = 5},
    {0},
};
static const struct json_table inner_table = {.fields = inner_fields, .size = sizeof(struct inner), .refuse_unknown = true};
static const struct json_field outer_fields[] = {
    ROW("a", JSON_F_BOOL, a),
    ROW("b", JSON_F_INT, b),
    ROW("c", JSON_F_U64, c),
    ROW("d", JSON_F_DOUBLE, d, .min = -1000, .max = 1000),
    ROW("e|ee", JSON_F_STRING, e, .flags = JSON_NULL_OK, .max = 100),
    ROW("f", JSON_F_ID, f),
    ROW("g", JSON_F_BASE64, g),
    {.name = "h", .kind = JSON_F_OBJECT, .offset = offsetof(struct outer, h), .present = offsetof(struct outer, has_h),
     .nested = &inner_table},
    ROW("i", JSON_F_MAP, i, .flags = JSON_STRINGIFY | JSON_NULL_REMOVES),
    ROW("j", JSON_F_MAP, j),
    ROW("k", JSON_F_STRINGS, k, .flags = JSON_ONE_OR_MANY),
    ROW("l", JSON_F_ARRAY, l, .nested = &inner_table),
    {0},
};
static const struct json_table outer_table = {.fields = outer_fields, .size = sizeof(struct outer)};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void write_tree(struct buf *out, const struct json *v)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_tree(&w, v);
    check(json_writer_end(&w) == 0);
}

static void check_round_trip(const struct json_doc *d)
{
    struct buf once = BUF_INIT(0), twice = BUF_INIT(0);
    struct json_doc *again = NULL;

    write_tree(&once, json_root(d));
    check(json_parse(&again, buf_data(&once), once.len, NULL) == 0);
    write_tree(&twice, json_root(again));
    check(once.len == twice.len && memcmp(buf_data(&once), buf_data(&twice), once.len) == 0);
    json_doc_free(again);
    buf_deinit(&once);
    buf_deinit(&twice);
}

static void check_decode(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 * KIB);
    struct err e = ERR_INIT;
    struct outer out;
    int r = json_decode(&outer_table, data, size, a, &out, &e);

    check(r == 0 || (r < 0 && e.text[0] && utf8_valid(e.text, strlen(e.text))));
    if (r == 0 && out.e)
        check(strlen(out.e) <= 100 && utf8_valid(out.e, strlen(out.e)));
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *d = NULL;
    struct err e = ERR_INIT;

    if (json_parse(&d, data, size, &e) == 0) {
        check(utf8_valid(data, size));
        check_round_trip(d);
    } else {
        check(!str_starts(e.text, "not valid JSON: ")); /* the library's own words: it refused what we had let pass */
    }
    json_doc_free(d);
    check_decode(data, size);
    return 0;
}
