/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from a report and the rows: one line of the table a case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/wire/host_api.h"
#include "control/db/sandboxes_life.h"
#include "control/hosts/reconcile.h"

enum { HOST = 7, OTHER_HOST = 8, GRACE_MS = 1000 };

static struct life_row row(const char *state)
{
    return (struct life_row){.id = 1,
                             .generation = 2,
                             .host_id = HOST,
                             .state = state,
                             .on_host = true,
                             .deadline_us = 5000000,
                             .missing_ms = -1,
                             .on_timeout = "kill"};
}

static struct host_vm vm(const char *state)
{
    return (struct host_vm){
        .id = (char *)"1", .generation = 2, .state = (char *)state, .deadline_ms = 5000};
}

/* The plan as text: "kill 1@2, end failed lost 1@2 ..." */
static const char *plan(const struct host_vm *v, const struct life_row *r)
{
    static char text[400];
    static const char *const kinds[] = {"kill", "deadline", "end", "off", "missing", "seen", "ack"};
    struct arena *a = arena_new(0);
    struct reconcile_plan p;

    assert_int_equal(reconcile_make(HOST, v, v ? 1 : 0, r, r ? 1 : 0, GRACE_MS, a, &p), 0);
    text[0] = '\0';
    for (size_t i = 0; i < p.count; i++) {
        size_t n = strlen(text);

        snprintf(text + n, sizeof(text) - n, "%s%s %lld@%lld%s%s%s%s", i ? ", " : "",
                 kinds[p.items[i].kind], (long long)p.items[i].id, (long long)p.items[i].generation,
                 p.items[i].state ? " " : "", p.items[i].state ? p.items[i].state : "",
                 p.items[i].reason ? " " : "", p.items[i].reason ? p.items[i].reason : "");
    }
    arena_free(a);
    return text;
}

static void agreement_needs_nothing(void **state)
{
    static const char *const living[] = {"ready", "creating", "checkpointing", "stopping",
                                         "restoring"};

    (void)state;
    for (size_t i = 0; i < sizeof(living) / sizeof(living[0]); i++) {
        struct life_row r = row(living[i]);
        struct host_vm v = vm("running");

        assert_string_equal(plan(&v, &r), "");
    }
}

static void unwanted_machines_are_killed(void **state)
{
    struct host_vm v = vm("running");
    struct life_row r = row("destroyed");

    (void)state;
    assert_string_equal(plan(&v, NULL), "kill 1@2"); /* unknown here */
    assert_string_equal(plan(&v, &r), "kill 1@2");
    r = row("failed");
    assert_string_equal(plan(&v, &r), "kill 1@2");
    r = row("ready");
    r.host_id = OTHER_HOST; /* it lives elsewhere */
    assert_string_equal(plan(&v, &r), "kill 1@2");
    r = row("ready");
    r.on_host = false;
    assert_string_equal(plan(&v, &r), "kill 1@2");
    r = row("ready");
    r.generation = 3; /* a leftover of before: killed by its own generation, and ours is missing */
    assert_string_equal(plan(&v, &r), "kill 1@2, missing 1@3");
}

