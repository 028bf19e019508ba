/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "http_driver.h"

enum { PATIENCE_MS = 10000 };

void driver_open(struct driver *d, const struct http_limits *lim, http_request_fn *fn, void *arg)
{
    struct http_server_conf conf = {.name = "test"};
    struct err e = ERR_INIT;

    *d = (struct driver){0};
    if (lim)
        conf.limits = *lim;
    assert_int_equal(loop_new(&d->loop), 0);
    assert_int_equal(http_server_new(&d->server, d->loop, &conf, fn, arg), 0);
    if (http_server_listen(d->server, "127.0.0.1", 0, false, &e) != 0)
        fail_msg("%s", e.text);
    d->port = http_server_port(d->server);
}

void driver_close(struct driver *d)
{
    http_server_free(d->server);
    loop_free(d->loop);
}

void driver_run(struct driver *d, uint32_t ms)
{
    uint64_t end = clock_mono_ms() + ms;

    do {
        assert_int_equal(loop_turn(d->loop, 5), 0);
    } while (clock_mono_ms() < end);
}

void driver_until(struct driver *d, const volatile int *flag)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    while (!*flag) {
        assert_int_equal(loop_turn(d->loop, 5), 0);
        if (clock_mono_ms() > end)
            fail_msg("nothing happened");
    }
}

void raw_open_port(struct raw *c, struct driver *d, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    *c = (struct raw){.d = d};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    assert_int_equal(fd_set_nonblock(c->fd), 0);
}

void raw_open(struct raw *c, struct driver *d)
{
    raw_open_port(c, d, d->port);
}

void raw_close(struct raw *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_deinit(&c->in);
}

void raw_reset(struct raw *c)
{
    struct linger l = {.l_onoff = 1};

    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    raw_close(c);
}

void raw_send(struct raw *c, const void *p, size_t len)
{
    const uint8_t *s = p;
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    while (len) {
        ssize_t n = send(c->fd, s, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            assert_int_equal(loop_turn(c->d->loop, 5), 0);
            assert_true(clock_mono_ms() < end);
            continue;
        }
        if (n < 0) /* the server may have closed: the test looks at the answer */
            return;
        s += n;
        len -= (size_t) n;
    }
}

void raw_text(struct raw *c, const char *s)
{
    raw_send(c, s, strlen(s));
}

void raw_poll(struct raw *c)
{
    static uint8_t block[256 * 1024];

    while (!c->ended) {
        ssize_t n = recv(c->fd, block, sizeof(block), 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0) {
            assert_int_equal(buf_append(&c->in, block, (size_t) n), 0);
            continue;
        }
        c->ended = true;
        c->error = n < 0 ? errno : 0;
    }
}

/* Takes the body from c->in; true when it is complete. */
static bool take_body(struct raw *c, struct answer *a, struct http_chunked *ck, int64_t *left)
{
    const uint8_t *data;
    size_t data_len;
    bool done = false;

    if (a->head.body == HTTP_BODY_CHUNKED) {
        while (c->in.len && !done) {
            ssize_t n = http_chunked_next(ck, buf_data(&c->in), c->in.len, &data, &data_len, &done);

            assert_true(n >= 0);
            if (data_len)
                assert_int_equal(buf_append(&a->body, data, data_len), 0);
            buf_consume(&c->in, (size_t) n);
        }
        return done;
    }
    size_t n = c->in.len;

    if (a->head.body >= 0 && (uint64_t) *left < n)
        n = (size_t) *left;
    if (n)
        assert_int_equal(buf_append(&a->body, buf_data(&c->in), n), 0);
    buf_consume(&c->in, n);
    *left -= (int64_t) n;
    return a->head.body >= 0 ? *left == 0 : c->ended && !c->error;
}

static bool take_head(struct raw *c, bool head_request, struct answer *a)
{
    static const struct http_limits no_limits;
    const char *reason = "";
    size_t used;

    while (c->in.len) {
        int r = http_parse_response(buf_data(&c->in), c->in.len, &no_limits, head_request, a->arena, &a->head, &used, &reason);

        if (r == HTTP_E_MORE)
            return false;
        if (r)
            fail_msg("bad answer: %s", reason);
        buf_consume(&c->in, used);
        if (a->head.status >= 200 || a->head.status == 101)
            return true;
        a->interim++;
    }
    return false;
}

void raw_answer(struct raw *c, bool head_request, struct answer *out)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    struct http_chunked ck;
    bool head = false;
    int64_t left = 0;

    *out = (struct answer){.arena = arena_new(0)};
    http_chunked_init(&ck);
    for (;;) {
        raw_poll(c);
        if (!head) {
            head = take_head(c, head_request, out);
            left = out->head.body;
        }
        if (head && take_body(c, out, &ck, &left)) {
            out->whole = true;
            return;
        }
        if (c->ended)
            return;
        assert_int_equal(loop_turn(c->d->loop, 5), 0);
        if (clock_mono_ms() > end)
            fail_msg("no answer");
    }
}

void answer_free(struct answer *a)
{
    arena_free(a->arena);
    buf_deinit(&a->body);
}

void raw_wait_end(struct raw *c, uint32_t ms)
{
    uint64_t end = clock_mono_ms() + ms;

    for (raw_poll(c); !c->ended; raw_poll(c)) {
        assert_int_equal(loop_turn(c->d->loop, 5), 0);
        if (clock_mono_ms() > end)
            fail_msg("the connection is still open");
    }
}

void raw_ask(struct raw *c, const char *text, int status, struct answer *out)
{
    raw_text(c, text);
    raw_answer(c, strncmp(text, "HEAD ", 5) == 0, out);
    if (out->head.status != status)
        fail_msg("status %d instead of %d", out->head.status, status);
}

void raw_wait_bytes(struct raw *c, size_t n)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    for (raw_poll(c); c->in.len < n; raw_poll(c)) {
        assert_false(c->ended);
        assert_int_equal(loop_turn(c->d->loop, 5), 0);
        assert_true(clock_mono_ms() < end);
    }
}

int listen_raw(uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &sa, &len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

void raw_accept(struct raw *c, struct driver *d, int listener)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    *c = (struct raw){.d = d, .fd = -1};
    while (c->fd < 0) {
        c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c->fd < 0)
            assert_int_equal(loop_turn(d->loop, 5), 0);
        assert_true(clock_mono_ms() < end);
    }
}
