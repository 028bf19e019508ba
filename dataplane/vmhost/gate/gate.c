/* SPDX-License-Identifier: Apache-2.0 */
/* gate - see gate.h */
#include "dataplane/vmhost/gate/gate.h"
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
#include "common/metrics/metrics.h"
#include "common/net/net.h"
#include "common/wire/agent_init.h"
#include "common/wire/gate_link.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/vm/guest_socket.h"
#include "dataplane/vmhost/vm/vms.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PEERS_MAX = 16, QUEUE_MAX = 20000, CONNECTS_MAX = 1024, CONNECT_MS = 5000, HELLO_MS = 5000 };

struct gate {
    struct host *host;
    struct listener *listener; /* owned */
    struct list peers;         /* struct gate_peer */
    unsigned count;
};

struct gate_peer {
    struct gate *gate;
    struct list node;
    int fd;            /* owned */
    struct io *io;     /* owned */
    struct timer *hello; /* owned: it must say hello soon */
    bool greeted;
    struct list queue; /* struct gate_packet: the socket is full */
    unsigned queued;
    struct list connects; /* struct gate_connect */
    unsigned connecting;
    bool closed;
};

struct gate_packet {
    struct list node;
    int fd; /* owned, -1 */
    size_t len;
    uint8_t bytes[];
};

struct gate_connect {
    struct list node;
    struct gate_peer *peer;
    uint64_t req;
    struct op *op;
};

static struct metric metric_connects = {
    .name = "bivouac_vmhost_gate_connects_total", .help = "Sockets handed to gateways.", .kind = METRIC_COUNTER,
};
static struct metric metric_connect_fails = {
    .name = "bivouac_vmhost_gate_connect_failures_total", .help = "Sockets that gateways asked for and did not get.", .kind = METRIC_COUNTER,
};
static struct metric metric_peers = {.name = "bivouac_vmhost_gate_peers", .help = "Gateways that are connected.", .kind = METRIC_GAUGE};

/* ---- sending ---- */

static void packet_free(struct gate_packet *p)
{
    list_del(&p->node);
    fd_closep(&p->fd);
    mem_wipe(p->bytes, p->len); /* routes bear tokens */
    free(p);
}

static void peer_reap(void *object)
{
    free(object);
}

static void peer_close(struct gate_peer *p)
{
    if (p->closed)
        return;
    p->closed = true;
    while (!list_empty(&p->queue))
        packet_free(LIST_ENTRY(p->queue.next, struct gate_packet, node));
    while (!list_empty(&p->connects)) {
        struct gate_connect *c = LIST_ENTRY(p->connects.next, struct gate_connect, node);

        op_cancel(&c->op);
        list_del(&c->node);
        free(c);
    }
    timer_free(p->hello);
    p->hello = NULL;
    io_close(p->io);
    p->io = NULL;
    fd_closep(&p->fd);
    list_del(&p->node);
    metric_set(&metric_peers, --p->gate->count);
    loop_reap(p->gate->host->loop, p, peer_reap);
}

static void peer_flush(struct gate_peer *p)
{
    while (!list_empty(&p->queue)) {
        struct gate_packet *k = LIST_ENTRY(p->queue.next, struct gate_packet, node);
        int r = net_send_fds(p->fd, k->bytes, k->len, &k->fd, k->fd >= 0 ? 1 : 0);

        if (r == -EAGAIN) {
            io_want(p->io, IO_READ | IO_WRITE);
            return;
        }
        if (r < 0) {
            peer_close(p);
            return;
        }
        p->queued--;
        packet_free(k);
    }
    io_want(p->io, IO_READ);
}

/* fd: taken, or -1. A gateway that does not read is cut off: it comes back and gets all routes anew. */
static void peer_send(struct gate_peer *p, const struct gate_msg *m, int fd)
{
    struct buf text = BUF_INIT(GATE_PACKET_MAX);
    struct gate_packet *k;

    if (p->closed || gate_msg_write(&text, m) < 0 || p->queued >= QUEUE_MAX) {
        if (!p->closed)
            log_warn(NULL, "gateway does not read its routes, cutting it off");
        fd_closep(&fd);
        peer_close(p);
        buf_deinit(&text);
        return;
    }
    k = xmalloc(sizeof(*k) + text.len);
    k->fd = fd;
    k->len = text.len;
    k->node = (struct list){0};
    memcpy(k->bytes, buf_data(&text), text.len);
    mem_wipe(buf_data(&text), text.len);
    buf_deinit(&text);
    list_append(&p->queue, &k->node);
    p->queued++;
    peer_flush(p);
}

