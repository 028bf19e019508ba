/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch - deadlines by the wall clock, events of QEMU, the end of its process; everything around vm_watch.c is played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/metrics/metrics.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/vm/disk_watch.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/tombs.h"
#include "dataplane/vmhost/vm/vm.h"
#include "dataplane/vmhost/vm/vm_reboot.h"

/* ---- played ---- */

static struct played {
    struct machine_ops ops;
    void *arg;
    char ended[32];
    unsigned reboots, conts, reserves;
    bool room;
} played;

struct metric metric_vm_io_errors;

struct machine *machine_new(struct host *h, const struct machine_ops *ops, void *arg)
{
    (void) h;
    played.ops = *ops;
    played.arg = arg;
    return (struct machine *) &played;
}
void machine_free(struct machine *m)
{
    (void) m;
}
const char *machine_said(const struct machine *m)
{
    (void) m;
    return "";
}
int machine_qmp(struct machine *m, const char *command, const char *args, int fd, uint32_t deadline_ms, struct op **slot, qmp_done_fn *done, void *arg)
{
    (void) m;
    (void) args;
    (void) fd;
    (void) deadline_ms;
    (void) slot;
    (void) done;
    (void) arg;
    played.conts += str_eq(command, "cont");
    return 0;
}
void vm_end(struct vm *v, const char *reason)
{
    (void) v;
    snprintf(played.ended, sizeof(played.ended), "%s", reason);
}
void vm_reboot(struct vm *v)
{
    (void) v;
    played.reboots++;
}
bool disk_watch_may_go_on(const struct host *h)
{
    (void) h;
    return played.room;
}
void disk_watch_free_reserve(struct host *h)
{
    (void) h;
    played.reserves++;
}

/* ---- fixture ---- */

struct fixture {
    struct host host;
    struct vm vm;
    uint64_t mono_ns, real_ns;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    memset(&played, 0, sizeof(played));
    f.mono_ns = 1000000000;
    f.real_ns = 1700000000ull * 1000000000;
    clock_fake(&f.mono_ns, &f.real_ns);
    assert_int_equal(loop_new(&f.host.loop), 0);
    f.vm.host = &f.host;
    f.vm.state = VM_RUNNING;
    snprintf(f.vm.j.id, sizeof(f.vm.j.id), "1001");
    vm_machine_open(&f.vm);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    timer_free(f->vm.deadline);
    timer_free(f->vm.io_retry);
    clock_fake(NULL, NULL);
    loop_free(f->host.loop);
    return 0;
}

static void pass(struct fixture *f, uint64_t ms)
{
    f->mono_ns += ms * 1000000;
    f->real_ns += ms * 1000000;
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f->host.loop, 0), 0);
}

static void event(const char *name, const char *data)
{
    struct json_doc *doc = NULL;

    assert_int_equal(json_parse(&doc, data, strlen(data), NULL), 0);
    played.ops.on_event(played.arg, name, json_root(doc));
    json_doc_free(doc);
}

/* ---- deadlines ---- */

static void test_deadline(void **state)
{
    struct fixture *f = *state;

    f->vm.j.deadline_ms = clock_real_ms() + 5000;
    vm_arm_deadline(&f->vm);
    pass(f, 4990);
    assert_string_equal(played.ended, "");
    pass(f, 20);
    assert_string_equal(played.ended, "timeout");
}

static void test_none(void **state)
{
    struct fixture *f = *state;

    vm_arm_deadline(&f->vm);
    pass(f, 10ull * 365 * 86400 * 1000);
    assert_string_equal(played.ended, "");
}

static void test_hz15_passed_already(void **state)
{
    struct fixture *f = *state;

    f->vm.j.deadline_ms = clock_real_ms() - 100000;
    vm_arm_deadline(&f->vm);
    pass(f, 1);
    assert_string_equal(played.ended, "timeout");
}

/* A far deadline is looked at again and again: the wall clock may be set. */
static void test_the_clock_is_set(void **state)
{
    struct fixture *f = *state;

    f->vm.j.deadline_ms = clock_real_ms() + 3600000;
    vm_arm_deadline(&f->vm);
    pass(f, 1000);
    f->real_ns += 3600ull * 1000000000; /* an hour ahead */
    for (int i = 0; i < 61; i++)
        pass(f, 1000);
    assert_string_equal(played.ended, "timeout");
    played.ended[0] = '\0';
    f->vm.j.deadline_ms = clock_real_ms() + 10000;
    vm_arm_deadline(&f->vm);
    f->real_ns -= 3600ull * 1000000000; /* and back: not before its time */
    pass(f, 11000);
    assert_string_equal(played.ended, "");
}

