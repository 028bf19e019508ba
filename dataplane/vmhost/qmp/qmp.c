/* SPDX-License-Identifier: Apache-2.0 */
/* qmp - see qmp.h */
#include "dataplane/vmhost/qmp/qmp.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "dataplane/vmhost/qmp/qmp_msg.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum qmp_state {
    QMP_WAITS_GREETING,
    QMP_NEGOTIATES, /* qmp_capabilities was sent */
    QMP_READY,
    QMP_GONE,       /* on_closed has been or will be called */
};

struct qmp {
    struct loop *loop;
    int fd;            /* owned */
    struct io *io;     /* owned */
    enum qmp_state state;
    struct qmp_reader reader;
    uint64_t next_id;
    struct list queue;   /* struct qmp_request: not sent */
    struct list waiting; /* sent */
    struct qmp_ops ops;
    void *arg;
    struct defer defer_lost;
    int lost;            /* why */
    bool closed;
};

struct qmp_request {
    struct op op;
    struct qmp *qmp;
    struct list node;
    uint64_t id;
    struct timer *timer; /* owned */
    struct buf text;     /* while queued */
    int fd;              /* owned duplicate while queued, -1 */
    bool internal;       /* the negotiation: allowed before READY */
    bool cancelled;
    qmp_done_fn *done;
    void *arg;
};

static void qmp_request_free(struct qmp_request *c)
{
    list_del(&c->node);
    timer_free(c->timer);
    buf_deinit(&c->text);
    fd_closep(&c->fd);
    free(c);
}

static void qmp_finish(struct qmp_request *c, int r, const struct json *data, const char *text)
{
    qmp_done_fn *done = c->done;
    void *arg = c->arg;
    bool cancelled = c->cancelled;

    if (!cancelled)
        op_finish(&c->op);
    qmp_request_free(c);
    if (!cancelled && done)
        done(arg, r, data, text);
}

/* Sent ones stay known, so that their answers are not taken for nonsense. */
static void qmp_on_cancel(struct op *op)
{
    struct qmp_request *c = CONTAINER_OF(op, struct qmp_request, op);

    c->cancelled = true;
    if (c->text.len > 0)
        qmp_request_free(c);
}

static void qmp_on_lost(void *arg)
{
    struct qmp *q = arg;
    struct list *const lists[] = {&q->waiting, &q->queue};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        while (!list_empty(lists[i])) {
            qmp_finish(LIST_ENTRY(lists[i]->next, struct qmp_request, node), -ECONNRESET, NULL, NULL);
            if (q->closed)
                return;
        }
    }
    if (q->ops.on_closed)
        q->ops.on_closed(q->arg, q->lost);
}

static void qmp_lose(struct qmp *q, int r)
{
    if (q->state == QMP_GONE)
        return;
    q->state = QMP_GONE;
    q->lost = r;
    io_close(q->io);
    q->io = NULL;
    loop_defer(q->loop, &q->defer_lost, qmp_on_lost, q);
}

static int qmp_send(struct qmp *q, struct qmp_request *c)
{
    int r = net_send_fds(q->fd, buf_data(&c->text), c->text.len, &c->fd, c->fd >= 0 ? 1 : 0);

    if (r < 0)
        return r;
    buf_deinit(&c->text);
    fd_closep(&c->fd);
    list_del(&c->node);
    list_append(&q->waiting, &c->node);
    return 0;
}

/* A command is a few hundred bytes into an empty socket; -EMSGSIZE (a part was taken) means that QEMU has stopped reading. */
static void qmp_flush(struct qmp *q)
{
    bool full = false;

    LIST_FOR_EACH_SAFE(n, next, &q->queue) {
        struct qmp_request *c = LIST_ENTRY(n, struct qmp_request, node);
        int r;

        if (q->state != QMP_READY && !c->internal)
            continue;
        r = qmp_send(q, c);
        if (r == -EAGAIN) {
            full = true;
            break;
        }
        if (r < 0) {
            qmp_lose(q, r);
            return;
        }
    }
    if (q->io)
        io_want(q->io, full ? IO_READ | IO_WRITE : IO_READ);
}

static void qmp_on_deadline(void *arg)
{
    struct qmp_request *c = arg;
    struct qmp *q = c->qmp;

    if (c->cancelled) { /* nobody waits, but QEMU has not answered: it may do so yet */
        return;
    }
    log_warn(NULL, "qmp call timed out", "state", q->state == QMP_READY ? "ready" : "not greeted");
    qmp_finish(c, -ETIMEDOUT, NULL, NULL);
}

static int qmp_request_new(struct qmp *q, const char *command, const char *args, int fd, struct qmp_request **out)
{
    struct qmp_request *c = xnew(struct qmp_request);
    int r;

    c->qmp = q;
    c->id = ++q->next_id;
    c->fd = -1;
    buf_init(&c->text, QMP_LINE_MAX);
    r = buf_printf(&c->text, "{\"execute\":\"%s\",\"id\":%llu%s%s}\r\n", command, (unsigned long long) c->id, args ? ",\"arguments\":" : "",
                   args ? args : "");
    if (r == 0 && fd >= 0) {
        c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        r = c->fd < 0 ? -errno : 0;
    }
    if (r < 0) {
        qmp_request_free(c);
        return r;
    }
    c->timer = timer_new(q->loop, qmp_on_deadline, c);
    *out = c;
    return 0;
}

