/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls - TLS streams against each other and against the library used directly. Both ends live in one loop; where a test cuts,
 * the bytes go through a pump in the middle that stops after a given count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"
#include "tests/unit/common/net/test_ca.h"

static struct test_ca *ca, *other_ca;

struct end {
    struct loop *loop;
    struct stream *stream;
    unsigned seen, opens, calls, fails;
    unsigned close_on; /* close in the callback that brings one of these */
    struct buf in;
    size_t chunk;      /* bytes a read asks for; 0 = do not read */
    int end;           /* result of the read that was not bytes; 1 = none yet */
    const unsigned char *out;
    size_t out_len, out_sent;
    unsigned out_parts; /* parts per write; changes the length offered from call to call */
    char failure[200];
    bool shutdown_when_sent;
};

static void end_write(struct end *d)
{
    while (d->out_sent < d->out_len) {
        struct iovec iov[8];
        size_t at = d->out_sent;
        int n = 0;
        ssize_t r;

        /* Varying lengths: after -EAGAIN less may be offered than before. */
        d->out_parts = d->out_parts * 7 % 13 + 1;
        for (; n < 8 && n < (int) d->out_parts && at < d->out_len; n++) {
            size_t len = 1 + (d->out_parts * 977 + (unsigned) n * 4001) % 9000;

            if (len > d->out_len - at)
                len = d->out_len - at;
            iov[n] = (struct iovec){(void *) (d->out + at), len};
            at += len;
        }
        r = stream_writev(d->stream, iov, n);
        if (r == -EAGAIN)
            return;
        if (r == -EPIPE || r == -ECONNRESET) { /* tests that cut */
            stream_want(d->stream, 0);
            return;
        }
        assert_true(r > 0 && (size_t) r <= at - d->out_sent);
        d->out_sent += (size_t) r;
    }
    stream_want(d->stream, d->chunk ? STREAM_READ : 0);
    if (d->shutdown_when_sent)
        assert_int_equal(stream_shutdown_write(d->stream), 0);
}

static void end_read(struct end *d)
{
    unsigned char bytes[70000];
    ssize_t r;

    assert_true(d->chunk <= sizeof(bytes));
    r = stream_read(d->stream, bytes, d->chunk);
    if (r > 0) {
        assert_int_equal(buf_append(&d->in, bytes, (size_t) r), 0);
    } else if (r != -EAGAIN) {
        d->end = (int) r;
        stream_want(d->stream, 0);
    }
}

static void on_event(void *arg, unsigned events)
{
    struct end *d = arg;

    assert_non_null(d->stream);
    d->calls++;
    d->seen |= events;
    d->opens += (events & STREAM_OPEN) != 0;
    if (events & STREAM_FAILED) {
        d->fails++;
        strncpy(d->failure, stream_failure(d->stream), sizeof(d->failure) - 1);
    }
    if (events & d->close_on) {
        stream_close(d->stream);
        d->stream = NULL;
        return;
    }
    if (events & STREAM_OPEN)
        stream_want(d->stream, (d->chunk ? STREAM_READ : 0) | (d->out_len ? STREAM_WRITE : 0));
    if ((events & STREAM_READ) && d->chunk)
        end_read(d);
    if (events & STREAM_WRITE)
        end_write(d);
}

struct fixture {
    struct loop *loop;
    struct end server, client;
    struct tls_ctx *server_ctx, *client_ctx;
    struct tls_conf server_conf, client_conf;
    const char *server_name;
    int pump[2];           /* the middle: towards client, towards server; -1 = straight */
    size_t pump_limit[2];  /* bytes that may still pass from client, from server */
    uint64_t now_ns, real_ns;
};

static char *dup_path(const char *file)
{
    return strdup(test_ca_path(ca, file));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new(&f->loop), 0);
    f->pump[0] = f->pump[1] = -1;
    f->pump_limit[0] = f->pump_limit[1] = SIZE_MAX;
    f->server_conf = (struct tls_conf){.cert_file = dup_path("server.pem"), .key_file = dup_path("server.key")};
    f->client_conf = (struct tls_conf){.ca_file = dup_path("ca.pem")};
    f->server_name = "localhost";
    f->server.chunk = f->client.chunk = 65536;
    f->server.end = f->client.end = 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stream_close(f->server.stream);
    stream_close(f->client.stream);
    for (int i = 0; i < 2; i++) {
        if (f->pump[i] >= 0)
            close(f->pump[i]);
    }
    loop_free(f->loop);
    clock_fake(NULL, NULL);
    tls_ctx_free(f->server_ctx);
    tls_ctx_free(f->client_ctx);
    free((char *) f->server_conf.cert_file);
    free((char *) f->server_conf.key_file);
    free((char *) f->server_conf.ca_file);
    free((char *) f->client_conf.cert_file);
    free((char *) f->client_conf.key_file);
    free((char *) f->client_conf.ca_file);
    buf_deinit(&f->server.in);
    buf_deinit(&f->client.in);
    free(f);
    return 0;
}

