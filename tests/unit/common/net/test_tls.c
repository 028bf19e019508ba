/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls - bytes and ends of TLS streams: nothing lost, nothing made up, no busy loop, no callback after the close. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/unit/common/net/tls_pair.h"

/* ---- bytes ---- */

static void transfer(struct fixture *f, bool with_pump, size_t up, size_t down, size_t chunk)
{
    unsigned char *a = pair_pattern(up + 1), *b = pair_pattern(down + 1);

    f->client.out = a;
    f->client.out_len = up;
    f->server.out = b;
    f->server.out_len = down;
    f->client.chunk = f->server.chunk = chunk;
    f->client.out_parts = 3;
    f->server.out_parts = 5;
    pair_begin(f, with_pump);
    WAIT_FOR(f, f->server.in.len == up && f->client.in.len == down);
    assert_memory_equal(buf_data(&f->server.in), a, up);
    assert_memory_equal(buf_data(&f->client.in), b, down);
    free(a);
    free(b);
}

static void bytes_arrive_whole_in_both_directions_at_once(void **state)
{
    transfer(*state, false, 3000000, 2000000, 65536);
}

static void bytes_arrive_whole_through_a_slow_middle(void **state)
{
    transfer(*state, true, 700000, 900000, 5000);
}

static void bytes_inside_the_library_are_told_without_the_socket(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pair_pattern(6000);

    f->server.out = bytes;
    f->server.out_len = 6000;
    f->server.out_parts = 3;
    f->client.chunk = 7; /* the first read takes the record off the socket */
    pair_begin(f, false);
    WAIT_FOR(f, f->client.in.len == 6000);
    assert_memory_equal(buf_data(&f->client.in), bytes, 6000);
    assert_true(f->client.calls >= 6000 / 7); /* one read a callback: level-triggered */
    for (int i = 0; i < 3; i++)
        pair_turn(f);
    f->client.calls = 0;
    assert_int_equal(loop_turn(f->loop, 5), 0); /* nothing is left: no busy loop */
    assert_int_equal(f->client.calls, 0);
    free(bytes);
}

static void bytes_wait_while_nobody_wants_them(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pair_pattern(3000);
    size_t some;

    f->server.out = bytes;
    f->server.out_len = 3000;
    f->client.chunk = 10;
    pair_begin(f, false);
    WAIT_FOR(f, f->client.in.len >= 10);
    stream_want(f->client.stream, 0);
    some = f->client.in.len;
    for (int i = 0; i < 5; i++)
        pair_turn(f);
    assert_int_equal(f->client.in.len, some);
    stream_want(f->client.stream, STREAM_READ);
    WAIT_FOR(f, f->client.in.len == 3000);
    free(bytes);
}

/* ---- ends ---- */

/* Through a pump, after the last byte of the handshake has passed. */
static void begin_open(struct fixture *f)
{
    pair_begin(f, true);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    for (int i = 0; i < 5; i++)
        pair_turn(f);
}

static void half_close_leaves_the_other_direction_open(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {(void *) "answer", 6};

    f->client.out = (const unsigned char *) "question";
    f->client.out_len = 8;
    f->client.shutdown_when_sent = true;
    pair_begin(f, false);
    WAIT_FOR(f, f->server.end == 0);
    assert_int_equal(f->server.in.len, 8);
    assert_int_equal(stream_writev(f->client.stream, &iov, 1), -EPIPE);
    assert_int_equal(stream_writev(f->server.stream, &iov, 1), 6);
    WAIT_FOR(f, f->client.in.len == 6);
    stream_close(f->server.stream);
    f->server.stream = NULL;
    WAIT_FOR(f, f->client.end <= 0);
    assert_int_equal(f->client.end, 0);
}

static void half_close_waits_for_a_full_socket(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pair_pattern(200000);

    f->client.out = bytes;
    f->client.out_len = 200000;
    f->client.shutdown_when_sent = true;
    pair_begin(f, true);
    WAIT_FOR(f, f->server.end == 0);
    assert_int_equal(f->server.in.len, 200000);
    assert_memory_equal(buf_data(&f->server.in), bytes, 200000);
    free(bytes);
}

static void the_notice_of_the_end_waits_for_the_socket(void **state)
{
    struct fixture *f = *state;
    char junk[512] = {0};
    ssize_t n;
    size_t sent = 0, seen = 0;
    unsigned turns = 0;

    begin_open(f);
    /* Behind the stream's back, so that it holds no record of its own: only the notice has to wait. */
    while ((n = send(stream_fd(f->client.stream), junk, sizeof(junk), MSG_DONTWAIT)) > 0)
        sent += (size_t) n;
    assert_int_equal(stream_shutdown_write(f->client.stream), 0);
    assert_int_equal(stream_shutdown_write(f->client.stream), 0); /* again: nothing more */
    do {
        assert_int_equal(loop_turn(f->loop, 1), 0);
        n = recv(f->pump[0], junk, sizeof(junk), MSG_DONTWAIT);
        seen += n > 0 ? (size_t) n : 0;
    } while (n != 0 && turns++ < 10000);
    assert_int_equal(n, 0);
    assert_true(seen > sent); /* the notice, then the end */
}

