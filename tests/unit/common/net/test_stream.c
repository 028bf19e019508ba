/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream - plain streams: events, half-close, reset, closing inside callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/loop/loop.h"
#include "common/net/stream.h"

struct fixture {
    struct loop *loop;
    struct stream *stream;
    int peer;
    unsigned seen, calls;
    unsigned close_on; /* close the stream in the callback that brings one of these */
};

static void on_event(void *arg, unsigned events)
{
    struct fixture *f = arg;

    f->calls++;
    f->seen |= events;
    if (events & f->close_on) {
        stream_close(f->stream);
        f->stream = NULL;
    }
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(l, (struct sockaddr *) &a, len), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *) &a, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *) &a, len), 0);
    fds[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fds[1] >= 0);
    close(l);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fds[2];

    assert_int_equal(loop_new(&f->loop), 0);
    tcp_pair(fds);
    f->peer = fds[0];
    f->stream = stream_new(f->loop, fds[1], on_event, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stream_close(f->stream);
    if (f->peer >= 0)
        close(f->peer);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void open_comes_first_and_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->peer, "x", 1), 1);
    stream_want(f->stream, STREAM_READ | STREAM_WRITE);
    assert_int_equal(f->calls, 0);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->seen, STREAM_OPEN);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->seen, STREAM_OPEN | STREAM_READ | STREAM_WRITE);
    f->seen = 0;
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->seen, STREAM_READ | STREAM_WRITE); /* level-triggered, no second OPEN */
    stream_want(f->stream, 0);
    f->calls = 0;
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 0);
}

static void bytes_the_end_and_half_close(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[2] = {{(void *) "ab", 2}, {(void *) "cd", 2}};
    char text[8];

    assert_int_equal(stream_read(f->stream, text, sizeof(text)), -EAGAIN);
    assert_int_equal(stream_read(f->stream, text, 0), -EINVAL);
    assert_int_equal(stream_writev(f->stream, iov, 2), 4);
    assert_int_equal(read(f->peer, text, sizeof(text)), 4);
    assert_memory_equal(text, "abcd", 4);
    assert_int_equal(stream_shutdown_write(f->stream), 0);
    assert_int_equal(read(f->peer, text, sizeof(text)), 0); /* it sees our end and can still talk */
    assert_int_equal(write(f->peer, "yes", 3), 3);
    stream_want(f->stream, STREAM_READ);
    while (!(f->seen & STREAM_READ))
        assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(stream_read(f->stream, text, sizeof(text)), 3);
    assert_int_equal(stream_writev(f->stream, iov, 2), -EPIPE); /* and no signal */
    shutdown(f->peer, SHUT_WR);
    f->seen = 0;
    while (!(f->seen & STREAM_READ))
        assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(stream_read(f->stream, text, sizeof(text)), 0);
    assert_false(stream_is_tls(f->stream));
    assert_null(stream_peer_cn(f->stream));
    assert_string_equal(stream_failure(f->stream), "");
}

static void many_parts_are_cut_not_refused(void **state)
{
    struct fixture *f = *state;
    static struct iovec iov[3000];
    char text[4096];

    for (size_t i = 0; i < ARRAY_LEN(iov); i++)
        iov[i] = (struct iovec){(void *) "z", 1};
    assert_int_equal(stream_writev(f->stream, iov, (int) ARRAY_LEN(iov)), 1024);
    assert_int_equal(recv(f->peer, text, sizeof(text), MSG_WAITALL | MSG_DONTWAIT), 1024);
}

static void write_readiness_comes_back_when_the_peer_reads(void **state)
{
    struct fixture *f = *state;
    static char block[65536];
    struct iovec iov = {block, sizeof(block)};
    ssize_t n;

    while ((n = stream_writev(f->stream, &iov, 1)) > 0)
        ;
    assert_int_equal(n, -EAGAIN);
    stream_want(f->stream, STREAM_WRITE);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    f->seen = 0;
    assert_int_equal(loop_turn(f->loop, 10), 0);
    assert_false(f->seen & STREAM_WRITE);
    while (recv(f->peer, block, sizeof(block), MSG_DONTWAIT) > 0 && !(f->seen & STREAM_WRITE))
        assert_int_equal(loop_turn(f->loop, 1), 0);
    assert_true(f->seen & STREAM_WRITE);
}

static void closing_in_a_callback_ends_all_callbacks(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->peer, "x", 1), 1);
    stream_want(f->stream, STREAM_READ | STREAM_WRITE);
    f->close_on = STREAM_READ | STREAM_WRITE;
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_null(f->stream);
    assert_int_equal(f->calls, 2); /* OPEN and the one that closed */
}

static void closing_before_open_ends_all_callbacks(void **state)
{
    struct fixture *f = *state;

    stream_close(f->stream);
    stream_close(f->stream); /* idempotent until the reaper has run */
    f->stream = NULL;
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 0);
    stream_close(NULL);
}

static void closing_in_open_is_fine(void **state)
{
    struct fixture *f = *state;

    f->close_on = STREAM_OPEN;
    stream_want(f->stream, STREAM_WRITE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->calls, 1);
}

static void abort_is_a_reset_close_is_an_end(void **state)
{
    struct fixture *f = *state;
    char text[4];

    stream_abort(f->stream);
    f->stream = NULL;
    assert_int_equal(read(f->peer, text, sizeof(text)), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void another_owner_takes_over_the_callback(void **state)
{
    struct fixture *f = *state;
    struct fixture other = {0};

    assert_int_equal(loop_turn(f->loop, 0), 0);
    stream_set_fn(f->stream, on_event, &other);
    stream_want(f->stream, STREAM_WRITE);
    assert_int_equal(loop_turn(f->loop, 1000), 0);
    assert_int_equal(f->calls, 1);
    assert_int_equal(other.seen, STREAM_WRITE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(open_comes_first_and_once),
        T(bytes_the_end_and_half_close),
        T(many_parts_are_cut_not_refused),
        T(write_readiness_comes_back_when_the_peer_reads),
        T(closing_in_a_callback_ends_all_callbacks),
        T(closing_before_open_ends_all_callbacks),
        T(closing_in_open_is_fine),
        T(abort_is_a_reset_close_is_an_end),
        T(another_owner_takes_over_the_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
