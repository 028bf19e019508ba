/* SPDX-License-Identifier: Apache-2.0 */
/* connect - one outgoing connection with a deadline. Whatever connect() says at once is told from the loop, like all the rest. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net_internal.h"

struct connecting {
    struct op op;
    struct loop *loop;
    struct net_addr to;
    int fd; /* owned until told */
    int result;
    struct io *io;
    struct timer *deadline;
    struct defer at_once;
    connect_fn *done;
    void *arg;
};

static void connect_release(struct connecting *c)
{
    defer_cancel(&c->at_once);
    timer_free(c->deadline);
    io_close(c->io);
    if (c->fd >= 0)
        close(c->fd);
    loop_reap(c->loop, c, free);
}

static void connect_on_cancel(struct op *op)
{
    connect_release(CONTAINER_OF(op, struct connecting, op));
}

static void connect_finish(struct connecting *c, int r)
{
    connect_fn *done = c->done;
    void *arg = c->arg;
    int fd = -1;

    if (r == 0) {
        fd = c->fd;
        c->fd = -1;
    }
    op_finish(&c->op);
    connect_release(c);
    done(arg, r, fd);
}

/* A port nobody listens on may be drawn as our own local port: TCP then connects to itself. */
static bool connect_is_to_itself(const struct connecting *c)
{
    struct sockaddr_storage self = {0};
    socklen_t len = sizeof(self);

    if (c->to.sa.ss_family != AF_INET && c->to.sa.ss_family != AF_INET6)
        return false;
    return getsockname(c->fd, (struct sockaddr *) &self, &len) == 0 && len == c->to.len &&
           memcmp(&self, &c->to.sa, len) == 0;
}

static void connect_check(struct connecting *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (!error && connect_is_to_itself(c))
        error = ECONNREFUSED;
    connect_finish(c, -error);
}

static void connect_on_ready(void *arg, unsigned events)
{
    (void) events;
    connect_check(arg);
}

static void connect_on_deadline(void *arg)
{
    connect_finish(arg, -ETIMEDOUT);
}

static void connect_on_at_once(void *arg)
{
    struct connecting *c = arg;

    if (c->result < 0)
        connect_finish(c, c->result);
    else
        connect_check(c);
}

static int connect_start(struct connecting *c)
{
    int r;

    do {
        r = connect(c->fd, (struct sockaddr *) &c->to.sa, c->to.len);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int net_connect(struct loop *l, const struct net_addr *to, uint32_t deadline_ms, struct op **slot, connect_fn *done, void *arg)
{
    struct connecting *c;
    int on = 1, r, fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (to->sa.ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    c = xnew(struct connecting);
    *c = (struct connecting){.loop = l, .to = *to, .fd = fd, .done = done, .arg = arg};
    r = io_open(&c->io, l, fd, connect_on_ready, c);
    if (r < 0) {
        close(fd);
        free(c);
        return r;
    }
    c->deadline = timer_new(l, connect_on_deadline, c);
    op_begin(&c->op, slot, connect_on_cancel);
    c->result = connect_start(c);
    if (c->result == -EINPROGRESS) {
        io_want(c->io, IO_WRITE);
        timer_set(c->deadline, deadline_ms);
    } else {
        loop_defer(l, &c->at_once, connect_on_at_once, c);
    }
    return 0;
}
