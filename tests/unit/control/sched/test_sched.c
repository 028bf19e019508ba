/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/attr.h"
#include "control/sched/sched.h"

static const struct sched_need need = {.cpu_count = 2, .memory_mb = 1024};

static struct sched_host host(int64_t id)
{
    return (struct sched_host){
        .id = id,
        .fresh = true,
        .has_template = true,
        .capacity_vcpus = 16,
        .capacity_memory_mb = 16384,
        .capacity_vms = 10,
        .disk_bytes_total = 1000,
        .disk_bytes_free = 500,
    };
}

static void what_a_host_must_have(void **state)
{
    struct sched_host h = host(1);

    (void)state;
    assert_true(sched_fits(&h, &need));
    h.fresh = false;
    assert_false(sched_fits(&h, &need));
    h = host(1);
    h.draining = true;
    assert_false(sched_fits(&h, &need));
    h = host(1);
    h.has_template = false;
    assert_false(sched_fits(&h, &need));
}

static void room_is_exact(void **state)
{
    struct sched_host h = host(1);

    (void)state;
    h.reserved_vcpus = 14;
    assert_true(sched_fits(&h, &need));
    h.reserved_vcpus = 15;
    assert_false(sched_fits(&h, &need));
    h = host(1);
    h.reserved_memory_mb = 16384 - 1024;
    assert_true(sched_fits(&h, &need));
    h.reserved_memory_mb++;
    assert_false(sched_fits(&h, &need));
    h = host(1);
    h.reserved_vms = 9;
    assert_true(sched_fits(&h, &need));
    h.reserved_vms = 10;
    assert_false(sched_fits(&h, &need));
    h = host(1);
    h.capacity_vcpus = 0;
    assert_false(sched_fits(&h, &need));
}

static void hz18_full_disk(void **state)
{
    struct sched_host h = host(1);

    (void)state;
    h.disk_bytes_free = 50;
    assert_true(sched_fits(&h, &need));
    h.disk_bytes_free = 49;
    assert_false(sched_fits(&h, &need));
    h.disk_bytes_total = INT64_MAX;
    h.disk_bytes_free = INT64_MAX / 2;
    assert_true(sched_fits(&h, &need));
    h.disk_bytes_total = 0; /* not told */
    assert_true(sched_fits(&h, &need));
}

static void least_loaded_wins(void **state)
{
    struct sched_host hosts[] = {host(3), host(2), host(1)};

    (void)state;
    assert_int_equal(sched_pick(hosts, 3, &need, NULL, 0)->id, 1); /* equals: the least id */
    hosts[2].reserved_vcpus = 4;
    assert_int_equal(sched_pick(hosts, 3, &need, NULL, 0)->id, 2);
    hosts[1].reserved_memory_mb = 8192; /* the scarcest resource counts */
    assert_int_equal(sched_pick(hosts, 3, &need, NULL, 0)->id, 3);
    hosts[0].reserved_vms = 9;
    assert_int_equal(sched_pick(hosts, 3, &need, NULL, 0)->id, 1);
    hosts[2].capacity_vcpus = 6; /* the same load weighs more on a small host */
    assert_int_equal(sched_pick(hosts, 3, &need, NULL, 0)->id, 2);
}

static void some_are_left_out(void **state)
{
    struct sched_host hosts[] = {host(1), host(2)};
    const int64_t except[] = {1, 2};

    (void)state;
    assert_int_equal(sched_pick(hosts, 2, &need, except, 1)->id, 2);
    assert_null(sched_pick(hosts, 2, &need, except, 2));
    assert_null(sched_pick(hosts, 0, &need, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_host_must_have), cmocka_unit_test(room_is_exact),
        cmocka_unit_test(hz18_full_disk),        cmocka_unit_test(least_loaded_wins),
        cmocka_unit_test(some_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
