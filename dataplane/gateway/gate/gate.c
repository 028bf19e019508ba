/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/gate/gate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "common/wire/gate_link.h"

enum { GATE_RETRY_MS = 100, GATE_HELLO_MS = 10000, GATE_PACKETS_PER_TURN = 64, GATE_SEND_MAX = 4 * 1024 * 1024 };

/* One asked connection. In gate.waiting until it is sent, then in gate.asked until it is answered. */
struct gate_call {
    struct op op;
    struct list node;
    struct gate *gate;
    struct timer *deadline;
    char sandbox_id[24];
    uint64_t req;
    gate_connected_fn *done;
    void *arg;
};

/* A packet that the socket did not take. */
struct gate_packet {
    struct list node;
    size_t len;
    uint8_t bytes[];
};

struct gate {
    struct loop *loop;
    char *path; /* owned */
    struct gate_ops ops;
    void *arg;
    enum gate_state state;
    int fd;
    struct io *io;
    struct timer *timer; /* DOWN: next try; HELLO, SYNCING: deadline */
    struct list waiting, asked;
    struct list out; /* struct gate_packet */
    size_t out_bytes;
    uint64_t next_req;
    unsigned pending;
    uint8_t *packet; /* owned: receive buffer of GATE_PACKET_MAX */
    struct log_limit down_limit, packet_limit;
};

static void gate_try(void *arg);
static void gate_send_waiting(struct gate *g);

/* ---- calls ---- */

static void gate_call_free(struct gate_call *c)
{
    list_del(&c->node);
    timer_free(c->deadline);
    c->gate->pending--;
    free(c);
}

static void gate_call_finish(struct gate_call *c, int r, int fd)
{
    gate_connected_fn *done = c->done;
    void *arg = c->arg;

    op_finish(&c->op);
    gate_call_free(c);
    done(arg, r, fd);
}

static void gate_call_cancel(struct op *op)
{
    /* A late answer finds no request and its descriptor is closed. */
    gate_call_free(CONTAINER_OF(op, struct gate_call, op));
}

static void gate_call_timeout(void *arg)
{
    gate_call_finish(arg, -ETIMEDOUT, -1);
}

void gate_connect(struct gate *g, const char *sandbox_id, uint32_t deadline_ms, struct op **slot, gate_connected_fn *done, void *arg)
{
    struct gate_call *c = xnew(struct gate_call);

    c->gate = g;
    str_copy(c->sandbox_id, sizeof(c->sandbox_id), sandbox_id);
    c->done = done;
    c->arg = arg;
    c->deadline = timer_new(g->loop, gate_call_timeout, c);
    timer_set(c->deadline, deadline_ms);
    list_append(&g->waiting, &c->node);
    g->pending++;
    op_begin(&c->op, slot, gate_call_cancel);
    if (g->state == GATE_STATE_SYNCED)
        gate_send_waiting(g);
}

static struct gate_call *gate_call_find(struct gate *g, uint64_t req)
{
    LIST_FOR_EACH(n, &g->asked) {
        struct gate_call *c = LIST_ENTRY(n, struct gate_call, node);

        if (c->req == req)
            return c;
    }
    return NULL;
}

/* ---- sending ---- */

static void gate_down(struct gate *g, const char *why)
{
    if (g->state == GATE_STATE_DOWN)
        return;
    if (log_allow(&g->down_limit))
        log_warn(NULL, "vmhost is away", "gate_sock", g->path, "reason", why);
    io_close(g->io);
    g->io = NULL;
    close(g->fd);
    g->fd = -1;
    LIST_FOR_EACH_SAFE(n, tmp, &g->out) {
        list_del(n);
        free(LIST_ENTRY(n, struct gate_packet, node));
    }
    g->out_bytes = 0;
    /* Ask again in the old order once vmhost is back; deadlines go on. */
    while (!list_empty(&g->asked)) {
        struct list *last = g->asked.prev;

        list_del(last);
        list_prepend(&g->waiting, last);
    }
    g->state = GATE_STATE_DOWN;
    timer_set(g->timer, GATE_RETRY_MS);
    g->ops.on_down(g->arg);
}

static void gate_queue(struct gate *g, const void *p, size_t len)
{
    struct gate_packet *k = xmalloc(sizeof(*k) + len);

    k->len = len;
    memcpy(k->bytes, p, len);
    list_append(&g->out, &k->node);
    g->out_bytes += len;
    io_want(g->io, IO_READ | IO_WRITE);
}

