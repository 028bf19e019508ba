/* SPDX-License-Identifier: Apache-2.0 */
/* The client: calls over kept-alive connections, the line before a pool, deadlines, answers from peers that misbehave. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "http_driver.h"

/* ---- a server to call ---- */

static void echo_on_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    http_reply_header(r, "X-Peer", http_req_header(r, "Host"));
    http_reply(r, 200, http_req_header(r, "Content-Type"), p, len);
}

static void echo(void *arg, struct http_req *r)
{
    unsigned *requests = arg;

    ++*requests;
    if (str_eq(http_req_path(r), "/park"))
        return;
    if (str_eq(http_req_path(r), "/close")) {
        http_reply_header(r, "X-Bye", "1");
        http_reply_empty(r, 404);
        return;
    }
    http_req_body(r, 64 * MIB, echo_on_body, NULL);
}

static struct http_pool *pool_to(struct driver *d, uint16_t port, unsigned conns_max)
{
    struct net_addr addr;
    struct http_pool *p;
    char text[32];
    struct err e = ERR_INIT;

    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    assert_int_equal(net_addr_parse(&addr, text, &e), 0);
    const struct http_pool_conf conf = {.addr = &addr, .host = "up.test", .conns_max = conns_max};

    assert_int_equal(http_pool_new(&p, d->loop, &conf), 0);
    return p;
}

struct result {
    int done, r, status;
    char body[256];
    size_t body_len;
    struct op *op;
};

static void on_result(void *arg, int r, const struct http_response *resp)
{
    struct result *x = arg;

    assert_null(x->op);
    x->done++;
    x->r = r;
    if (r)
        return;
    x->status = resp->head->status;
    x->body_len = resp->body_len;
    memcpy(x->body, resp->body, resp->body_len < sizeof(x->body) - 1 ? resp->body_len : sizeof(x->body) - 1);
}

static void call(struct http_pool *p, struct result *x, const char *method, const char *target, const char *body, uint32_t deadline_ms)
{
    const struct http_call c = {
        .method = method, .target = target, .body = body, .body_len = body ? strlen(body) : 0,
        .content_type = body ? "text/plain" : NULL, .deadline_ms = deadline_ms,
    };

    *x = (struct result){0};
    assert_int_equal(http_call(p, &c, &x->op, on_result, x), 0);
    assert_non_null(x->op);
}

static void calls_reuse_a_connection(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x;
    unsigned requests = 0;

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, d.port, 0);
    for (int i = 0; i < 5; i++) {
        call(p, &x, i % 2 ? "POST" : "PUT", "/a?b", "hello", 0);
        driver_until(&d, &x.done);
        assert_int_equal(x.r, 0);
        assert_int_equal(x.status, 200);
        assert_string_equal(x.body, "hello");
        assert_int_equal(http_server_conns(d.server), 1);
    }
    call(p, &x, "GET", "/close", NULL, 0);
    driver_until(&d, &x.done);
    assert_int_equal(x.status, 404);
    assert_int_equal(x.body_len, 0);
    call(p, &x, "HEAD", "/a", NULL, 0);
    driver_until(&d, &x.done);
    assert_int_equal(x.status, 200);
    assert_int_equal(requests, 7);
    http_pool_free(p);
    driver_close(&d);
}

static void calls_wait_in_line(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x[20], late;
    unsigned requests = 0;

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, d.port, 2);
    for (int i = 0; i < 20; i++)
        call(p, &x[i], "POST", "/", "x", 0);
    for (int i = 0; i < 20; i++) {
        driver_until(&d, &x[i].done);
        assert_int_equal(x[i].r, 0);
        assert_in_range(http_server_conns(d.server), 1, 2);
    }
    /* Both connections held: the next call's deadline runs out in the line. */
    call(p, &x[0], "GET", "/park", NULL, 0);
    call(p, &x[1], "GET", "/park", NULL, 0);
    call(p, &late, "GET", "/", NULL, 100);
    driver_until(&d, &late.done);
    assert_int_equal(late.r, -ETIMEDOUT);
    /* A cancelled call gives its place to the next. */
    call(p, &late, "POST", "/", "y", 0);
    op_cancel(&x[0].op);
    driver_until(&d, &late.done);
    assert_int_equal(late.r, 0);
    assert_int_equal(x[0].done, 0);
    http_pool_free(p);
    assert_int_equal(x[1].done, 1);
    assert_int_equal(x[1].r, -ECANCELED);
    driver_close(&d);
}

