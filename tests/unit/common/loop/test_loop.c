/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop - readiness, deferred calls, the reaper and signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/loop/loop.h"

struct trace {
    char text[64];
};

static void trace_add(struct trace *t, char c)
{
    size_t n = strlen(t->text);

    assert_true(n + 1 < sizeof(t->text));
    t->text[n] = c;
}

struct fixture {
    struct loop *loop;
    int pair[2];
    struct io *io;
    struct trace trace;
    unsigned seen, calls;
    struct defer a, b, c;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    assert_int_equal(loop_new(&f.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f.pair), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_close(f->io);
    close(f->pair[0]);
    close(f->pair[1]);
    loop_free(f->loop);
    return 0;
}

static void on_io(void *arg, unsigned events)
{
    struct fixture *f = arg;

    f->seen |= events;
    f->calls++;
}

static void io_is_level_triggered_and_wants_nothing_at_first(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->pair[1], "x", 1), 1);
    assert_int_equal(io_open(&f->io, f->loop, f->pair[0], on_io, f), 0);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 0);
    io_want(f->io, IO_READ);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->calls, 2);
    assert_int_equal(f->seen, IO_READ);
    io_want(f->io, IO_WRITE);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->seen, IO_READ | IO_WRITE);
    io_want(f->io, 0);
    f->calls = 0;
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 0);
}

static void on_io_close(void *arg, unsigned events)
{
    struct fixture *f = arg;

    (void) events;
    f->calls++;
    io_close(f->io);
    f->io = NULL;
}

static void io_closed_in_its_own_callback_is_never_called_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->pair[1], "x", 1), 1);
    assert_int_equal(io_open(&f->io, f->loop, f->pair[0], on_io_close, f), 0);
    io_want(f->io, IO_READ | IO_WRITE); /* both are ready: the second must not come */
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 1);
}

static void io_refuses_a_bad_descriptor(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(io_open(&f->io, f->loop, -1, on_io, f), -EBADF);
}

/* ---- deferred ---- */

static void on_b(void *arg)
{
    trace_add(&((struct fixture *) arg)->trace, 'b');
}

static void on_c(void *arg)
{
    trace_add(&((struct fixture *) arg)->trace, 'c');
}

static void on_a(void *arg)
{
    struct fixture *f = arg;

    trace_add(&f->trace, 'a');
    loop_defer(f->loop, &f->c, on_c, f); /* next turn */
    defer_cancel(&f->b);
}

static void deferred_calls_run_in_order_once_and_can_be_cancelled(void **state)
{
    struct fixture *f = *state;

    loop_defer(f->loop, &f->a, on_a, f);
    loop_defer(f->loop, &f->b, on_b, f);
    loop_defer(f->loop, &f->a, on_a, f); /* pending already */
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_string_equal(f->trace.text, "a");
    assert_int_equal(loop_turn(f->loop, 100000), 0); /* does not wait: c is pending */
    assert_string_equal(f->trace.text, "ac");
    loop_defer(f->loop, &f->b, on_b, f);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_string_equal(f->trace.text, "acb");
}

/* ---- reaper ---- */

struct parent {
    struct fixture *f;
};

static void reap_child(void *object)
{
    trace_add(&((struct fixture *) object)->trace, '2');
}

static void reap_parent(void *object)
{
    struct parent *p = object;

    trace_add(&p->f->trace, '1');
    for (int i = 0; i < 40; i++) /* grows the list that is being walked */
        loop_reap(p->f->loop, p->f, reap_child);
}

static void reaping_comes_after_deferred_calls_and_may_reap_more(void **state)
{
    struct fixture *f = *state;
    struct parent p = {f};
    char want[43] = "b1";

    memset(want + 2, '2', 40);
    loop_reap(f->loop, &p, reap_parent);
    loop_defer(f->loop, &f->b, on_b, f);
    assert_int_equal(loop_turn(f->loop, 100000), 0);
    assert_string_equal(f->trace.text, want);
}

static void loop_free_runs_the_reaper(void **state)
{
    struct fixture *f = *state;
    struct loop *l;

    assert_int_equal(loop_new(&l), 0);
    loop_reap(l, f, reap_child);
    loop_free(l);
    assert_string_equal(f->trace.text, "2");
    loop_free(NULL);
}

/* ---- stop and signals ---- */

static void on_stop(void *arg)
{
    loop_stop(((struct fixture *) arg)->loop);
}

static void loop_stop_ends_loop_run_also_when_it_comes_first(void **state)
{
    struct fixture *f = *state;

    loop_stop(f->loop);
    assert_int_equal(loop_run(f->loop), 0);
    loop_defer(f->loop, &f->a, on_stop, f);
    assert_int_equal(loop_run(f->loop), 0);
}

static void on_signal(void *arg, int signo)
{
    struct fixture *f = arg;

    f->seen = (unsigned) signo;
    loop_stop(f->loop);
}

static void signals_become_callbacks(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_signal(f->loop, SIGHUP, on_signal, f), 0);
    assert_int_equal(loop_signal(f->loop, SIGHUP, on_signal, f), -EEXIST);
    assert_int_equal(loop_signal(f->loop, 0, on_signal, f), -EINVAL);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->seen, SIGHUP);
}

static void the_loops_descriptors_are_close_on_exec(void **state)
{
    bool before[64];
    struct loop *l;
    unsigned added = 0;

    (void) state;
    for (int fd = 0; fd < 64; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    assert_int_equal(loop_new(&l), 0);
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (before[fd] || flags < 0)
            continue;
        assert_true(flags & FD_CLOEXEC);
        added++;
    }
    assert_true(added > 0);
    loop_free(l);
    for (int fd = 0; fd < 64; fd++)
        assert_int_equal(before[fd], fcntl(fd, F_GETFD) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(io_is_level_triggered_and_wants_nothing_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(io_closed_in_its_own_callback_is_never_called_again, setup, teardown),
        cmocka_unit_test_setup_teardown(io_refuses_a_bad_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(deferred_calls_run_in_order_once_and_can_be_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(reaping_comes_after_deferred_calls_and_may_reap_more, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_free_runs_the_reaper, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_stop_ends_loop_run_also_when_it_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_become_callbacks, setup, teardown),
        cmocka_unit_test(the_loops_descriptors_are_close_on_exec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