static void test_moved(void **state)
{
    struct fixture *f = *state;

    f->vm.j.deadline_ms = clock_real_ms() + 1000;
    vm_arm_deadline(&f->vm);
    f->vm.j.deadline_ms += 5000;
    vm_arm_deadline(&f->vm);
    pass(f, 5000);
    assert_string_equal(played.ended, "");
    f->vm.j.deadline_ms = 0;
    vm_arm_deadline(&f->vm);
    pass(f, 100000);
    assert_string_equal(played.ended, "");
}

/* ---- events ---- */

static void test_shutdowns(void **state)
{
    const struct {
        const char *event, *data, *ended;
        unsigned reboots;
    } rows[] = {
        {"SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}", "guest_shutdown", 0},
        {"SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}", "", 1},
        {"SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-panic\"}", "guest_panic", 0},
        {"SHUTDOWN", "{}", "guest_shutdown", 0},
        {"SHUTDOWN", "{\"reason\":5}", "guest_shutdown", 0},
        {"GUEST_PANICKED", "{\"action\":\"pause\"}", "guest_panic", 0},
        {"STOP", "{}", "", 0},
        {"NIC_RX_FILTER_CHANGED", "{}", "", 0},
    };
    struct fixture *f = *state;

    (void) f;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        played.ended[0] = '\0';
        played.reboots = 0;
        event(rows[i].event, rows[i].data);
        assert_string_equal(played.ended, rows[i].ended);
        assert_int_equal(played.reboots, rows[i].reboots);
    }
}

static void test_hz18_a_full_disk(void **state)
{
    struct fixture *f = *state;

    event("BLOCK_IO_ERROR", "{\"device\":\"\",\"operation\":\"write\",\"action\":\"report\"}");
    assert_false(f->vm.io_error);
    event("BLOCK_IO_ERROR", "{\"device\":\"\",\"operation\":\"write\",\"action\":\"stop\"}");
    assert_true(f->vm.io_error);
    assert_int_equal(played.reserves, 1);
    for (int i = 0; i < 20; i++)
        pass(f, 1000);
    assert_int_equal(played.conts, 0); /* no room yet */
    played.room = true;
    for (int i = 0; i < 7; i++)
        pass(f, 1000);
    assert_true(played.conts >= 1);
    event("RESUME", "{}");
    assert_false(f->vm.io_error);
    played.conts = 0;
    for (int i = 0; i < 20; i++)
        pass(f, 1000);
    assert_int_equal(played.conts, 0);
    assert_string_equal(played.ended, "");
}

static void test_the_process_ends(void **state)
{
    struct fixture *f = *state;

    f->vm.state = VM_STOPPING;
    played.ops.on_exit(played.arg);
    played.ops.on_qmp_lost(played.arg);
    assert_string_equal(played.ended, ""); /* as was wanted */
    f->vm.state = VM_RUNNING;
    f->vm.leaving = true;
    played.ops.on_exit(played.arg);
    assert_string_equal(played.ended, "");
    f->vm.leaving = false;
    played.ops.on_exit(played.arg);
    assert_string_equal(played.ended, "qemu_died");
    played.ops.on_qmp_lost(played.arg);
    assert_string_equal(played.ended, "failed");
}

/* ---- states and tombs ---- */

static void test_states(void **state)
{
    (void) state;
    for (int from = 0; from < VM_STATE_COUNT; from++)
        for (int to = 0; to < VM_STATE_COUNT; to++) {
            bool legal = (from == VM_CREATING && (to == VM_RUNNING || to == VM_STOPPING)) || (from == VM_RUNNING && to == VM_STOPPING) ||
                         (from == VM_STOPPING && to == VM_GONE);

            assert_int_equal(vm_state_may_follow((enum vm_state) from, (enum vm_state) to), legal);
        }
    assert_false(vm_state_may_follow(VM_STATE_COUNT, VM_GONE));
}

static void test_tombs(void **state)
{
    struct tombs *t = tombs_new(3);

    (void) state;
    tombs_put(t, "1", 5);
    assert_true(tombs_covers(t, "1", 5) && tombs_covers(t, "1", 4));
    assert_false(tombs_covers(t, "1", 6) || tombs_covers(t, "2", 1));
    tombs_put(t, "1", 3);
    assert_true(tombs_covers(t, "1", 5));
    tombs_put(t, "2", 1);
    tombs_put(t, "3", 1);
    tombs_put(t, "1", 5); /* used again: the youngest */
    tombs_put(t, "4", 1);
    assert_false(tombs_covers(t, "2", 1));
    assert_true(tombs_covers(t, "1", 5) && tombs_covers(t, "3", 1) && tombs_covers(t, "4", 1));
    tombs_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz15_passed_already, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_clock_is_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shutdowns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz18_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_process_ends, setup, teardown),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_tombs),
    };

    log_init("test_watch", 2, LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