/* False when the connection has ended. */
static bool gate_send(struct gate *g, const struct gate_msg *m)
{
    struct buf b = BUF_INIT(GATE_PACKET_MAX);
    int r = gate_msg_write(&b, m);

    assert(r == 0); /* our own messages are small */
    if (list_empty(&g->out))
        r = net_send_fds(g->fd, buf_data(&b), b.len, NULL, 0);
    else
        r = -EAGAIN;
    if (r == -EAGAIN && g->out_bytes < GATE_SEND_MAX) {
        gate_queue(g, buf_data(&b), b.len);
        r = 0;
    }
    buf_deinit(&b);
    if (r < 0)
        gate_down(g, strerror(-r));
    return r == 0;
}

static void gate_flush(struct gate *g)
{
    while (!list_empty(&g->out)) {
        struct gate_packet *k = LIST_ENTRY(g->out.next, struct gate_packet, node);
        int r = net_send_fds(g->fd, k->bytes, k->len, NULL, 0);

        if (r == -EAGAIN)
            return;
        if (r < 0) {
            gate_down(g, strerror(-r));
            return;
        }
        list_del(&k->node);
        g->out_bytes -= k->len;
        free(k);
    }
    io_want(g->io, IO_READ);
}

static void gate_send_waiting(struct gate *g)
{
    while (!list_empty(&g->waiting)) {
        struct gate_call *c = LIST_ENTRY(g->waiting.next, struct gate_call, node);
        struct gate_msg m = {.t = (char *) "connect", .id = c->sandbox_id};

        m.req = c->req = ++g->next_req;
        list_del(&c->node);
        list_append(&g->asked, &c->node);
        if (!gate_send(g, &m))
            return;
    }
}

/* ---- receiving ---- */

int gate_decode(const void *p, size_t len, int (*fn)(void *arg, const struct gate_msg *m, int type), void *arg)
{
    cleanup(arena_freep) struct arena *a = arena_new(4 * GATE_PACKET_MAX);
    struct gate_msg m;
    enum gate_type type;

    if (json_decode(&gate_msg_table, p, len, a, &m, NULL) < 0 || gate_msg_type(&m, &type) < 0)
        return -EPROTO;
    return fn(arg, &m, type);
}

static int gate_connected_code(const struct gate_msg *m, bool fd)
{
    if (m->error)
        return strstr(m->error, "not_found") ? -ENOENT : -ECONNREFUSED;
    return fd ? 0 : -ECONNREFUSED;
}

static void gate_on_connected(struct gate *g, const struct gate_msg *m, int *fd)
{
    struct gate_call *c = gate_call_find(g, m->req);
    int r = gate_connected_code(m, *fd >= 0);

    if (!c)
        return; /* its deadline has passed */
    if (r < 0 && log_allow(&g->packet_limit))
        log_warn(NULL, "vmhost gives no connection", "sandbox", c->sandbox_id, "error", m->error, "message", m->message);
    gate_call_finish(c, r, r == 0 ? take_fd(fd) : -1);
}

static int gate_on_hello(struct gate *g, const struct gate_msg *m)
{
    if (g->state != GATE_STATE_HELLO || m->v != GATE_VERSION)
        return -EPROTO;
    g->state = GATE_STATE_SYNCING;
    log_info(NULL, "vmhost is up", "gate_sock", g->path, "host", m->host);
    g->ops.on_up(g->arg);
    return 0;
}

struct gate_in {
    struct gate *gate;
    int fd; /* that came with the packet; -1 = none or taken */
};

static int gate_on_message(void *arg, const struct gate_msg *m, int type)
{
    struct gate_in *in = arg;
    struct gate *g = in->gate;

    if (g->state == GATE_STATE_HELLO && type != GATE_HELLO)
        return -EPROTO;
    switch ((enum gate_type) type) {
    case GATE_HELLO:
        return gate_on_hello(g, m);
    case GATE_ROUTE:
        g->ops.on_route(g->arg, m);
        return 0;
    case GATE_GONE:
        g->ops.on_gone(g->arg, m);
        return 0;
    case GATE_SYNCED:
        if (g->state != GATE_STATE_SYNCING)
            return -EPROTO;
        g->state = GATE_STATE_SYNCED;
        timer_cancel(g->timer);
        g->ops.on_synced(g->arg);
        gate_send_waiting(g);
        return 0;
    case GATE_CONNECTED:
        gate_on_connected(g, m, &in->fd);
        return 0;
    case GATE_CONNECT:
        break;
    }
    return -EPROTO;
}

