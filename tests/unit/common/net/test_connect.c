/* SPDX-License-Identifier: Apache-2.0 */
/* test_connect - outcomes, deadline, cancelling; never a callback from inside the call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"

struct fixture {
    struct loop *loop;
    int listener;
    struct net_addr to;
    struct op *op;
    unsigned calls;
    int result, fd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(net_addr_parse(&f->to, "127.0.0.1:0", NULL), 0);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *) &f->to.sa, f->to.len), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *) &f->to.sa, &f->to.len), 0);
    f->fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    op_cancel(&f->op);
    if (f->fd >= 0)
        close(f->fd);
    close(f->listener);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void on_connected(void *arg, int r, int fd)
{
    struct fixture *f = arg;

    assert_null(f->op); /* cleared before the call */
    f->calls++;
    f->result = r;
    f->fd = fd;
}

static void wait_for_call(struct fixture *f)
{
    while (!f->calls)
        assert_int_equal(loop_turn(f->loop, 10000), 0);
}

static void success_gives_a_nonblocking_descriptor(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(listen(f->listener, 4), 0);
    assert_int_equal(net_connect(f->loop, &f->to, 5000, &f->op, on_connected, f), 0);
    assert_int_equal(f->calls, 0);
    assert_non_null(f->op);
    wait_for_call(f);
    assert_int_equal(f->result, 0);
    assert_true(fcntl(f->fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
}

static void a_closed_port_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(net_connect(f->loop, &f->to, 5000, &f->op, on_connected, f), 0); /* bound, not listening */
    assert_int_equal(f->calls, 0);
    wait_for_call(f);
    assert_int_equal(f->result, -ECONNREFUSED);
    assert_int_equal(f->fd, -1);
}

static void what_connect_says_at_once_comes_from_the_loop(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
    struct net_addr to = {.len = sizeof(any)};

    memcpy(&to.sa, &any, sizeof(any));
    assert_int_equal(net_connect(f->loop, &to, 5000, &f->op, on_connected, f), 0);
    assert_int_equal(f->calls, 0);
    wait_for_call(f);
    assert_true(f->result < 0);
}

static void a_silent_peer_meets_the_deadline(void **state)
{
    struct fixture *f = *state;
    int filler[8];

    /* A full backlog: further SYNs are dropped. */
    assert_int_equal(listen(f->listener, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void) connect(filler[i], (struct sockaddr *) &f->to.sa, f->to.len);
    }
    usleep(20000);
    assert_int_equal(net_connect(f->loop, &f->to, 60, &f->op, on_connected, f), 0);
    wait_for_call(f);
    assert_int_equal(f->result, -ETIMEDOUT);
    for (size_t i = 0; i < ARRAY_LEN(filler); i++)
        close(filler[i]);
}

static void a_cancelled_connect_never_calls(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(listen(f->listener, 4), 0);
    assert_int_equal(net_connect(f->loop, &f->to, 10, &f->op, on_connected, f), 0);
    op_cancel(&f->op);
    op_cancel(&f->op);
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_turn(f->loop, 10), 0);
    assert_int_equal(f->calls, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(success_gives_a_nonblocking_descriptor), T(a_closed_port_is_refused),        T(what_connect_says_at_once_comes_from_the_loop),
        T(a_silent_peer_meets_the_deadline),       T(a_cancelled_connect_never_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
