/* SPDX-License-Identifier: Apache-2.0 */
/* test_timer - order, replacing, cancelling; on a fake clock where time matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/loop/loop.h"

enum { TIMERS = 500 };

struct fixture;
struct mark {
    struct fixture *f;
    struct timer *timer;
    uint64_t due_ms;
    unsigned order; /* in which it was set */
};

struct fixture {
    struct loop *loop;
    uint64_t now_ns, real_ns;
    struct mark marks[TIMERS];
    unsigned fired[TIMERS];
    unsigned count;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->now_ns = UINT64_C(5000000000);
    clock_fake(&f->now_ns, &f->real_ns);
    assert_int_equal(loop_new(&f->loop), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < TIMERS; i++)
        timer_free(f->marks[i].timer);
    loop_free(f->loop);
    clock_fake(NULL, NULL);
    free(f);
    return 0;
}

static void on_timer(void *arg)
{
    struct mark *m = arg;

    m->f->fired[m->f->count++] = (unsigned) (m - m->f->marks);
}

static struct mark *mark_new(struct fixture *f, unsigned i, uint64_t after_ms)
{
    struct mark *m = &f->marks[i];

    m->f = f;
    m->timer = timer_new(f->loop, on_timer, m);
    m->due_ms = after_ms;
    timer_set(m->timer, after_ms);
    return m;
}

static void advance(struct fixture *f, uint64_t ms)
{
    f->now_ns += ms * 1000000;
    assert_int_equal(loop_turn(f->loop, 0), 0);
}

static void timers_fire_in_order_of_time_then_of_setting(void **state)
{
    struct fixture *f = *state;

    srand(7);
    for (unsigned i = 0; i < TIMERS; i++)
        mark_new(f, i, (uint64_t) (rand() % 50));
    advance(f, 1000);
    assert_int_equal(f->count, TIMERS);
    for (unsigned i = 1; i < TIMERS; i++) {
        const struct mark *a = &f->marks[f->fired[i - 1]], *b = &f->marks[f->fired[i]];

        assert_true(a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a < b));
    }
}

static void timers_fire_on_time_and_only_once(void **state)
{
    struct fixture *f = *state;
    struct mark *m = mark_new(f, 0, 100);

    advance(f, 99);
    assert_int_equal(f->count, 0);
    assert_true(timer_pending(m->timer));
    advance(f, 1);
    assert_int_equal(f->count, 1);
    assert_false(timer_pending(m->timer));
    advance(f, 1000);
    assert_int_equal(f->count, 1);
}

static void setting_again_replaces_in_both_directions(void **state)
{
    struct fixture *f = *state;
    struct mark *later = mark_new(f, 0, 10), *sooner = mark_new(f, 1, 100);

    timer_set(later->timer, 50);
    timer_set(sooner->timer, 20);
    advance(f, 19);
    assert_int_equal(f->count, 0);
    advance(f, 1);
    assert_int_equal(f->count, 1);
    assert_int_equal(f->fired[0], 1);
    advance(f, 29);
    assert_int_equal(f->count, 1);
    timer_set(later->timer, 30); /* pushed on again and again, as an idle deadline is */
    advance(f, 29);
    timer_set(later->timer, 30);
    advance(f, 29);
    assert_int_equal(f->count, 1);
    advance(f, 1);
    assert_int_equal(f->count, 2);
}

static void the_order_holds_for_timers_that_were_moved(void **state)
{
    struct fixture *f = *state;

    mark_new(f, 0, 10);
    mark_new(f, 1, 40);
    timer_set(f->marks[0].timer, 40); /* same time as 1, set after it */
    mark_new(f, 2, 40);
    advance(f, 40);
    assert_int_equal(f->count, 3);
    assert_int_equal(f->fired[0], 1);
    assert_int_equal(f->fired[1], 0);
    assert_int_equal(f->fired[2], 2);
}

static void cancelled_timers_do_not_fire(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < TIMERS; i++)
        mark_new(f, i, (uint64_t) (i % 17));
    for (unsigned i = 0; i < TIMERS; i += 2)
        timer_cancel(f->marks[i].timer);
    timer_cancel(f->marks[0].timer);
    timer_cancel(NULL);
    advance(f, 100);
    assert_int_equal(f->count, TIMERS / 2);
    for (unsigned i = 0; i < f->count; i++)
        assert_int_equal(f->fired[i] % 2, 1);
}

static void on_again(void *arg)
{
    struct mark *m = arg;

    m->f->count++;
    timer_set(m->timer, 0);
}

static void a_timer_that_sets_itself_to_zero_runs_once_a_turn(void **state)
{
    struct fixture *f = *state;
    struct mark *m = &f->marks[0];

    m->f = f;
    m->timer = timer_new(f->loop, on_again, m);
    timer_set(m->timer, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(loop_turn(f->loop, 0), 0);
        assert_int_equal(f->count, i);
    }
}

static void on_free(void *arg)
{
    struct mark *m = arg;

    m->f->count++;
    timer_free(m->timer);
    m->timer = NULL;
    timer_free(m->f->marks[1].timer); /* due in the same turn: must not fire */
    m->f->marks[1].timer = NULL;
}

static void timers_may_be_freed_in_callbacks(void **state)
{
    struct fixture *f = *state;
    struct mark *m = &f->marks[0];

    m->f = f;
    m->timer = timer_new(f->loop, on_free, m);
    timer_set(m->timer, 5);
    mark_new(f, 1, 5);
    advance(f, 5);
    assert_int_equal(f->count, 1);
}

static void far_times_do_not_overflow(void **state)
{
    struct fixture *f = *state;
    struct mark *m = mark_new(f, 0, UINT64_MAX);

    advance(f, 86400000);
    assert_int_equal(f->count, 0);
    assert_true(timer_pending(m->timer));
}

static void now_is_kept_within_a_turn(void **state)
{
    struct fixture *f = *state;
    uint64_t before = loop_now_ms(f->loop);

    f->now_ns += 7000000;
    assert_int_equal(loop_now_ms(f->loop), before);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(loop_now_ms(f->loop), before + 7);
}

/* ---- on the real clock ---- */

static void on_real(void *arg)
{
    *(uint64_t *) arg = clock_mono_ns();
}

static void a_real_timer_wakes_the_loop_never_early_and_soon(void **state)
{
    struct loop *l;
    struct timer *t;
    uint64_t fired = 0, begin;

    (void) state;
    assert_int_equal(loop_new(&l), 0);
    t = timer_new(l, on_real, &fired);
    begin = clock_mono_ns();
    timer_set(t, 500);
    timer_set(t, 20);
    while (!fired)
        assert_int_equal(loop_turn(l, 10000), 0);
    assert_true(fired - begin >= 20000000);
    assert_true(fired - begin < UINT64_C(400000000));
    begin = clock_mono_ns();
    assert_int_equal(loop_turn(l, 15), 0); /* nothing to do: waits */
    assert_true(clock_mono_ns() - begin >= 15000000);
    timer_free(t);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time_then_of_setting, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_on_time_and_only_once, setup, teardown),
        cmocka_unit_test_setup_teardown(setting_again_replaces_in_both_directions, setup, teardown),
        cmocka_unit_test_setup_teardown(the_order_holds_for_timers_that_were_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_timers_do_not_fire, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_that_sets_itself_to_zero_runs_once_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_may_be_freed_in_callbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(far_times_do_not_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(now_is_kept_within_a_turn, setup, teardown),
        cmocka_unit_test(a_real_timer_wakes_the_loop_never_early_and_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