static void refused_and_silent_peers(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    call(p, &x, "GET", "/", NULL, 100);
    driver_until(&d, &x.done);
    assert_int_equal(x.r, -ETIMEDOUT);
    close(fd);
    call(p, &x, "GET", "/", NULL, 0);
    driver_until(&d, &x.done);
    assert_int_equal(x.r, -ECONNREFUSED);
    http_pool_free(p);
    driver_close(&d);
}

static void misbehaving_peers(void **state)
{
    static const struct {
        const char *answer;
        bool close;
        int r;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", false, 0},
        {"HTTP/1.1 200 OK\r\n\r\nok", true, 0},
        {"HTTP/1.0 200 OK\r\n\r\nok", true, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", false, 0}, /* more than it was asked for */
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", true, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", false, -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", false, -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", false, -EPROTO},
        {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", false, -EMSGSIZE},
        {"SSH-2.0-x\r\n\r\n", false, -EPROTO},
        {"HTTP/1.1 200 OK\r\n", true, -ECONNRESET},
        {"", true, -ECONNRESET},
    };
    struct driver d;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_pool *p = pool_to(&d, port, 0);
        struct result x;
        struct raw up;

        call(p, &x, "GET", "/", NULL, 2000);
        raw_accept(&up, &d, fd);
        raw_wait_bytes(&up, 20);
        for (size_t k = 0; k < strlen(rows[i].answer); k++) { /* in the smallest pieces */
            raw_send(&up, rows[i].answer + k, 1);
            if (k % 3 == 0)
                assert_int_equal(loop_turn(d.loop, 1), 0);
        }
        if (rows[i].close)
            raw_close(&up);
        driver_until(&d, &x.done);
        if (x.r != rows[i].r)
            fail_msg("row %zu: %d", i, x.r);
        if (!x.r)
            assert_string_equal(x.body, "ok");
        if (!rows[i].close)
            raw_close(&up);
        http_pool_free(p);
        assert_int_equal(x.done, 1);
    }
    close(fd);
    driver_close(&d);
}