int qmp_call(struct qmp *q, const char *command, const char *args, int fd, uint32_t deadline_ms, struct op **slot, qmp_done_fn *done, void *arg)
{
    struct qmp_request *c;
    int r = qmp_request_new(q, command, args, fd, &c);

    if (r < 0)
        return r;
    c->done = done;
    c->arg = arg;
    list_append(&q->queue, &c->node);
    timer_set(c->timer, deadline_ms);
    op_begin(&c->op, slot, qmp_on_cancel);
    if (q->state == QMP_GONE)
        loop_defer(q->loop, &q->defer_lost, qmp_on_lost, q);
    else
        qmp_flush(q);
    return 0;
}

static void qmp_on_negotiated(void *arg, int r, const struct json *data, const char *text)
{
    struct qmp *q = arg;

    (void) data;
    (void) text;
    if (q->state != QMP_NEGOTIATES)
        return;
    if (r != 0) {
        qmp_lose(q, -EPROTO);
        return;
    }
    q->state = QMP_READY;
    if (q->ops.on_ready)
        q->ops.on_ready(q->arg);
    if (!q->closed)
        qmp_flush(q);
}

static int qmp_negotiate(struct qmp *q)
{
    struct qmp_request *c;
    int r = qmp_request_new(q, "qmp_capabilities", NULL, -1, &c);

    if (r < 0)
        return r;
    q->state = QMP_NEGOTIATES;
    c->internal = true;
    c->done = qmp_on_negotiated;
    c->arg = q;
    op_begin(&c->op, NULL, qmp_on_cancel);
    list_append(&q->queue, &c->node);
    timer_set(c->timer, 10000);
    qmp_flush(q);
    return 0;
}

static void qmp_answer(struct qmp *q, const struct qmp_msg *m)
{
    LIST_FOR_EACH(n, &q->waiting) {
        struct qmp_request *c = LIST_ENTRY(n, struct qmp_request, node);

        if (m->has_id && c->id == m->id) {
            qmp_finish(c, m->kind == QMP_RETURN ? 0 : QMP_E_REFUSED, m->data, m->text);
            return;
        }
    }
    /* the answer to a call that was given up */
}

static int qmp_handle(struct qmp *q, const struct qmp_msg *m)
{
    switch (m->kind) {
    case QMP_GREETING:
        return q->state == QMP_WAITS_GREETING ? qmp_negotiate(q) : -EPROTO;
    case QMP_EVENT:
        if (q->ops.on_event)
            q->ops.on_event(q->arg, m->name, m->data);
        return 0;
    default:
        qmp_answer(q, m);
        return 0;
    }
}

static void qmp_read_all(struct qmp *q)
{
    struct qmp_msg m;
    struct err e = ERR_INIT;
    int r = QMP_READ_MORE;

    while (!q->closed && q->state != QMP_GONE && (r = qmp_reader_next(&q->reader, &m, &e)) == QMP_READ_OK) {
        r = qmp_handle(q, &m);
        qmp_msg_deinit(&m);
        if (r < 0)
            break;
    }
    if (q->closed || r >= 0)
        return;
    log_error(NULL, "qemu talks nonsense on its monitor", "error", err_text(&e, r));
    qmp_lose(q, -EPROTO);
}

static void qmp_on_io(void *arg, unsigned events)
{
    struct qmp *q = arg;
    uint8_t *to;
    ssize_t n;

    if (events & IO_WRITE)
        qmp_flush(q);
    if (!q->io || !(events & IO_READ))
        return;
    to = buf_reserve(&q->reader.in, 32 * KIB);
    n = to ? recv(q->fd, to, 32 * KIB, MSG_DONTWAIT) : -1;
    if (!to)
        errno = EMSGSIZE;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        qmp_lose(q, n == 0 ? -ECONNRESET : -errno);
        return;
    }
    buf_commit(&q->reader.in, (size_t) n);
    qmp_read_all(q);
}

int qmp_open(struct qmp **out, struct loop *l, int fd, const struct qmp_ops *ops, void *arg)
{
    struct qmp *q = xnew(struct qmp);
    int r;

    q->loop = l;
    q->fd = fd;
    q->ops = *ops;
    q->arg = arg;
    list_init(&q->queue);
    list_init(&q->waiting);
    qmp_reader_init(&q->reader);
    r = io_open(&q->io, l, fd, qmp_on_io, q);
    if (r < 0) {
        fd_closep(&q->fd);
        free(q);
        return r;
    }
    io_want(q->io, IO_READ);
    *out = q;
    return 0;
}

static void qmp_free(void *object)
{
    struct qmp *q = object;

    qmp_reader_deinit(&q->reader);
    free(q);
}

static void qmp_drop_calls(struct list *calls)
{
    while (!list_empty(calls)) {
        struct qmp_request *c = LIST_ENTRY(calls->next, struct qmp_request, node);

        if (!c->cancelled)
            op_finish(&c->op);
        qmp_request_free(c);
    }
}

void qmp_close(struct qmp *q)
{
    if (!q || q->closed)
        return;
    q->closed = true;
    q->state = QMP_GONE;
    qmp_drop_calls(&q->queue);
    qmp_drop_calls(&q->waiting);
    io_close(q->io);
    q->io = NULL;
    defer_cancel(&q->defer_lost);
    fd_closep(&q->fd);
    loop_reap(q->loop, q, qmp_free);
}
