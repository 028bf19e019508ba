/* SPDX-License-Identifier: Apache-2.0 */
/* test_gate_link - each type with what it needs, and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/wire/gate_link.h"

static struct arena *arena;

static int setup(void **state)
{
    (void) state;
    arena = arena_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    arena_free(arena);
    return 0;
}

static int type_of(const char *text, enum gate_type *type)
{
    struct gate_msg m;
    int r = json_decode(&gate_msg_table, text, strlen(text), arena, &m, NULL);

    return r < 0 ? r : gate_msg_type(&m, type);
}

static void test_types(void **state)
{
    static const struct {
        const char *text;
        enum gate_type type;
    } good[] = {
        {"{\"t\":\"hello\",\"v\":1}", GATE_HELLO},
        {"{\"t\":\"hello\",\"v\":1,\"host\":\"h1\"}", GATE_HELLO},
        {"{\"t\":\"route\",\"id\":\"1\",\"rt\":\"abc\",\"generation\":1,\"state\":\"running\",\"agent_token\":\"x\",\"team\":\"t\",\"deadline_ms\":5}", GATE_ROUTE},
        {"{\"t\":\"synced\"}", GATE_SYNCED},
        {"{\"t\":\"gone\",\"id\":\"1\",\"rt\":\"abc\",\"generation\":1,\"reason\":\"killed\"}", GATE_GONE},
        {"{\"t\":\"connect\",\"req\":1,\"id\":\"1\"}", GATE_CONNECT},
        {"{\"t\":\"connected\",\"req\":18446744073709551615}", GATE_CONNECTED},
        {"{\"t\":\"connected\",\"req\":1,\"error\":\"not_found\",\"message\":\"no such sandbox\"}", GATE_CONNECTED},
    };
    enum gate_type type;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(type_of(good[i].text, &type), 0);
        assert_int_equal(type, good[i].type);
    }
}

static void test_incomplete(void **state)
{
    static const char *const bad[] = {
        "{}", "[]", "{\"t\":1}", "{\"t\":\"\"}", "{\"t\":\"hullo\",\"v\":1}", "{\"t\":\"hello\"}", "{\"t\":\"hello\",\"v\":0}",
        "{\"t\":\"route\",\"id\":\"1\",\"rt\":\"abc\",\"state\":\"running\"}",
        "{\"t\":\"route\",\"id\":\"1\",\"rt\":\"abc\",\"state\":\"odd\",\"agent_token\":\"x\"}",
        "{\"t\":\"route\",\"id\":\"1\",\"rt\":\"\",\"state\":\"running\",\"agent_token\":\"x\"}",
        "{\"t\":\"gone\",\"id\":\"1\",\"rt\":\"abc\"}", "{\"t\":\"connect\",\"req\":1}", "{\"t\":\"connect\",\"id\":\"1\"}",
        "{\"t\":\"connected\"}", "{\"t\":\"connected\",\"req\":-1}", "{\"t\":\"connect\",\"req\":1,\"id\":null}",
    };
    enum gate_type type;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(type_of(bad[i], &type), -EINVAL);
}

static void test_write(void **state)
{
    char t[] = "connect", id[] = "7";
    struct gate_msg m = {.t = t, .req = 9, .id = id};
    struct buf out = BUF_INIT(GATE_PACKET_MAX);

    (void) state;
    assert_int_equal(gate_msg_write(&out, &m), 0);
    assert_string_equal(buf_cstr(&out), "{\"t\":\"connect\",\"id\":\"7\",\"req\":9}");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