/* Reads one packet; false when there is none or the connection has ended. */
static bool gate_receive(struct gate *g)
{
    int fds[4] = {-1, -1, -1, -1};
    size_t nfds = ARRAY_LEN(fds);
    ssize_t n = net_recv_fds(g->fd, g->packet, GATE_PACKET_MAX, fds, &nfds);
    struct gate_in in = {.gate = g, .fd = -1};
    int r;

    if (n == -EAGAIN)
        return false;
    if (n <= 0) {
        gate_down(g, n == 0 ? "connection closed" : strerror((int) -n));
        return false;
    }
    in.fd = nfds > 0 ? fds[0] : -1;
    r = gate_decode(g->packet, (size_t) n, gate_on_message, &in);
    fd_closep(&in.fd);
    for (size_t i = 1; i < nfds; i++)
        fd_closep(&fds[i]);
    if (r < 0) {
        gate_down(g, "a message that makes no sense");
        return false;
    }
    return g->state != GATE_STATE_DOWN;
}

static void gate_on_io(void *arg, unsigned events)
{
    struct gate *g = arg;

    if (events & IO_WRITE) {
        gate_flush(g);
        return;
    }
    for (int i = 0; i < GATE_PACKETS_PER_TURN && gate_receive(g); i++)
        ;
}

/* ---- connection ---- */

static int gate_dial(struct gate *g)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    cleanup(fd_closep) int fd = -1;
    int r;

    if (!str_copy(sa.sun_path, sizeof(sa.sun_path), g->path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
        return -errno;
    r = io_open(&g->io, g->loop, fd, gate_on_io, g);
    if (r < 0)
        return r;
    g->fd = take_fd(&fd);
    io_want(g->io, IO_READ);
    return 0;
}

static void gate_try(void *arg)
{
    struct gate *g = arg;
    struct gate_msg hello = {.t = (char *) "hello", .v = GATE_VERSION};
    int r;

    if (g->state != GATE_STATE_DOWN) {
        gate_down(g, "no answer in time");
        return;
    }
    r = gate_dial(g);
    if (r < 0) {
        if (log_allow(&g->down_limit))
            log_warn(NULL, "cannot reach vmhost", "gate_sock", g->path, "reason", strerror(-r));
        timer_set(g->timer, GATE_RETRY_MS);
        return;
    }
    g->state = GATE_STATE_HELLO;
    timer_set(g->timer, GATE_HELLO_MS);
    (void) gate_send(g, &hello); /* a failure is gate_down() already */
}

struct gate *gate_new(struct loop *l, const char *path, const struct gate_ops *ops, void *arg)
{
    struct gate *g = xnew(struct gate);

    g->loop = l;
    g->path = xstrdup(path);
    g->ops = *ops;
    g->arg = arg;
    g->fd = -1;
    g->packet = xmalloc(GATE_PACKET_MAX);
    g->down_limit = (struct log_limit) LOG_LIMIT_INIT(6);
    g->packet_limit = (struct log_limit) LOG_LIMIT_INIT(60);
    list_init(&g->waiting);
    list_init(&g->asked);
    list_init(&g->out);
    g->timer = timer_new(l, gate_try, g);
    timer_set(g->timer, 0);
    return g;
}

static void gate_drop_calls(struct list *l)
{
    LIST_FOR_EACH_SAFE(n, tmp, l) {
        struct gate_call *c = LIST_ENTRY(n, struct gate_call, node);

        op_finish(&c->op);
        gate_call_free(c);
    }
}

void gate_free(struct gate *g)
{
    static const struct gate_ops none;

    if (!g)
        return;
    gate_drop_calls(&g->waiting);
    gate_drop_calls(&g->asked);
    if (g->state != GATE_STATE_DOWN) {
        io_close(g->io);
        close(g->fd);
    }
    g->ops = none;
    LIST_FOR_EACH_SAFE(n, tmp, &g->out) {
        list_del(n);
        free(LIST_ENTRY(n, struct gate_packet, node));
    }
    timer_free(g->timer);
    free(g->packet);
    free(g->path);
    free(g);
}

enum gate_state gate_state(const struct gate *g)
{
    return g->state;
}

unsigned gate_pending(const struct gate *g)
{
    return g->pending;
}
