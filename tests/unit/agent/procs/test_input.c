/* SPDX-License-Identifier: Apache-2.0 */
/* test_input - in order, answered once, bounded, and over when the reader has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/procs/input.h"
#include "common/loop/loop.h"

struct fixture {
    struct loop *loop;
    struct input in;
    struct input_budget budget;
    int read_fd;
    unsigned count;
    uint32_t reqs[64];
    enum input_result results[64];
};

static void on_done(void *arg, const struct input_ref *ref, enum input_result r)
{
    struct fixture *x = arg;

    assert_true(x->count < 64);
    x->reqs[x->count] = ref->req;
    x->results[x->count++] = r;
}

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    int p[2];

    signal(SIGPIPE, SIG_IGN);
    x->budget.bytes_max = 3 * MIB;
    assert_int_equal(loop_new(&x->loop), 0);
    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    x->read_fd = p[0];
    input_init(&x->in, x->loop, p[1], false, &x->budget, on_done, x);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    input_deinit(&x->in);
    assert_int_equal(x->budget.bytes, 0);
    loop_free(x->loop);
    if (x->read_fd >= 0)
        close(x->read_fd);
    free(x);
    return 0;
}

static struct input_ref ref(uint32_t req)
{
    return (struct input_ref){.link = 1, .req = req};
}

static void test_waits_for_the_program_then_in_order(void **state)
{
    struct fixture *x = *state;
    struct input_ref a = ref(1), b = ref(2), c = ref(3), d = ref(4);
    char got[16];

    input_write(&x->in, &a, "one ", 4);
    input_write(&x->in, &b, "", 0);
    input_write(&x->in, &c, "two", 3);
    input_close(&x->in, &d);
    assert_int_equal(x->count, 0);
    input_start(&x->in);
    assert_int_equal(x->count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(x->reqs[i], i + 1);
        assert_int_equal(x->results[i], INPUT_TAKEN);
    }
    assert_int_equal(read(x->read_fd, got, sizeof(got)), 7);
    assert_memory_equal(got, "one two", 7);
    assert_int_equal(read(x->read_fd, got, sizeof(got)), 0);
    input_write(&x->in, &a, "late", 4);
    assert_int_equal(x->results[4], INPUT_CLOSED);
    input_close(&x->in, &a);
    assert_int_equal(x->results[5], INPUT_TAKEN);
}

static void test_back_pressure_and_limit(void **state)
{
    struct fixture *x = *state;
    struct input_ref a = ref(1), b = ref(2), c = ref(3);
    char *big = calloc(1, MIB);
    size_t total = 0;

    input_start(&x->in);
    input_write(&x->in, &a, big, MIB);
    assert_int_equal(x->count, 0); /* the pipe is smaller */
    input_write(&x->in, &b, big, MIB);
    input_write(&x->in, &c, big, 1);
    assert_int_equal(x->count, 1);
    assert_int_equal(x->reqs[0], 3);
    assert_int_equal(x->results[0], INPUT_FULL);
    while (x->count < 3) {
        ssize_t n = read(x->read_fd, big, MIB);

        if (n > 0)
            total += (size_t) n;
        assert_int_equal(loop_turn(x->loop, 100), 0);
    }
    assert_int_equal(x->reqs[1], 1);
    assert_int_equal(x->reqs[2], 2);
    assert_true(total >= MIB);
    free(big);
}

static void test_reader_goes(void **state)
{
    struct fixture *x = *state;
    struct input_ref a = ref(1), b = ref(2);
    char *big = calloc(1, MIB);

    input_start(&x->in);
    input_write(&x->in, &a, big, MIB);
    input_write(&x->in, &b, "x", 1);
    close(x->read_fd);
    x->read_fd = -1;
    while (x->count < 2)
        assert_int_equal(loop_turn(x->loop, 100), 0);
    assert_int_equal(x->results[0], INPUT_CLOSED);
    assert_int_equal(x->results[1], INPUT_CLOSED);
    free(big);
}

static void test_all_together_are_bounded(void **state)
{
    struct fixture *x = *state;
    struct input_ref a = ref(1);
    struct input other;
    char *big = calloc(1, MIB);
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    input_init(&other, x->loop, p[1], false, &x->budget, on_done, x);
    for (int i = 0; i < 2; i++)
        input_write(&x->in, &a, big, MIB);
    input_write(&other, &a, big, MIB);
    assert_int_equal(x->count, 0);
    input_write(&other, &a, big, 1);
    assert_int_equal(x->count, 1);
    assert_int_equal(x->results[0], INPUT_FULL);
    input_deinit(&other);
    close(p[0]);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_waits_for_the_program_then_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure_and_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_together_are_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