/* ---- routes ---- */

static bool gate_tells(const struct vm *v)
{
    return v->state == VM_RUNNING && !vm_is_internal(v) && !flow_running(&v->flow);
}

static void peer_send_route(struct gate_peer *p, const struct vm *v)
{
    const struct gate_msg m = {
        .t = (char *) "route", .id = (char *) v->j.id, .rt = (char *) v->j.route_token, .generation = v->j.generation,
        .state = (char *) "running", .agent_token = (char *) v->j.agent_token, .team = (char *) v->j.team,
        .deadline_ms = v->j.deadline_ms,
    };

    peer_send(p, &m, -1);
}

void gate_route(struct gate *g, const struct vm *v)
{
    if (!g || vm_is_internal(v))
        return;
    LIST_FOR_EACH_SAFE(node, next, &g->peers) {
        struct gate_peer *p = LIST_ENTRY(node, struct gate_peer, node);

        if (p->greeted)
            peer_send_route(p, v);
    }
}

void gate_gone(struct gate *g, const struct vm *v, const char *reason)
{
    const struct gate_msg m = {
        .t = (char *) "gone", .id = (char *) v->j.id, .rt = (char *) v->j.route_token, .generation = v->j.generation,
        .reason = (char *) reason,
    };

    if (!g || vm_is_internal(v))
        return;
    LIST_FOR_EACH_SAFE(node, next, &g->peers) {
        struct gate_peer *p = LIST_ENTRY(node, struct gate_peer, node);

        if (p->greeted)
            peer_send(p, &m, -1);
    }
}

static void peer_send_one(void *arg, struct vm *v)
{
    struct gate_peer *p = arg;

    if (!p->closed && gate_tells(v))
        peer_send_route(p, v);
}

static void peer_greet(struct gate_peer *p)
{
    const struct gate_msg hello = {.t = (char *) "hello", .v = GATE_VERSION, .host = p->gate->host->name}, synced = {.t = (char *) "synced"};

    p->greeted = true;
    timer_free(p->hello);
    p->hello = NULL;
    peer_send(p, &hello, -1);
    vms_each(p->gate->host->vms, peer_send_one, p);
    if (!p->closed)
        peer_send(p, &synced, -1);
}

/* ---- connecting ---- */

static void peer_refuse(struct gate_peer *p, uint64_t req, const char *code, const char *message)
{
    const struct gate_msg m = {.t = (char *) "connected", .req = req, .error = (char *) code, .message = (char *) message};

    metric_add(&metric_connect_fails, 1);
    peer_send(p, &m, -1);
}

static void gate_on_connected(void *arg, int r, int fd)
{
    struct gate_connect *c = arg;
    struct gate_peer *p = c->peer;
    const struct gate_msg m = {.t = (char *) "connected", .req = c->req};
    uint64_t req = c->req;

    list_del(&c->node);
    free(c);
    p->connecting--;
    if (r == 0) {
        metric_add(&metric_connects, 1);
        peer_send(p, &m, fd);
    } else if (r == -ETIMEDOUT) {
        peer_refuse(p, req, "sandbox_overloaded", "the agent did not accept a connection in time");
    } else {
        peer_refuse(p, req, "connect_failed", strerror(-r));
    }
}

static void peer_connect(struct gate_peer *p, const struct gate_msg *m)
{
    struct vm *v = vms_find(p->gate->host->vms, m->id);
    struct gate_connect *c;
    int r;

    if (!v || !gate_tells(v)) {
        peer_refuse(p, m->req, "sandbox_not_found", "no such sandbox runs on this host");
        return;
    }
    if (p->connecting >= CONNECTS_MAX) {
        peer_refuse(p, m->req, "overloaded", "too many connections are being made");
        return;
    }
    c = xnew(struct gate_connect);
    c->peer = p;
    c->req = m->req;
    list_append(&p->connects, &c->node);
    p->connecting++;
    r = guest_socket_open(p->gate->host, (unsigned) v->j.slot, AGENT_PORT, CONNECT_MS, &c->op, gate_on_connected, c);
    if (r < 0)
        gate_on_connected(c, r, -1);
}

