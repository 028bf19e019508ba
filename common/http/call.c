/* SPDX-License-Identifier: Apache-2.0 */
/* call - http_call(): a whole request, a whole answer, one deadline. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/http/client_internal.h"

struct call {
    struct op op; /* first: op_cancel() finds the call */
    struct loop *loop;
    struct http_exchange *x; /* owned */
    struct timer *deadline;  /* owned */
    struct buf answer;
    const struct http_head *head; /* in the exchange's memory */
    http_call_fn *done;
    void *arg;
};

static void call_free(void *p)
{
    struct call *c = p;

    buf_deinit(&c->answer);
    free(c);
}

static void call_release(struct call *c)
{
    timer_free(take_ptr(&c->deadline));
    http_exchange_free(take_ptr(&c->x)); /* its memory stays until the turn has ended */
    loop_reap(c->loop, c, call_free);
}

static void call_finish(struct call *c, int r)
{
    struct http_response resp = {
        .head = c->head,
        .body = c->answer.len ? buf_data(&c->answer) : (const uint8_t *) "",
        .body_len = c->answer.len,
    };

    op_finish(&c->op);
    call_release(c);
    c->done(c->arg, r, r ? NULL : &resp);
}

static void call_on_cancel(struct op *op)
{
    call_release((struct call *) op);
}

static void call_on_deadline(void *arg)
{
    call_finish(arg, -ETIMEDOUT);
}

static void call_on_head(void *arg, const struct http_head *h)
{
    struct call *c = arg;

    c->head = h;
    if (h->status == 101 || (h->body > 0 && (uint64_t) h->body > c->answer.max))
        call_finish(c, h->status == 101 ? -EPROTO : -EMSGSIZE);
}

static void call_on_data(void *arg, const void *p, size_t len)
{
    struct call *c = arg;

    if (buf_append(&c->answer, p, len) < 0)
        call_finish(c, -EMSGSIZE);
}

static void call_on_end(void *arg)
{
    call_finish(arg, 0);
}

static void call_on_fail(void *arg, int r)
{
    call_finish(arg, r);
}

static const struct http_exchange_ops call_ops = {
    .on_head = call_on_head, .on_data = call_on_data, .on_end = call_on_end, .on_fail = call_on_fail,
};

/* The caller's headers and the content type; *items is the caller's to free. */
static struct http_headers call_headers(const struct http_call *call, struct http_header **items)
{
    size_t count = call->headers ? call->headers->count : 0;

    *items = xcalloc(count + 1, sizeof(**items));
    if (count)
        memcpy(*items, call->headers->items, count * sizeof(**items));
    if (call->content_type)
        (*items)[count++] = (struct http_header){"Content-Type", call->content_type};
    return (struct http_headers){*items, count};
}

int http_call(struct http_pool *p, const struct http_call *call, struct op **slot, http_call_fn *done, void *arg)
{
    cleanup(freep) struct http_header *items = NULL;
    struct http_headers headers = call_headers(call, &items);
    uint32_t deadline_ms = call->deadline_ms ? call->deadline_ms : 10000;
    struct call *c = xnew(struct call);
    int r;

    c->loop = p->loop;
    c->done = done;
    c->arg = arg;
    buf_init(&c->answer, call->answer_bytes_max ? call->answer_bytes_max : 1 * MIB);
    r = http_exchange_begin(&c->x, p, call->method, call->target, &headers, (int64_t) call->body_len, 0, &call_ops, c);
    if (r < 0) {
        call_free(c);
        return r;
    }
    if (call->body_len) {
        http_exchange_send(c->x, call->body, call->body_len); /* waits for the connection with the head */
        http_exchange_send_end(c->x);
    }
    if (call->retry)
        exchange_allow_retry(c->x);
    c->deadline = timer_new(c->loop, call_on_deadline, c);
    timer_set(c->deadline, deadline_ms);
    op_begin(&c->op, slot, call_on_cancel);
    return 0;
}