static void ended_machines_end_their_rows(void **state)
{
    static const struct {
        const char *reason, *plan;
    } cases[] = {
        {"timeout", "ack 1@2, end 1@2 destroyed timeout"},
        {"killed", "ack 1@2, end 1@2 destroyed killed"},
        {"guest_shutdown", "ack 1@2, end 1@2 destroyed guest_shutdown"},
        {"guest_panic", "ack 1@2, end 1@2 failed guest_panic"},
        {"qemu_died", "ack 1@2, end 1@2 failed qemu_died"},
        {"failed", "ack 1@2, end 1@2 failed failed"},
        {"of a later version", "ack 1@2, end 1@2 failed failed"},
        {NULL, "ack 1@2, end 1@2 failed failed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct life_row r = row("ready");
        struct host_vm v = vm("gone");

        v.end_reason = (char *)cases[i].reason;
        assert_string_equal(plan(&v, &r), cases[i].plan);
    }
}

static void ended_machines_of_others(void **state)
{
    struct host_vm v = vm("gone");
    struct life_row r = row("creating");

    (void)state;
    assert_string_equal(plan(&v, NULL), "ack 1@2");
    assert_string_equal(plan(&v, &r), ""); /* its maker hears of it; no acknowledgement yet */
    r.lease_expired = true;
    assert_string_equal(plan(&v, &r), "ack 1@2, end 1@2 failed failed");
    r = row("destroyed");
    assert_string_equal(plan(&v, &r), "ack 1@2, off 1@2");
    r = row("ready");
    r.host_id = OTHER_HOST;
    assert_string_equal(plan(&v, &r), "ack 1@2");
    r = row("ready");
    r.generation = 3;
    assert_string_equal(plan(&v, &r), "ack 1@2, missing 1@3");
}

static void absent_machines(void **state)
{
    struct life_row r = row("ready");

    (void)state;
    assert_string_equal(plan(NULL, &r), "missing 1@2");
    r.missing_ms = GRACE_MS - 1;
    assert_string_equal(plan(NULL, &r), "");
    r.missing_ms = GRACE_MS;
    assert_string_equal(plan(NULL, &r), "end 1@2 failed lost");
    r = row("creating");
    assert_string_equal(plan(NULL, &r), "");
    r = row("destroyed");
    assert_string_equal(plan(NULL, &r), "off 1@2");
    r = row("ready");
    r.host_id = OTHER_HOST;
    assert_string_equal(plan(NULL, &r), "");
}

static void back_again(void **state)
{
    struct life_row r = row("ready");
    struct host_vm v = vm("running");

    (void)state;
    r.missing_ms = 5;
    assert_string_equal(plan(&v, &r), "seen 1@2");
}

static void deadlines(void **state)
{
    struct life_row r = row("ready");
    struct host_vm v = vm("running");

    (void)state;
    v.deadline_ms = 5000 + 1500;
    assert_string_equal(plan(&v, &r), "");
    v.deadline_ms++;
    assert_string_equal(plan(&v, &r), "deadline 1@2");
    v.deadline_ms = 0;
    assert_string_equal(plan(&v, &r), "deadline 1@2");
    v.state = (char *)"stopping";
    assert_string_equal(plan(&v, &r), "");
}

static void foreign_ids_are_left_alone(void **state)
{
    static const char *const ids[] = {"template-base", "", "-1", "0", "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct host_vm v = vm("running");

        v.id = (char *)ids[i];
        assert_string_equal(plan(&v, NULL), "");
    }
}

static void many(void **state)
{
    enum { N = 500 };
    static struct host_vm vms[N];
    static struct life_row rows[N];
    static char ids[N][16];
    struct arena *a = arena_new(0);
    struct reconcile_plan p;

    (void)state;
    for (int i = 0; i < N;
         i++) { /* the report in one order, the rows in the other; every third machine is unknown */
        snprintf(ids[i], sizeof(ids[i]), "%d", i + 1);
        vms[i] = vm("running");
        vms[i].id = ids[i];
        rows[N - 1 - i] = row("ready");
        rows[N - 1 - i].id = i % 3 ? i + 1 : 100000 + i;
    }
    assert_int_equal(reconcile_make(HOST, vms, N, rows, N, GRACE_MS, a, &p), 0);
    assert_int_equal(p.count, 2 * ((N + 2) / 3)); /* a kill and a missing row for each */
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreement_needs_nothing),
        cmocka_unit_test(unwanted_machines_are_killed),
        cmocka_unit_test(ended_machines_end_their_rows),
        cmocka_unit_test(ended_machines_of_others),
        cmocka_unit_test(absent_machines),
        cmocka_unit_test(back_again),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(foreign_ids_are_left_alone),
        cmocka_unit_test(many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