/* ---- receiving ---- */

static int peer_handle(struct gate_peer *p, const void *data, size_t len, struct err *e)
{
    struct arena *a = arena_new(4 * GATE_PACKET_MAX);
    struct gate_msg m;
    enum gate_type type = GATE_HELLO;
    int r = json_decode(&gate_msg_table, data, len, a, &m, e);

    if (r == 0 && gate_msg_type(&m, &type) < 0)
        r = err_set(e, -EINVAL, "unknown message, or members are missing");
    if (r == 0 && type == GATE_HELLO && !p->greeted && m.v == GATE_VERSION)
        peer_greet(p);
    else if (r == 0 && type == GATE_CONNECT && p->greeted)
        peer_connect(p, &m);
    else if (r == 0)
        r = err_set(e, -EPROTO, "message '%.16s' at the wrong time, or another version", m.t);
    arena_free(a);
    return r;
}

static void peer_on_io(void *arg, unsigned events)
{
    struct gate_peer *p = arg;
    uint8_t data[GATE_PACKET_MAX + 1];
    struct err e = ERR_INIT;
    ssize_t n;

    if (events & IO_WRITE)
        peer_flush(p);
    for (int i = 0; i < 32 && !p->closed && (events & IO_READ); i++) {
        n = recv(p->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            peer_close(p);
            return;
        }
        if (n > GATE_PACKET_MAX || peer_handle(p, data, (size_t) n, &e) < 0) {
            log_warn(NULL, "gateway breaks the protocol, cutting it off", "error", n > GATE_PACKET_MAX ? "packet is too large" : e.text);
            peer_close(p);
        }
    }
}

static void peer_on_late(void *arg)
{
    peer_close(arg);
}

static bool gate_admits(const struct gate *g, int fd)
{
    pid_t pid;
    uid_t uid;

    if (net_peer_cred(fd, &pid, &uid) < 0)
        return false;
    if (uid == (uid_t) g->host->conf->gateway_uid || uid == (uid_t) g->host->conf->child_uid)
        return g->count < PEERS_MAX;
    log_warn(NULL, "a process that is not the gateway asked for routes", "uid", LOG_U64(uid), "pid", LOG_I64(pid));
    return false;
}

static void gate_on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    struct gate *g = arg;
    struct gate_peer *p;

    (void) peer;
    (void) peer_len;
    if (!gate_admits(g, fd)) {
        close(fd);
        return;
    }
    p = xnew(struct gate_peer);
    p->gate = g;
    p->fd = fd;
    list_init(&p->queue);
    list_init(&p->connects);
    list_append(&g->peers, &p->node);
    metric_set(&metric_peers, ++g->count);
    if (io_open(&p->io, g->host->loop, fd, peer_on_io, p) < 0) {
        peer_close(p);
        return;
    }
    io_want(p->io, IO_READ);
    p->hello = timer_new(g->host->loop, peer_on_late, p);
    timer_set(p->hello, HELLO_MS);
}

/* ---- life ---- */

int gate_open(struct gate **out, struct host *h, struct err *e)
{
    struct gate *g = xnew(struct gate);
    int r;

    g->host = h;
    list_init(&g->peers);
    metrics_register(&metric_connects);
    metrics_register(&metric_connect_fails);
    metrics_register(&metric_peers);
    /* everyone may knock, the uid decides: the gateway has no group in common with this service */
    r = listener_open_unix(&g->listener, h->loop, h->conf->gate_socket, SOCK_SEQPACKET, 0666, gate_on_accept, g, e);
    if (r < 0) {
        free(g);
        return err_wrap(e, r, "gate_socket");
    }
    *out = g;
    return 0;
}

void gate_close(struct gate *g)
{
    if (!g)
        return;
    listener_close(g->listener);
    while (!list_empty(&g->peers))
        peer_close(LIST_ENTRY(g->peers.next, struct gate_peer, node));
    free(g);
}
