/* SPDX-License-Identifier: Apache-2.0 */
/* test_host_api - bodies between control and vmhost, there and back, and the field that is wrong. */
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
#include "common/wire/host_api.h"

static struct arena *arena;
static struct buf out;
static struct err err;
static char slug[] = "base", version[] = "1", token[] = "abcdefghijklmnopqrstuvwx", team[] = "acme", host[] = "sb-1", kill[] = "kill",
            id[] = "42", running[] = "running", gone[] = "gone", reason[] = "timeout", url[] = "https://127.0.0.1:7443",
            tcg[] = "tcg", ready[] = "ready", failed[] = "failed", message[] = "no disk", env_key[] = "A", env_value[] = "1";

static int setup(void **state)
{
    (void) state;
    arena = arena_new(0);
    buf_init(&out, 0);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    arena_free(arena);
    buf_deinit(&out);
    return 0;
}

static int decode(const struct json_table *t, void *m)
{
    err = (struct err) ERR_INIT;
    return json_decode(t, buf_data(&out), out.len, arena, m, &err);
}

static void test_vm_spec(void **state)
{
    static struct json_pair pair = {env_key, env_value};
    struct host_vm_spec m = {.generation = 3, .template_ref = {slug, version}, .cpu_count = 2, .memory_mb = 512,
                             .route_token = token, .team = team, .hostname = host, .deadline_ms = 1767323045123,
                             .on_timeout = kill, .env = {&pair, 1}}, back;

    (void) state;
    assert_int_equal(host_vm_spec_write(&out, &m), 0);
    assert_int_equal(decode(&host_vm_spec_table, &back), 0);
    assert_true(back.generation == 3 && back.cpu_count == 2 && back.memory_mb == 512 && back.deadline_ms == m.deadline_ms);
    assert_string_equal(back.template_ref.slug, "base");
    assert_string_equal(back.template_ref.version, "1");
    assert_string_equal(back.route_token, token);
    assert_string_equal(back.on_timeout, "kill");
    assert_string_equal(back.env.items[0].value, "1");
    m.cpu_count = 0;
    buf_clear(&out);
    assert_int_equal(host_vm_spec_write(&out, &m), 0);
    assert_int_equal(decode(&host_vm_spec_table, &back), -EINVAL);
    assert_string_equal(err.text, "cpu_count: must be 1..1024");
    m.cpu_count = 1;
    m.template_ref.version = NULL;
    buf_clear(&out);
    assert_int_equal(host_vm_spec_write(&out, &m), 0);
    assert_int_equal(decode(&host_vm_spec_table, &back), -EINVAL);
    assert_string_equal(err.text, "template.version: is required");
}

static struct host_vm sample_vm(void)
{
    return (struct host_vm){.id = id, .generation = 3, .state = running, .started_at_ms = 1, .deadline_ms = 2, .cpu_count = 2,
                            .memory_mb = 512, .template_ref = {slug, version}, .has_timings = true,
                            .timings_us = {1, 2, 3, 4, 5, 15}};
}

static void test_vm(void **state)
{
    struct host_vm m = sample_vm(), back;

    (void) state;
    assert_int_equal(host_vm_write(&out, &m), 0);
    assert_int_equal(decode(&host_vm_table, &back), 0);
    assert_string_equal(back.id, "42");
    assert_true(back.has_timings && back.timings_us.slot == 1 && back.timings_us.total == 15);
    assert_null(back.end_reason);
    buf_clear(&out);
    m.has_timings = false;
    m.state = gone;
    m.end_reason = reason;
    m.ended_at_ms = 9;
    assert_int_equal(host_vm_reply_write(&out, &m), 0);
    assert_memory_equal(buf_cstr(&out), "{\"vm\":{\"id\":\"42\"", 16);
    assert_int_equal(decode(&host_vm_reply_table, &back), 0);
    assert_false(back.has_timings);
    assert_string_equal(back.end_reason, "timeout");
    assert_int_equal(back.ended_at_ms, 9);
    buf_clear(&out);
    assert_int_equal(buf_append_str(&out, "{\"vm\":{\"id\":42,\"state\":\"running\"}}"), 0);
    assert_int_equal(decode(&host_vm_reply_table, &back), -EINVAL);
    assert_string_equal(err.text, "vm.generation: is required");
}

static void test_heartbeat(void **state)
{
    struct host_vm vms[2] = {sample_vm(), sample_vm()};
    struct host_template templates[2] = {
        {.slug = slug, .version = version, .status = ready, .cpu_count = 2, .memory_mb = 512},
        {.slug = slug, .version = version, .status = failed, .message = message},
    };
    struct host_heartbeat m = {.host_api_url = url, .gateway_url = url, .version = version, .accelerator = tcg,
                               .capacity = {8, 16384, 100}, .used = {2, 512, 1}, .disk = {1000, INT64_MAX},
                               .templates = {templates, 2}, .vms = {vms, 2}}, back;

    (void) state;
    vms[1].state = gone;
    assert_int_equal(host_heartbeat_write(&out, &m), 0);
    assert_int_equal(decode(&host_heartbeat_table, &back), 0);
    assert_true(back.capacity.memory_mb == 16384 && back.used.vms == 1 && back.disk.bytes_free == INT64_MAX);
    assert_int_equal(back.templates.count, 2);
    assert_string_equal(((struct host_template *) back.templates.items)[1].message, "no disk");
    assert_null(((struct host_template *) back.templates.items)[0].message);
    assert_int_equal(back.vms.count, 2);
    assert_string_equal(((struct host_vm *) back.vms.items)[1].state, "gone");
    assert_true(((struct host_vm *) back.vms.items)[0].has_timings);
    vms[1].id = NULL;
    buf_clear(&out);
    assert_int_equal(host_heartbeat_write(&out, &m), 0);
    assert_int_equal(decode(&host_heartbeat_table, &back), -EINVAL);
    assert_string_equal(err.text, "vms[1].id: is required");
}

static void test_heartbeat_reply(void **state)
{
    char *acks[] = {id};
    struct host_heartbeat_reply m = {.host = {host, true}, .ended_ack = {acks, 1}, .now_ms = 5}, back;

    (void) state;
    assert_int_equal(host_heartbeat_reply_write(&out, &m), 0);
    assert_string_equal(buf_cstr(&out), "{\"host\":{\"name\":\"sb-1\",\"drain\":true},\"ended_ack\":[\"42\"],\"now_ms\":5}");
    assert_int_equal(decode(&host_heartbeat_reply_table, &back), 0);
    assert_true(back.host.drain && back.now_ms == 5);
    assert_string_equal(back.ended_ack.items[0], "42");
}

static void test_deadline(void **state)
{
    struct host_deadline m = {.generation = UINT64_MAX, .deadline_ms = 7}, back;

    (void) state;
    assert_int_equal(host_deadline_write(&out, &m), 0);
    assert_int_equal(decode(&host_deadline_table, &back), 0);
    assert_true(back.generation == UINT64_MAX && back.deadline_ms == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_vm_spec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeat_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
