/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile upstream: the input is what it answers to three exchanges in a row, over connections that a connect function of ours hands out.
 * The first byte gives the methods, the pieces and whether the consumer pauses.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/http/client.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static int upstream = -1; /* our end of the latest connection */

/* ---- connecting: from the loop, as the contract wants it ---- */

struct dial {
    struct op op;
    struct defer later;
    http_connected_fn *done;
    void *arg;
};

static void dial_cancel(struct op *op)
{
    struct dial *d = (struct dial *) op;

    defer_cancel(&d->later);
    loop_reap(loop, d, free);
}

static void dial_finish(void *arg)
{
    struct dial *d = arg;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    if (upstream >= 0)
        close(upstream);
    upstream = fds[1];
    op_finish(&d->op);
    loop_reap(loop, d, free);
    d->done(d->arg, 0, fds[0]);
}

static int dial(void *ctx, struct op **slot, http_connected_fn *done, void *arg)
{
    struct dial *d = calloc(1, sizeof(*d));

    (void) ctx;
    if (!d)
        abort();
    d->done = done;
    d->arg = arg;
    op_begin(&d->op, slot, dial_cancel);
    loop_defer(loop, &d->later, dial_finish, d);
    return 0;
}

/* ---- one exchange ---- */

struct job {
    struct http_exchange *x;
    bool pauses;
    unsigned heads, ends;
    uint64_t bytes;
    int64_t expected;
};

static void on_head(void *arg, const struct http_head *h)
{
    struct job *j = arg;
    struct buf leftover = BUF_INIT(0);

    assert(++j->heads == 1 && (h->status >= 200 || h->status == 101) && h->status < 600);
    j->expected = h->body;
    if (h->status == 101) {
        stream_close(http_exchange_takeover(j->x, &leftover));
        buf_deinit(&leftover);
        j->ends++;
    }
}

static void on_data(void *arg, const void *p, size_t len)
{
    struct job *j = arg;

    assert(j->heads == 1 && !j->ends && p && len);
    j->bytes += len;
    if (j->pauses)
        http_exchange_pause(j->x, true);
}

static void on_end(void *arg)
{
    struct job *j = arg;

    assert(j->heads == 1 && ++j->ends == 1);
    assert(j->expected < 0 || (uint64_t) j->expected == j->bytes);
}

static void on_fail(void *arg, int r)
{
    struct job *j = arg;

    assert(r < 0 && ++j->ends == 1);
}

static void turn(struct job *j)
{
    char sink[4096];

    assert(loop_turn(loop, 0) == 0);
    if (j && j->pauses && !j->ends)
        http_exchange_pause(j->x, false);
    while (upstream >= 0 && recv(upstream, sink, sizeof(sink), MSG_DONTWAIT) > 0)
        ;
}

static size_t run(struct http_pool *p, uint8_t how, const uint8_t *data, size_t size, size_t step)
{
    static const struct http_exchange_ops ops = {NULL, on_head, on_data, on_end, on_fail, NULL};
    static const char *const methods[] = {"GET", "HEAD", "POST", "GET"};
    struct http_header items[] = {{"Connection", "Upgrade"}, {"Upgrade", "x"}};
    const struct http_headers headers = {items, 2};
    struct job j = {.pauses = how & 4};
    size_t at = 0;

    if (http_exchange_begin(&j.x, p, methods[how & 3], "/", (how & 3) == 3 ? &headers : NULL, 0, 0, &ops, &j) < 0)
        abort();
    turn(&j);
    turn(&j);
    for (; at < size && !j.ends; at += step) {
        size_t n = size - at < step ? size - at : step;

        if (upstream < 0 || send(upstream, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        turn(&j);
        turn(&j);
    }
    if (!j.ends && upstream >= 0) {
        close(upstream);
        upstream = -1;
    }
    for (int i = 0; i < 4; i++)
        turn(&j);
    http_exchange_free(j.x);
    turn(NULL);
    return at < size ? at : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct http_pool_conf conf = {.connect = dial, .host = "a"};
    struct http_pool *p;
    size_t at = 1;

    if (size < 2)
        return 0;
    if (!loop && loop_new(&loop) < 0)
        abort();
    if (http_pool_new(&p, loop, &conf) < 0)
        abort();
    for (int i = 0; i < 3; i++)
        at += run(p, (uint8_t) (data[0] >> (2 * i)), data + at, size - at, 1 + (data[0] & 1) * 300 + (size_t) (data[0] >> 6) * 7);
    http_pool_free(p);
    turn(NULL);
    turn(NULL);
    if (upstream >= 0)
        close(upstream);
    upstream = -1;
    return 0;
}