static void endless_interim_answers_end(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x;
    struct raw up;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    call(p, &x, "GET", "/", NULL, 0);
    raw_accept(&up, &d, fd);
    for (int i = 0; i < 100 && !x.done; i++) {
        raw_text(&up, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_int_equal(loop_turn(d.loop, 5), 0);
    }
    assert_int_equal(x.r, -EPROTO);
    raw_close(&up);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

/* A kept-alive connection that the peer closes as the next request goes out. */
static void only_safe_calls_are_sent_again(void **state)
{
    (void) state;
    for (int post = 0; post < 2; post++) {
        struct driver d;
        struct http_pool *p;
        struct result x;
        struct raw up, again;
        unsigned requests = 0;
        uint16_t port;
        int fd = listen_raw(&port);

        driver_open(&d, NULL, echo, &requests);
        p = pool_to(&d, port, 0);
        call(p, &x, "GET", "/", NULL, 0);
        raw_accept(&up, &d, fd);
        raw_wait_bytes(&up, 10);
        raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        driver_until(&d, &x.done);
        buf_clear(&up.in);
        call(p, &x, post ? "POST" : "GET", "/", post ? "x" : NULL, 3000);
        raw_wait_bytes(&up, 10); /* it reached the old connection */
        raw_close(&up);
        if (post) {
            driver_until(&d, &x.done);
            assert_int_equal(x.r, -ECONNRESET);
        } else {
            raw_accept(&again, &d, fd);
            raw_wait_bytes(&again, 10);
            raw_text(&again, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            driver_until(&d, &x.done);
            assert_int_equal(x.r, 0);
            raw_close(&again);
        }
        close(fd);
        http_pool_free(p);
        driver_close(&d);
    }
}

/* A POST is not sent into a connection that was closed while it was idle. */
static void stale_connections_are_not_used(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x;
    struct raw up, again;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    call(p, &x, "GET", "/", NULL, 0);
    raw_accept(&up, &d, fd);
    raw_wait_bytes(&up, 10);
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &x.done);
    raw_close(&up); /* not seen by the loop before the next call begins */
    call(p, &x, "POST", "/", "x", 0);
    raw_accept(&again, &d, fd);
    raw_wait_bytes(&again, 10);
    raw_text(&again, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &x.done);
    assert_int_equal(x.status, 201);
    raw_close(&again);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

/* Bytes behind a whole answer are nobody's: the next call gets a connection of its own and its own answer. */
static void bytes_behind_an_answer_are_not_the_next_one(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result x;
    struct raw up, again;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    call(p, &x, "GET", "/", NULL, 0);
    raw_accept(&up, &d, fd);
    raw_wait_bytes(&up, 10);
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &x.done);
    raw_text(&up, "HTTP/1.1 203 OK\r\nContent-Length: 4\r\n\r\nevil"); /* not seen by the loop before the next call begins */
    call(p, &x, "GET", "/", NULL, 0);
    raw_accept(&again, &d, fd);
    raw_wait_bytes(&again, 10);
    raw_text(&again, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &x.done);
    assert_int_equal(x.status, 201);
    raw_close(&up);
    raw_close(&again);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

/* A connection that goes from one call straight to the next in line is a kept-alive one too. */
static void safe_calls_in_line_are_sent_again(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct result first, second;
    struct raw up, again;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 1);
    call(p, &first, "GET", "/", NULL, 0);
    call(p, &second, "GET", "/", NULL, 0);
    raw_accept(&up, &d, fd);
    raw_wait_bytes(&up, 10);
    raw_text(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &first.done);
    raw_close(&up);
    raw_accept(&again, &d, fd);
    raw_wait_bytes(&again, 10);
    raw_text(&again, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    driver_until(&d, &second.done);
    assert_int_equal(second.r, 0);
    assert_int_equal(second.status, 201);
    raw_close(&again);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

/* ---- exchanges ---- */

struct xfer {
    struct http_exchange *x;
    int ready, head, end, fail, drained;
    int r, status;
    size_t got;
    struct stream *stream;
    struct buf leftover;
};

static void x_ready(void *arg)
{
    ((struct xfer *) arg)->ready++;
}
static void x_head(void *arg, const struct http_head *h)
{
    struct xfer *t = arg;

    t->head++;
    t->status = h->status;
    if (h->status == 101)
        t->stream = http_exchange_takeover(t->x, &t->leftover);
}
static void x_data(void *arg, const void *p, size_t len)
{
    struct xfer *t = arg;

    (void) p;
    t->got += len;
}
static void x_end(void *arg)
{
    ((struct xfer *) arg)->end++;
}
static void x_fail(void *arg, int r)
{
    struct xfer *t = arg;

    t->fail++;
    t->r = r;
}
static void x_drain(void *arg)
{
    ((struct xfer *) arg)->drained++;
}
static const struct http_exchange_ops x_ops = {x_ready, x_head, x_data, x_end, x_fail, x_drain};

static void bodies_stream_both_ways(void **state)
{
    static char block[60000];
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    unsigned requests = 0;
    size_t total = 0;

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, d.port, 0);
    for (int chunked = 0; chunked < 2; chunked++) {
        t = (struct xfer){0};
        assert_int_equal(http_exchange_begin(&t.x, p, "POST", "/", NULL, chunked ? HTTP_BODY_CHUNKED : 100 * 60000, 0, &x_ops, &t), 0);
        driver_until(&d, &t.ready);
        for (total = 0; total < 100 * sizeof(block); total += sizeof(block)) {
            t.drained = 0;
            if (http_exchange_send(t.x, block, sizeof(block)) > 256 * KIB)
                driver_until(&d, &t.drained);
        }
        http_exchange_send_end(t.x);
        driver_until(&d, &t.head);
        http_exchange_pause(t.x, true);
        driver_run(&d, 50);
        assert_int_equal(t.end, 0);
        size_t held = t.got;

        driver_run(&d, 50);
        assert_int_equal(t.got, held);
        http_exchange_pause(t.x, false);
        driver_until(&d, &t.end);
        assert_int_equal(t.got, total);
        http_exchange_free(t.x);
    }
    http_pool_free(p);
    driver_close(&d);
}

static void an_early_answer_ends_the_exchange(void **state)
{
    static char block[60000];
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    struct raw up;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    assert_int_equal(http_exchange_begin(&t.x, p, "POST", "/", NULL, 100 * MIB, 0, &x_ops, &t), 0);
    raw_accept(&up, &d, fd);
    driver_until(&d, &t.ready);
    http_exchange_send(t.x, block, sizeof(block));
    raw_wait_bytes(&up, 100);
    raw_text(&up, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    raw_reset(&up); /* what it sent is still to be seen */
    for (int i = 0; i < 200 && !t.end && !t.fail; i++) {
        http_exchange_send(t.x, block, sizeof(block));
        driver_run(&d, 5);
    }
    /* A reset may overtake the answer; the other way round the answer counts. */
    assert_int_equal(t.end + t.fail, 1);
    if (t.end)
        assert_int_equal(t.status, 413);
    http_exchange_send(t.x, block, sizeof(block)); /* ignored */
    http_exchange_free(t.x);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

static void a_short_body_is_not_passed_off_as_whole(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    unsigned requests = 0;

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, d.port, 0);
    assert_int_equal(http_exchange_begin(&t.x, p, "POST", "/", NULL, 10, 0, &x_ops, &t), 0);
    driver_until(&d, &t.ready);
    http_exchange_send(t.x, "abc", 3);
    http_exchange_send_end(t.x);
    driver_until(&d, &t.fail);
    assert_int_equal(t.r, -EPROTO);
    http_exchange_free(t.x);
    driver_run(&d, 20);
    http_pool_free(p);
    driver_close(&d);
}

/* The end of a body of known length sends nothing, yet the time to the answer's head runs from there. */
static void the_head_deadline_runs_after_a_late_end(void **state)
{
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    struct raw up;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    assert_int_equal(http_exchange_begin(&t.x, p, "POST", "/", NULL, 3, 200, &x_ops, &t), 0);
    raw_accept(&up, &d, fd);
    driver_until(&d, &t.ready);
    http_exchange_send(t.x, "abc", 3);
    driver_run(&d, 400);
    assert_int_equal(t.fail, 0);
    http_exchange_send_end(t.x);
    driver_run(&d, 1000);
    assert_int_equal(t.fail, 1);
    assert_int_equal(t.r, -ETIMEDOUT);
    http_exchange_free(t.x);
    raw_close(&up);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

static void nothing(void *arg, unsigned events)
{
    (void) arg;
    (void) events;
}

static void takeover_gives_the_bytes_behind(void **state)
{
    struct http_header h[] = {{"Connection", "Upgrade"}, {"Upgrade", "x"}};
    const struct http_headers headers = {h, 2};
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    struct raw up;
    unsigned requests = 0;
    uint16_t port;
    int fd = listen_raw(&port);

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, port, 0);
    assert_int_equal(http_exchange_begin(&t.x, p, "GET", "/", &headers, HTTP_BODY_NONE, 0, &x_ops, &t), 0);
    raw_accept(&up, &d, fd);
    raw_wait_bytes(&up, 20);
    raw_text(&up, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbehind");
    driver_until(&d, &t.head);
    assert_non_null(t.stream);
    assert_int_equal(t.leftover.len, 6);
    assert_memory_equal(buf_data(&t.leftover), "behind", 6);
    stream_set_fn(t.stream, nothing, NULL);
    http_exchange_free(t.x);
    stream_close(t.stream);
    buf_deinit(&t.leftover);
    raw_wait_end(&up, 1000);
    raw_close(&up);
    close(fd);
    http_pool_free(p);
    driver_close(&d);
}

static void bad_requests_are_refused_here(void **state)
{
    struct http_header h[] = {{"X", "a\r\nb"}};
    const struct http_headers headers = {h, 1};
    struct driver d;
    struct http_pool *p;
    struct xfer t = {0};
    unsigned requests = 0;

    (void) state;
    driver_open(&d, NULL, echo, &requests);
    p = pool_to(&d, d.port, 0);
    assert_int_equal(http_exchange_begin(&t.x, p, "GET", "/ HTTP/1.1\r\n", NULL, 0, 0, &x_ops, &t), -EINVAL);
    assert_int_equal(http_exchange_begin(&t.x, p, "GET", "x", NULL, 0, 0, &x_ops, &t), -EINVAL);
    assert_int_equal(http_exchange_begin(&t.x, p, "G T", "/", NULL, 0, 0, &x_ops, &t), -EINVAL);
    assert_int_equal(http_exchange_begin(&t.x, p, "GET", "/", &headers, 0, 0, &x_ops, &t), -EINVAL);
    http_pool_free(p);
    driver_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_reuse_a_connection), cmocka_unit_test(calls_wait_in_line),
        cmocka_unit_test(refused_and_silent_peers), cmocka_unit_test(misbehaving_peers),
        cmocka_unit_test(endless_interim_answers_end), cmocka_unit_test(only_safe_calls_are_sent_again),
        cmocka_unit_test(stale_connections_are_not_used), cmocka_unit_test(bytes_behind_an_answer_are_not_the_next_one),
        cmocka_unit_test(safe_calls_in_line_are_sent_again), cmocka_unit_test(bodies_stream_both_ways),
        cmocka_unit_test(an_early_answer_ends_the_exchange), cmocka_unit_test(a_short_body_is_not_passed_off_as_whole),
        cmocka_unit_test(the_head_deadline_runs_after_a_late_end),
        cmocka_unit_test(takeover_gives_the_bytes_behind), cmocka_unit_test(bad_requests_are_refused_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
