/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_init - what is written reads back; what is short, long or missing is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/agent_init.h"

static struct arena *arena;
static char token[AGENT_TOKEN_LEN + 1], machine_id[33], id[] = "42", host[] = "sb-42", env_key[] = "A", env_value[] = "1\n2";
static uint8_t entropy[AGENT_ENTROPY_LEN];

static int setup(void **state)
{
    (void) state;
    arena = arena_new(0);
    memset(token, 'a', AGENT_TOKEN_LEN);
    memset(machine_id, '0', 32);
    memset(entropy, 0xfe, sizeof(entropy));
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    arena_free(arena);
    return 0;
}

static struct agent_init sample(void)
{
    static struct json_pair pair = {env_key, env_value};

    return (struct agent_init){.token = token, .generation = UINT64_MAX, .sandbox_id = id, .hostname = host,
                               .machine_id = machine_id, .entropy = {entropy, sizeof(entropy)},
                               .time_ns = 1767323045123456789, .env = {&pair, 1}};
}

static void test_round_trip(void **state)
{
    struct agent_init m = sample(), back;
    struct buf out = BUF_INIT(0);
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(agent_init_write(&out, &m), 0);
    assert_int_equal(json_decode(&agent_init_table, buf_data(&out), out.len, arena, &back, &e), 0);
    assert_string_equal(back.token, token);
    assert_true(back.generation == UINT64_MAX);
    assert_string_equal(back.sandbox_id, "42");
    assert_int_equal(back.entropy.len, sizeof(entropy));
    assert_memory_equal(back.entropy.data, entropy, sizeof(entropy));
    assert_true(back.time_ns == m.time_ns);
    assert_int_equal(back.env.count, 1);
    assert_string_equal(back.env.items[0].value, "1\n2");
    buf_deinit(&out);
}

static void refuse(struct agent_init m, const char *words)
{
    struct agent_init back;
    struct buf out = BUF_INIT(0);
    struct err e = ERR_INIT;

    assert_int_equal(agent_init_write(&out, &m), 0);
    assert_int_equal(json_decode(&agent_init_table, buf_data(&out), out.len, arena, &back, &e), -EINVAL);
    assert_string_equal(e.text, words);
    assert_null(strstr(e.text, "aaaa")); /* a value is never repeated */
    buf_deinit(&out);
}

static void test_refused(void **state)
{
    struct agent_init m = sample();

    (void) state;
    m.token = token + 1;
    refuse(m, "token: must have 64..64 bytes");
    m = sample();
    m.entropy.len--;
    refuse(m, "entropy_b64: must be 64..64 bytes");
    m = sample();
    m.machine_id = machine_id + 1;
    refuse(m, "machine_id: must have 32..32 bytes");
    m = sample();
    m.time_ns = 0;
    refuse(m, "time_ns: must be 1..9223372036854775807");
    m = sample();
    m.hostname = NULL;
    refuse(m, "hostname: is required");
}

static void test_result(void **state)
{
    char version[] = "0.1.0";
    struct agent_init_result m = {.ok = true, .agent_version = version, .link_version = 1}, back;
    struct buf out = BUF_INIT(0);
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(agent_init_result_write(&out, &m), 0);
    assert_string_equal(buf_cstr(&out), "{\"ok\":true,\"agent_version\":\"0.1.0\",\"link_version\":1}");
    assert_int_equal(json_decode(&agent_init_result_table, buf_data(&out), out.len, arena, &back, &e), 0);
    assert_true(back.ok && back.link_version == 1);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
