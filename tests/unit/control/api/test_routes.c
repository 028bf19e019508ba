/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route tables are what docs/openapi.yaml says: each row has its operation (by operationId)
 * under its path and method, and there is no operation of the control plane without a row. The
 * file's layout is fixed enough for a line reader: paths at two spaces, methods at four,
 * operationId at six.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/http/route.h"
#include "control/api/api.h"
#include "control/app.h"
#include "control/hosts/heartbeat.h"

enum { OPERATIONS_MAX = 200 };

struct operation {
    char path[128], method[8], id[64];
    bool seen;
};
static struct operation operations[OPERATIONS_MAX];
static size_t operations_count;

static void read_line(const char *line, struct operation *now)
{
    char word[128];

    if (sscanf(line, "  /%127[^: ]:", word) == 1 && str_starts(line, "  /"))
        snprintf(now->path, sizeof(now->path), "/%.120s", word);
    else if (str_starts(line, "    ") && line[4] != ' ' && sscanf(line, "    %7[a-z]:", word) == 1)
        str_copy(now->method, sizeof(now->method), word);
    else if (sscanf(line, "      operationId: %63s", word) == 1 &&
             operations_count < OPERATIONS_MAX) {
        str_copy(now->id, sizeof(now->id), word);
        operations[operations_count++] = *now;
    }
}

static int read_spec(void **state)
{
    struct buf text = BUF_INIT(4 << 20);
    struct operation now = {0};
    char *save = NULL;

    (void)state;
    assert_int_equal(file_read(OPENAPI_YAML, 4 << 20, &text, NULL), 0);
    char *p = (char *)buf_cstr(&text);

    for (char *line = strtok_r(p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        read_line(line, &now);
    buf_deinit(&text);
    return 0;
}

static const char *method_name(unsigned method)
{
    switch (method) {
    case HTTP_GET:
        return "get";
    case HTTP_POST:
        return "post";
    case HTTP_PUT:
        return "put";
    case HTTP_PATCH:
        return "patch";
    case HTTP_DELETE:
        return "delete";
    default:
        return "?";
    }
}

static void on_route(void *arg, const struct route *row)
{
    unsigned *count = arg;

    (*count)++;
    assert_true(row->scope == SCOPE_READ ||
                row->scope == SCOPE_WRITE); /* none is open by mistake */
    if (row->method == HTTP_GET)
        assert_int_equal(row->scope, SCOPE_READ);
    else
        assert_int_equal(row->scope, SCOPE_WRITE);
    for (size_t i = 0; i < operations_count; i++) {
        struct operation *o = &operations[i];

        if (str_eq(o->path, row->pattern) && str_eq(o->method, method_name(row->method))) {
            assert_string_equal(o->id, row->name);
            o->seen = true;
            return;
        }
    }
    fail_msg("docs/openapi.yaml lacks %s %s (%s)", method_name(row->method), row->pattern,
             row->name);
}

static void tables_equal_the_spec(void **state)
{
    const struct route *const tables[] = {sandbox_routes, sandbox_life_routes, limits_routes,
                                          template_routes};
    struct router *r = NULL;
    struct err e = ERR_INIT;
    unsigned count = 0;

    (void)state;
    assert_int_equal(router_new(&r, NULL, NULL, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        assert_int_equal(router_add(r, tables[i], &e), 0);
    router_each(r, on_route, &count);
    assert_true(count > 10);
    for (size_t i = 0; i < operations_count; i++) {
        if (str_starts(operations[i].path, "/v1/") && !operations[i].seen)
            fail_msg("no route for %s %s of docs/openapi.yaml", operations[i].method,
                     operations[i].path);
    }
    router_free(r);
}

static void host_routes_are_sound(void **state)
{
    struct router *r = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(router_new(&r, NULL, NULL, &e), 0);
    assert_int_equal(router_add(r, heartbeat_routes, &e), 0);
    router_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_equal_the_spec),
                                       cmocka_unit_test(host_routes_are_sound)};

    return cmocka_run_group_tests(tests, read_spec, NULL);
}
