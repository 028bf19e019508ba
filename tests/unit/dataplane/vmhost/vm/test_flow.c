/* SPDX-License-Identifier: Apache-2.0 */
/* test_flow - steps forward, waits, failures at each place, undo backwards, jobs on worker threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/loop/loop.h"
#include "dataplane/vmhost/vm/flow.h"

struct fixture {
    struct loop *loop;
    struct flow flow;
    char trace[64];
    int r;
    unsigned done;
    char why[100];
    char fails;        /* this step fails */
    bool waits;        /* steps and undos wait for the test */
    bool next_inside;  /* flow_next() comes before the step has returned */
    int worked;
};


static void add(struct fixture *f, char c)
{
    size_t n = strlen(f->trace);

    assert_true(n + 1 < sizeof(f->trace));
    f->trace[n] = c;
}

static int step(struct fixture *f, struct flow *flow, char name, struct err *e)
{
    add(f, name);
    if (f->fails == name)
        return err_set(e, -EIO, "step %c", name);
    if (f->next_inside) {
        flow_next(flow);
        return FLOW_WAIT;
    }
    return f->waits ? FLOW_WAIT : FLOW_NEXT;
}

static int undo(struct fixture *f, char name)
{
    add(f, name);
    return f->waits ? FLOW_WAIT : FLOW_NEXT;
}

static int run_a(struct flow *flow, void *arg, struct err *e)
{
    return step(arg, flow, 'a', e);
}
static int run_b(struct flow *flow, void *arg, struct err *e)
{
    return step(arg, flow, 'b', e);
}
static int run_c(struct flow *flow, void *arg, struct err *e)
{
    return step(arg, flow, 'c', e);
}
static int undo_a(struct flow *flow, void *arg)
{
    (void) flow;
    return undo(arg, 'A');
}
static int undo_b(struct flow *flow, void *arg)
{
    (void) flow;
    return undo(arg, 'B');
}

static const struct flow_step steps[] = {{"a", run_a, undo_a}, {"b", run_b, undo_b}, {"c", run_c, NULL}, {0}};

static void on_done(void *arg, int r, const struct err *e)
{
    struct fixture *f = arg;

    f->done++;
    f->r = r;
    snprintf(f->why, sizeof(f->why), "%.99s", e->text);
}

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    assert_int_equal(loop_new(&f.loop), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    flow_drop(&f->flow);
    loop_free(f->loop);
    return 0;
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
}

static void test_straight(void **state)
{
    struct fixture *f = *state;

    flow_start(&f->flow, f->loop, steps, on_done, f);
    assert_string_equal(f->trace, ""); /* never from inside */
    turn(f);
    assert_string_equal(f->trace, "abc");
    assert_int_equal(f->done, 1);
    assert_int_equal(f->r, 0);
    assert_false(flow_running(&f->flow));
}

static void test_waits(void **state)
{
    struct fixture *f = *state;

    f->waits = true;
    flow_start(&f->flow, f->loop, steps, on_done, f);
    turn(f);
    assert_string_equal(f->trace, "a");
    flow_next(&f->flow);
    turn(f);
    assert_string_equal(f->trace, "ab");
    flow_next(&f->flow);
    turn(f);
    flow_next(&f->flow);
    turn(f);
    assert_string_equal(f->trace, "abc");
    assert_int_equal(f->done, 1);
}

static void test_next_inside_the_step(void **state)
{
    struct fixture *f = *state;

    f->next_inside = true;
    flow_start(&f->flow, f->loop, steps, on_done, f);
    turn(f);
    assert_string_equal(f->trace, "abc");
    assert_int_equal(f->done, 1);
}

static void test_a_step_fails(void **state)
{
    const char *const traces[] = {"aA", "abBA", "abcBA"};
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        memset(f->trace, 0, sizeof(f->trace));
        f->fails = (char) ('a' + i);
        flow_start(&f->flow, f->loop, steps, on_done, f);
        turn(f);
        assert_string_equal(f->trace, traces[i]);
        assert_int_equal(f->r, -EIO);
        assert_memory_equal(f->why, "step", 4);
    }
    assert_int_equal(f->done, 3);
}

static void test_fails_while_waiting(void **state)
{
    struct fixture *f = *state;

    f->waits = true;
    flow_start(&f->flow, f->loop, steps, on_done, f);
    turn(f);
    flow_next(&f->flow);
    turn(f);
    assert_int_equal(flow_fail(&f->flow, -ECANCELED, "stop %d", 5), -ECANCELED);
    flow_fail(&f->flow, -EIO, "too late");
    turn(f);
    assert_true(flow_undoing(&f->flow));
    assert_string_equal(f->trace, "abB");
    flow_fail(&f->flow, -EIO, "while undoing");
    flow_next(&f->flow);
    turn(f);
    assert_string_equal(f->trace, "abBA");
    assert_int_equal(f->done, 0);
    flow_next(&f->flow);
    turn(f);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->r, -ECANCELED);
    assert_string_equal(f->why, "stop 5");
}

static void test_drop(void **state)
{
    struct fixture *f = *state;

    f->waits = true;
    flow_start(&f->flow, f->loop, steps, on_done, f);
    turn(f);
    flow_drop(&f->flow);
    turn(f);
    assert_string_equal(f->trace, "a");
    assert_int_equal(f->done, 0);
}

/* ---- jobs ---- */

static int job(void *arg, struct err *e)
{
    struct fixture *f = arg;

    f->worked++;
    return f->fails == 'j' ? err_set(e, -ENOSPC, "job") : 0;
}

static int run_job(struct flow *flow, void *arg, struct err *e)
{
    add(arg, 'j');
    int r = flow_work(flow, job, arg);

    return r < 0 ? err_set(e, r, "work") : FLOW_WAIT;
}

static int undo_job(struct flow *flow, void *arg)
{
    add(arg, 'J');
    return flow_work(flow, job, arg) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

static const struct flow_step job_steps[] = {{"job", run_job, undo_job}, {"c", run_c, NULL}, {0}};

static void run_to_end(struct fixture *f)
{
    flow_start(&f->flow, f->loop, job_steps, on_done, f);
    for (int i = 0; i < 1000 && !f->done; i++)
        assert_int_equal(loop_turn(f->loop, 10), 0);
    assert_int_equal(f->done, 1);
}

static void test_job(void **state)
{
    struct fixture *f = *state;

    run_to_end(f);
    assert_string_equal(f->trace, "jc");
    assert_int_equal(f->worked, 1);
}

static void test_job_fails(void **state)
{
    struct fixture *f = *state;

    f->fails = 'j';
    run_to_end(f);
    assert_string_equal(f->trace, "jJ");
    assert_int_equal(f->worked, 2); /* the job of an undo is its own affair */
    assert_int_equal(f->r, -ENOSPC);
    assert_string_equal(f->why, "job");
}

/* The undo must not run beside the job it undoes. */
static void test_fails_while_a_job_runs(void **state)
{
    struct fixture *f = *state;

    flow_start(&f->flow, f->loop, job_steps, on_done, f);
    while (!f->trace[0])
        assert_int_equal(loop_turn(f->loop, 10), 0);
    flow_fail(&f->flow, -ECANCELED, "stop");
    assert_string_equal(f->trace, "j");
    for (int i = 0; i < 1000 && !f->done; i++)
        assert_int_equal(loop_turn(f->loop, 10), 0);
    assert_string_equal(f->trace, "jJ");
    assert_int_equal(f->worked, 2);
    assert_int_equal(f->r, -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_straight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_inside_the_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_step_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fails_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fails_while_a_job_runs, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
