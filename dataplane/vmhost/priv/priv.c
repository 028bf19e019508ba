/* SPDX-License-Identifier: Apache-2.0 */
/* priv - see priv.h */
#include "dataplane/vmhost/priv/priv.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct priv {
    struct loop *loop;
    int sock;            /* owned */
    struct io *io;       /* owned */
    uint64_t next_id;
    struct list waiting; /* struct priv_request: sent, in order */
    struct list queue;   /* struct priv_request: not sent yet */
    priv_gone_fn *gone;
    void *arg;
    struct defer defer_fail;
};

struct priv_request {
    struct op op;
    struct list node;
    uint64_t id;
    bool cancelled;
    priv_done_fn *done;
    void *arg;
    /* while queued */
    union priv_message message;
    size_t len, nfds;
    int fds[PRIV_FDS_MAX]; /* owned duplicates */
};

static void priv_request_free(struct priv_request *q)
{
    list_del(&q->node);
    for (size_t i = 0; i < q->nfds; i++)
        fd_closep(&q->fds[i]);
    mem_wipe(&q->message, sizeof(q->message));
    free(q);
}

static void priv_on_cancel(struct op *op)
{
    struct priv_request *q = CONTAINER_OF(op, struct priv_request, op);

    q->cancelled = true; /* its answer is still to come and may bear descriptors */
}

static void priv_finish(struct priv_request *q, int r, const struct priv_reply *rep, int *fds)
{
    priv_done_fn *done = q->done;
    void *arg = q->arg;
    bool cancelled = q->cancelled;

    if (!cancelled)
        op_finish(&q->op);
    priv_request_free(q);
    if (!cancelled && done)
        done(arg, r, rep, fds);
}

/* Every call that waits is completed exactly once. */
static void priv_fail(struct priv *p)
{
    struct list *const lists[] = {&p->waiting, &p->queue};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (!list_empty(lists[i]))
            priv_finish(LIST_ENTRY(lists[i]->next, struct priv_request, node), -ECONNRESET, NULL, NULL);
    if (p->gone)
        p->gone(p->arg);
}

static void priv_on_fail(void *arg)
{
    priv_fail(arg);
}

static void priv_lose(struct priv *p)
{
    io_close(p->io);
    p->io = NULL;
    loop_defer(p->loop, &p->defer_fail, priv_on_fail, p);
}

/* 0: sent; 1: the socket is full; < 0: gone. */
static int priv_send(struct priv *p, struct priv_request *q)
{
    int r = net_send_fds(p->sock, &q->message, q->len, q->fds, q->nfds);

    if (r == -EAGAIN)
        return 1;
    if (r < 0)
        return r;
    for (size_t i = 0; i < q->nfds; i++)
        fd_closep(&q->fds[i]);
    q->nfds = 0;
    mem_wipe(&q->message, sizeof(q->message));
    list_del(&q->node);
    list_append(&p->waiting, &q->node);
    return 0;
}

static void priv_flush(struct priv *p)
{
    while (!list_empty(&p->queue)) {
        int r = priv_send(p, LIST_ENTRY(p->queue.next, struct priv_request, node));

        if (r < 0)
            priv_lose(p);
        if (r != 0)
            break;
    }
    if (p->io)
        io_want(p->io, list_empty(&p->queue) ? IO_READ : IO_READ | IO_WRITE);
}

static struct priv_request *priv_find(struct priv *p, uint64_t id)
{
    LIST_FOR_EACH(n, &p->waiting) {
        struct priv_request *q = LIST_ENTRY(n, struct priv_request, node);

        if (q->id == id)
            return q;
    }
    return NULL;
}

static void priv_receive(struct priv *p)
{
    struct priv_reply rep;
    int fds[PRIV_FDS_MAX];
    size_t nfds = PRIV_FDS_MAX;
    ssize_t n = net_recv_fds(p->sock, &rep, sizeof(rep), fds, &nfds);
    struct priv_request *q;

    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n != (ssize_t) sizeof(rep)) {
        for (size_t i = 0; n > 0 && i < nfds; i++)
            close(fds[i]);
        priv_lose(p);
        return;
    }
    rep.text[sizeof(rep.text) - 1] = '\0';
    rep.nfds = (uint32_t) nfds;
    q = priv_find(p, rep.id);
    if (q)
        priv_finish(q, rep.result, &rep, fds);
    for (size_t i = 0; i < nfds; i++)
        fd_closep(&fds[i]);
}

static void priv_on_io(void *arg, unsigned events)
{
    struct priv *p = arg;

    if (events & IO_WRITE)
        priv_flush(p);
    if (p->io && (events & IO_READ))
        priv_receive(p);
}

int priv_open(struct priv **out, struct loop *l, int sock, priv_gone_fn *gone, void *arg)
{
    struct priv *p = xnew(struct priv);
    int r;

    p->loop = l;
    p->sock = sock;
    p->gone = gone;
    p->arg = arg;
    list_init(&p->waiting);
    list_init(&p->queue);
    r = io_open(&p->io, l, sock, priv_on_io, p);
    if (r < 0) {
        fd_closep(&p->sock);
        free(p);
        return r;
    }
    io_want(p->io, IO_READ);
    *out = p;
    return 0;
}

void priv_close(struct priv *p)
{
    if (!p)
        return;
    p->gone = NULL;
    io_close(p->io);
    defer_cancel(&p->defer_fail);
    priv_fail(p);
    fd_closep(&p->sock);
    free(p);
}

int priv_call(struct priv *p, union priv_message *m, const int *fds, size_t nfds, struct op **slot, priv_done_fn *done, void *arg)
{
    struct priv_request *q = xnew(struct priv_request);

    assert(m->head.op > PRIV_NONE && m->head.op < PRIV_OP_COUNT && nfds <= PRIV_FDS_MAX);
    m->head.size = (uint32_t) privop_rows[m->head.op].size;
    m->head.id = q->id = ++p->next_id;
    q->len = m->head.size;
    memcpy(&q->message, m, q->len);
    q->done = done;
    q->arg = arg;
    list_append(&p->queue, &q->node);
    for (; q->nfds < nfds; q->nfds++) {
        q->fds[q->nfds] = fcntl(fds[q->nfds], F_DUPFD_CLOEXEC, 0);
        if (q->fds[q->nfds] < 0) {
            int r = -errno;

            priv_request_free(q);
            return r;
        }
    }
    op_begin(&q->op, slot, priv_on_cancel);
    if (p->io)
        priv_flush(p); /* a failure is told from the loop */
    else
        loop_defer(p->loop, &p->defer_fail, priv_on_fail, p);
    return 0;
}

int priv_slot(struct priv *p, enum priv_op op, unsigned slot, struct op **op_slot, priv_done_fn *done, void *arg)
{
    union priv_message m = {.slot = {.head.op = op, .slot = slot}};

    return priv_call(p, &m, NULL, 0, op_slot, done, arg);
}

int priv_store(struct priv *p, enum priv_op op, enum priv_kind kind, enum priv_file file, const char *name, bool unfinished, uint64_t size,
               struct op **op_slot, priv_done_fn *done, void *arg)
{
    union priv_message m = {.store = {.head.op = op, .kind = kind, .file = file, .unfinished = unfinished, .size = size}};

    if (name && !str_copy(m.store.name, sizeof(m.store.name), name))
        return -EINVAL;
    return priv_call(p, &m, NULL, 0, op_slot, done, arg);
}