static void a_cut_in_the_middle_of_a_record_is_no_end(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pair_pattern(60000);

    f->client.out = bytes;
    f->client.out_len = 60000;
    pair_begin(f, true);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    f->pump_limit[0] = 20000;
    WAIT_FOR(f, f->pump_limit[0] == 0);
    close(f->pump[0]);
    close(f->pump[1]);
    f->pump[0] = f->pump[1] = -1;
    WAIT_FOR(f, f->server.end <= 0);
    assert_int_equal(f->server.end, -ECONNRESET);
    assert_true(f->server.in.len > 0 && f->server.in.len < 20000); /* what came whole was delivered */
    assert_memory_equal(buf_data(&f->server.in), bytes, f->server.in.len);
    assert_int_equal(stream_read(f->server.stream, bytes, 1), -ECONNRESET); /* and stays so */
    free(bytes);
}

static void a_close_without_notice_is_no_end(void **state)
{
    struct fixture *f = *state;

    pair_begin(f, true);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    close(f->pump[0]);
    close(f->pump[1]);
    f->pump[0] = f->pump[1] = -1;
    WAIT_FOR(f, f->server.end <= 0);
    assert_int_equal(f->server.end, -ECONNRESET);
}

static void a_changed_byte_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {(void *) "payload", 7};
    char record[200];
    ssize_t n;

    pair_begin(f, true);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    for (int i = 0; i < 5; i++)
        pair_turn(f);
    assert_int_equal(stream_writev(f->client.stream, &iov, 1), 7);
    n = recv(f->pump[0], record, sizeof(record), 0);
    assert_true(n > 10);
    record[n - 3] ^= 1;
    assert_int_equal(send(f->pump[1], record, (size_t) n, 0), n);
    WAIT_FOR(f, f->server.end <= 0);
    assert_int_equal(f->server.end, -EPROTO);
    assert_int_equal(f->server.in.len, 0);
}

static void closing_in_any_callback_ends_all_callbacks(void **state)
{
    static const unsigned events[] = {STREAM_OPEN, STREAM_READ, STREAM_WRITE};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        f->server.close_on = events[i];
        f->client.out = f->server.out = (const unsigned char *) "0123456789";
        f->client.out_len = f->server.out_len = 10;
        f->client.out_sent = f->server.out_sent = 0;
        f->server.chunk = 3; /* so that bytes stay inside the library */
        pair_begin(f, false);
        WAIT_FOR(f, !f->server.stream);
        f->server.calls = 0;
        for (int j = 0; j < 5; j++)
            pair_turn(f);
        assert_int_equal(f->server.calls, 0);
        stream_close(f->client.stream);
        pair_turn(f);
        tls_ctx_free(f->server_ctx);
        tls_ctx_free(f->client_ctx);
        buf_deinit(&f->server.in);
        buf_deinit(&f->client.in);
    }
    f->client.stream = NULL;
    f->server_ctx = f->client_ctx = NULL;
}

static void writing_to_a_peer_that_has_gone_is_an_error_not_a_signal(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {(void *) "x", 1};
    ssize_t n = 0;

    pair_begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    stream_abort(f->client.stream);
    f->client.stream = NULL;
    for (int i = 0; i < 3 && n >= 0; i++)
        n = stream_writev(f->server.stream, &iov, 1);
    assert_true(n == -EPIPE || n == -ECONNRESET);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_arrive_whole_in_both_directions_at_once),
        T(bytes_arrive_whole_through_a_slow_middle),
        T(bytes_inside_the_library_are_told_without_the_socket),
        T(bytes_wait_while_nobody_wants_them),
        T(half_close_leaves_the_other_direction_open),
        T(half_close_waits_for_a_full_socket),
        T(the_notice_of_the_end_waits_for_the_socket),
        T(a_cut_in_the_middle_of_a_record_is_no_end),
        T(a_close_without_notice_is_no_end),
        T(a_changed_byte_is_noticed),
        T(closing_in_any_callback_ends_all_callbacks),
        T(writing_to_a_peer_that_has_gone_is_an_error_not_a_signal),
    };

    return cmocka_run_group_tests(tests, pair_group_setup, pair_group_teardown);
}