static void pair(int fds[2])
{
    int small = 8192;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

static void make_ctx(struct tls_ctx **out, const struct tls_conf *conf, bool server)
{
    struct err e = ERR_INIT;

    if (tls_ctx_new(out, conf, server, &e) < 0)
        fail_msg("%s", e.text);
}

static void begin(struct fixture *f, bool with_pump)
{
    int a[2], b[2];

    make_ctx(&f->server_ctx, &f->server_conf, true);
    make_ctx(&f->client_ctx, &f->client_conf, false);
    pair(a);
    if (with_pump) {
        pair(b);
        f->pump[0] = a[1];
        f->pump[1] = b[0];
    } else {
        b[1] = a[1];
    }
    buf_init(&f->server.in, 0);
    buf_init(&f->client.in, 0);
    f->client.stream = stream_new_tls_client(f->loop, a[0], f->client_ctx, f->server_name, on_event, &f->client);
    f->server.stream = stream_new_tls_server(f->loop, b[1], f->server_ctx, on_event, &f->server);
}

static void pump_one(struct fixture *f, int from)
{
    char bytes[4096];
    size_t want = f->pump_limit[from] < sizeof(bytes) ? f->pump_limit[from] : sizeof(bytes);
    ssize_t n = want ? recv(f->pump[from], bytes, want, MSG_PEEK | MSG_DONTWAIT) : -1, m;

    if (n == 0)
        shutdown(f->pump[!from], SHUT_WR);
    if (n <= 0)
        return;
    m = send(f->pump[!from], bytes, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (m > 0) {
        assert_int_equal(recv(f->pump[from], bytes, (size_t) m, 0), m);
        f->pump_limit[from] -= (size_t) m;
    }
}

static void turn(struct fixture *f)
{
    assert_int_equal(loop_turn(f->loop, 1), 0);
    for (int i = 0; i < 2 && f->pump[0] >= 0; i++)
        pump_one(f, i);
}

#define WAIT_FOR(f, condition)                                                                     \
    do {                                                                                           \
        unsigned turns_ = 0;                                                                       \
        while (!(condition)) {                                                                     \
            if (turns_++ > 20000)                                                                  \
                fail_msg("never: %s", #condition);                                                 \
            turn(f);                                                                               \
        }                                                                                          \
    } while (0)

static unsigned char *pattern(size_t len)
{
    unsigned char *p = malloc(len);
    uint32_t x = 2463534242u;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        p[i] = (unsigned char) x;
    }
    return p;
}

/* ---- handshake and identity ---- */

static void both_open_once_and_know_each_other(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = dup_path("ca.pem");
    f->server_conf.require_peer = true;
    f->client_conf.cert_file = dup_path("host.pem");
    f->client_conf.key_file = dup_path("host.key");
    begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    for (int i = 0; i < 5; i++)
        turn(f);
    assert_int_equal(f->server.opens, 1);
    assert_int_equal(f->client.opens, 1);
    assert_string_equal(stream_peer_cn(f->server.stream), "host-1");
    assert_string_equal(stream_peer_cn(f->client.stream), "server");
    assert_true(stream_is_tls(f->server.stream));
}

static void a_client_without_certificate_has_no_name(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = dup_path("ca.pem"); /* asked for, not required */
    begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    assert_null(stream_peer_cn(f->server.stream));
}

static void two_common_names_count_as_none(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = dup_path("ca.pem");
    f->server_conf.require_peer = true;
    f->client_conf.cert_file = dup_path("twins.pem");
    f->client_conf.key_file = dup_path("twins.key");
    begin(f, false);
    WAIT_FOR(f, f->server.opens);
    assert_null(stream_peer_cn(f->server.stream));
}

static void refuse_client(struct fixture *f, const char *cert, const char *key, const char *words)
{
    f->server_conf.ca_file = dup_path("ca.pem");
    f->server_conf.require_peer = true;
    if (cert) {
        f->client_conf.cert_file = strdup(cert);
        f->client_conf.key_file = strdup(key);
    }
    begin(f, false);
    WAIT_FOR(f, f->server.fails && (f->client.fails || f->client.end < 0));
    assert_int_equal(f->server.opens, 0);
    assert_int_equal(f->server.fails, 1);
    assert_non_null(strstr(f->server.failure, words));
    assert_null(stream_peer_cn(f->server.stream));
    assert_int_equal(stream_read(f->server.stream, (char[1]){0}, 1), -EPROTO);
}

static void require_peer_refuses_a_client_without_certificate(void **state)
{
    refuse_client(*state, NULL, NULL, "did not return a certificate");
}

static void require_peer_refuses_another_authority(void **state)
{
    refuse_client(*state, test_ca_path(other_ca, "host.pem"), test_ca_path(other_ca, "host.key"), "certificate refused");
}

static void require_peer_refuses_an_expired_certificate(void **state)
{
    refuse_client(*state, test_ca_path(ca, "expired.pem"), test_ca_path(ca, "expired.key"), "expired");
}

static void refuse_server(struct fixture *f, const char *name, const char *words)
{
    f->server_name = name;
    begin(f, false);
    WAIT_FOR(f, f->client.fails);
    assert_int_equal(f->client.opens, 0);
    assert_non_null(strstr(f->client.failure, words));
}

static void the_client_refuses_a_wrong_name(void **state)
{
    refuse_server(*state, "example.org", "hostname mismatch");
}

static void the_client_refuses_a_wrong_address(void **state)
{
    refuse_server(*state, "127.0.0.2", "IP address mismatch");
}

static void the_client_refuses_to_check_no_name(void **state)
{
    refuse_server(*state, NULL, "no valid name");
}

static void the_client_accepts_the_address_of_the_certificate(void **state)
{
    struct fixture *f = *state;

    f->server_name = "127.0.0.1";
    begin(f, false);
    WAIT_FOR(f, f->client.opens);
}

static void the_client_refuses_an_unknown_authority(void **state)
{
    struct fixture *f = *state;

    free((char *) f->client_conf.ca_file);
    f->client_conf.ca_file = strdup(test_ca_path(other_ca, "ca.pem"));
    refuse_server(f, "localhost", "certificate refused");
}

static void a_handshake_has_a_deadline(void **state)
{
    struct fixture *f = *state;

    f->now_ns = 1000000000;
    clock_fake(&f->now_ns, NULL);
    begin(f, true);
    f->pump_limit[0] = 100; /* the rest of the client's first message never comes */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(loop_turn(f->loop, 0), 0);
        pump_one(f, 0);
    }
    f->now_ns += UINT64_C(9900000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.fails, 0);
    f->now_ns += UINT64_C(100000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.fails, 1);
    assert_int_equal(f->client.fails, 1);
    assert_non_null(strstr(f->server.failure, "10 s"));
    f->now_ns += UINT64_C(20000000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.calls, 1); /* FAILED is the last event */
}

static void garbage_and_plain_http_fail_the_handshake(void **state)
{
    struct fixture *f = *state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fds[2];

    make_ctx(&f->server_ctx, &f->server_conf, true);
    pair(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, on_event, &f->server);
    assert_int_equal(write(fds[1], http, sizeof(http) - 1), sizeof(http) - 1);
    WAIT_FOR(f, f->server.fails);
    assert_non_null(strstr(f->server.failure, "http request"));
    close(fds[1]);
}

static void a_peer_that_leaves_in_the_handshake_fails_it(void **state)
{
    struct fixture *f = *state;
    int fds[2];

    make_ctx(&f->server_ctx, &f->server_conf, true);
    pair(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, on_event, &f->server);
    close(fds[1]);
    WAIT_FOR(f, f->server.fails);
    assert_true(f->server.failure[0]);
}

/* ---- bytes ---- */

static void transfer(struct fixture *f, bool with_pump, size_t up, size_t down, size_t chunk)
{
    unsigned char *a = pattern(up + 1), *b = pattern(down + 1);

    f->client.out = a;
    f->client.out_len = up;
    f->server.out = b;
    f->server.out_len = down;
    f->client.chunk = f->server.chunk = chunk;
    f->client.out_parts = 3;
    f->server.out_parts = 5;
    begin(f, with_pump);
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
    unsigned char *bytes = pattern(6000);

    f->server.out = bytes;
    f->server.out_len = 6000;
    f->server.out_parts = 3;
    f->client.chunk = 7; /* the first read takes the record off the socket */
    begin(f, false);
    WAIT_FOR(f, f->client.in.len == 6000);
    assert_memory_equal(buf_data(&f->client.in), bytes, 6000);
    assert_true(f->client.calls >= 6000 / 7); /* one read a callback: level-triggered */
    for (int i = 0; i < 3; i++)
        turn(f);
    f->client.calls = 0;
    assert_int_equal(loop_turn(f->loop, 5), 0); /* nothing is left: no busy loop */
    assert_int_equal(f->client.calls, 0);
    free(bytes);
}

static void bytes_wait_while_nobody_wants_them(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pattern(3000);
    size_t some;

    f->server.out = bytes;
    f->server.out_len = 3000;
    f->client.chunk = 10;
    begin(f, false);
    WAIT_FOR(f, f->client.in.len >= 10);
    stream_want(f->client.stream, 0);
    some = f->client.in.len;
    for (int i = 0; i < 5; i++)
        turn(f);
    assert_int_equal(f->client.in.len, some);
    stream_want(f->client.stream, STREAM_READ);
    WAIT_FOR(f, f->client.in.len == 3000);
    free(bytes);
}

/* ---- ends ---- */

static void half_close_leaves_the_other_direction_open(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {(void *) "answer", 6};

    f->client.out = (const unsigned char *) "question";
    f->client.out_len = 8;
    f->client.shutdown_when_sent = true;
    begin(f, false);
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
    unsigned char *bytes = pattern(200000);

    f->client.out = bytes;
    f->client.out_len = 200000;
    f->client.shutdown_when_sent = true;
    begin(f, true);
    WAIT_FOR(f, f->server.end == 0);
    assert_int_equal(f->server.in.len, 200000);
    assert_memory_equal(buf_data(&f->server.in), bytes, 200000);
    free(bytes);
}

static void a_cut_in_the_middle_of_a_record_is_no_end(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = pattern(60000);

    f->client.out = bytes;
    f->client.out_len = 60000;
    begin(f, true);
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

    begin(f, true);
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

    begin(f, true);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    for (int i = 0; i < 5; i++)
        turn(f);
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
        begin(f, false);
        WAIT_FOR(f, !f->server.stream);
        f->server.calls = 0;
        for (int j = 0; j < 5; j++)
            turn(f);
        assert_int_equal(f->server.calls, 0);
        stream_close(f->client.stream);
        turn(f);
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

    begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    stream_abort(f->client.stream);
    f->client.stream = NULL;
    for (int i = 0; i < 3 && n >= 0; i++)
        n = stream_writev(f->server.stream, &iov, 1);
    assert_true(n == -EPIPE || n == -ECONNRESET);
}

/* ---- against the library itself ---- */

static SSL *raw_client(struct fixture *f, int max_version, int *fd, SSL_CTX **ctx)
{
    int fds[2];
    SSL *ssl;

    make_ctx(&f->server_ctx, &f->server_conf, true);
    pair(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, on_event, &f->server);
    *fd = fds[1];
    *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(*ctx, 0);
    SSL_CTX_set_min_proto_version(*ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(*ctx, max_version);
    ssl = SSL_new(*ctx);
    SSL_set_fd(ssl, *fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

static int raw_step(struct fixture *f, SSL *ssl)
{
    int r, error;

    for (int i = 0; i < 100; i++) {
        ERR_clear_error();
        r = SSL_do_handshake(ssl);
        if (r == 1)
            return 1;
        error = SSL_get_error(ssl, r);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return -1;
        turn(f);
    }
    return 0;
}

static void tls_1_1_is_refused(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_1_VERSION, &fd, &ctx);

    assert_int_equal(raw_step(f, ssl), -1);
    WAIT_FOR(f, f->server.fails);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void renegotiation_is_refused(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_2_VERSION, &fd, &ctx);

    assert_int_equal(raw_step(f, ssl), 1);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    assert_int_not_equal(raw_step(f, ssl), 1);
    assert_int_equal(f->server.opens, 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void a_key_update_in_mid_stream_loses_nothing(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_3_VERSION, &fd, &ctx);
    struct iovec iov = {(void *) "back", 4};
    char text[8];

    assert_int_equal(raw_step(f, ssl), 1);
    WAIT_FOR(f, f->server.opens);
    assert_int_equal(SSL_write(ssl, "one", 3), 3);
    assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(ssl, "two", 3), 3);
    WAIT_FOR(f, f->server.in.len == 6);
    assert_memory_equal(buf_data(&f->server.in), "onetwo", 6);
    assert_int_equal(stream_writev(f->server.stream, &iov, 1), 4);
    turn(f);
    assert_int_equal(SSL_read(ssl, text, sizeof(text)), 4);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

/* ---- contexts ---- */

static void refuse_conf(const struct tls_conf *conf, bool server, const char *words)
{
    struct tls_ctx *ctx = NULL;
    struct err e = ERR_INIT;

    assert_true(tls_ctx_new(&ctx, conf, server, &e) < 0);
    assert_null(ctx);
    assert_non_null(strstr(e.text, words));
}

static void bad_configurations_are_refused_with_words(void **state)
{
    struct fixture *f = *state;
    struct tls_conf c;

    refuse_conf(&(struct tls_conf){0}, true, "certificate");
    c = f->server_conf;
    c.key_file = NULL;
    refuse_conf(&c, true, "key");
    c = f->server_conf;
    c.cert_file = "/nonexistent.pem";
    refuse_conf(&c, true, "/nonexistent.pem");
    c = f->server_conf;
    c.key_file = test_ca_path(ca, "host.key");
    refuse_conf(&c, true, "TLS key");
    c = f->server_conf;
    c.ca_file = "/nonexistent.pem";
    refuse_conf(&c, true, "CA file");
    c = f->server_conf;
    c.require_peer = true;
    refuse_conf(&c, true, "no CA file");
    assert_int_equal(chmod(f->server_conf.key_file, 0644), 0);
    refuse_conf(&f->server_conf, true, "other users");
    assert_int_equal(chmod(f->server_conf.key_file, 0600), 0);
    tls_ctx_free(NULL);
}

static int group_setup(void **state)
{
    (void) state;
    ca = test_ca_new();
    other_ca = test_ca_new();
    test_ca_issue(ca, &(struct test_cert){.name = "server", .cn = "server", .san = "DNS:localhost,IP:127.0.0.1"});
    test_ca_issue(ca, &(struct test_cert){.name = "host", .cn = "host-1"});
    test_ca_issue(ca, &(struct test_cert){.name = "twins", .cn = "host-1", .second_cn = "bivouac-control"});
    test_ca_issue(ca, &(struct test_cert){.name = "expired", .cn = "host-1", .expired = true});
    test_ca_issue(other_ca, &(struct test_cert){.name = "host", .cn = "host-1"});
    return 0;
}

static int group_teardown(void **state)
{
    (void) state;
    test_ca_free(ca);
    test_ca_free(other_ca);
    return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(both_open_once_and_know_each_other),
        T(a_client_without_certificate_has_no_name),
        T(two_common_names_count_as_none),
        T(require_peer_refuses_a_client_without_certificate),
        T(require_peer_refuses_another_authority),
        T(require_peer_refuses_an_expired_certificate),
        T(the_client_refuses_a_wrong_name),
        T(the_client_refuses_a_wrong_address),
        T(the_client_refuses_to_check_no_name),
        T(the_client_accepts_the_address_of_the_certificate),
        T(the_client_refuses_an_unknown_authority),
        T(a_handshake_has_a_deadline),
        T(garbage_and_plain_http_fail_the_handshake),
        T(a_peer_that_leaves_in_the_handshake_fails_it),
        T(bytes_arrive_whole_in_both_directions_at_once),
        T(bytes_arrive_whole_through_a_slow_middle),
        T(bytes_inside_the_library_are_told_without_the_socket),
        T(bytes_wait_while_nobody_wants_them),
        T(half_close_leaves_the_other_direction_open),
        T(half_close_waits_for_a_full_socket),
        T(a_cut_in_the_middle_of_a_record_is_no_end),
        T(a_close_without_notice_is_no_end),
        T(a_changed_byte_is_noticed),
        T(closing_in_any_callback_ends_all_callbacks),
        T(writing_to_a_peer_that_has_gone_is_an_error_not_a_signal),
        T(tls_1_1_is_refused),
        T(renegotiation_is_refused),
        T(a_key_update_in_mid_stream_loses_nothing),
        T(bad_configurations_are_refused_with_words),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
