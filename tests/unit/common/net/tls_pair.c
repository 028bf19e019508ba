/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/net/tls_pair.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"

struct test_ca *ca, *other_ca;


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

void end_on_event(void *arg, unsigned events)
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


char *pair_path(const char *file)
{
    return strdup(test_ca_path(ca, file));
}

int pair_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new(&f->loop), 0);
    f->pump[0] = f->pump[1] = -1;
    f->pump_limit[0] = f->pump_limit[1] = SIZE_MAX;
    f->server_conf = (struct tls_conf){.cert_file = pair_path("server.pem"), .key_file = pair_path("server.key")};
    f->client_conf = (struct tls_conf){.ca_file = pair_path("ca.pem")};
    f->server_name = "localhost";
    f->server.chunk = f->client.chunk = 65536;
    f->server.end = f->client.end = 1;
    *state = f;
    return 0;
}

int pair_teardown(void **state)
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

void pair_sockets(int fds[2])
{
    int small = 8192;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

void pair_make_ctx(struct tls_ctx **out, const struct tls_conf *conf, bool server)
{
    struct err e = ERR_INIT;

    if (tls_ctx_new(out, conf, server, &e) < 0)
        fail_msg("%s", e.text);
}

void pair_begin(struct fixture *f, bool with_pump)
{
    int a[2], b[2];

    pair_make_ctx(&f->server_ctx, &f->server_conf, true);
    pair_make_ctx(&f->client_ctx, &f->client_conf, false);
    pair_sockets(a);
    if (with_pump) {
        pair_sockets(b);
        f->pump[0] = a[1];
        f->pump[1] = b[0];
    } else {
        b[1] = a[1];
    }
    buf_init(&f->server.in, 0);
    buf_init(&f->client.in, 0);
    f->client.stream = stream_new_tls_client(f->loop, a[0], f->client_ctx, f->server_name, end_on_event, &f->client);
    f->server.stream = stream_new_tls_server(f->loop, b[1], f->server_ctx, end_on_event, &f->server);
}

void pair_pump(struct fixture *f, int from)
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

void pair_turn(struct fixture *f)
{
    assert_int_equal(loop_turn(f->loop, 1), 0);
    for (int i = 0; i < 2 && f->pump[0] >= 0; i++)
        pair_pump(f, i);
}


unsigned char *pair_pattern(size_t len)
{
    unsigned char *p = malloc(len);
    uint32_t x = 2463534242u;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        p[i] = (unsigned char) x;
    }
    return p;
}

int pair_group_setup(void **state)
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

int pair_group_teardown(void **state)
{
    (void) state;
    test_ca_free(ca);
    test_ca_free(other_ca);
    return 0;
}
