/* SPDX-License-Identifier: Apache-2.0 */
/* guest_socket - see guest_socket.h */
#include "dataplane/vmhost/vm/guest_socket.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/wire/agent_init.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/priv/priv.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

struct guest_socket {
    struct op op;
    struct host *host;
    struct op *asking;    /* the parent's answer */
    uint16_t port;
    int fd;               /* owned, -1 */
    struct io *io;        /* owned */
    struct timer *timer;  /* owned */
    guest_socket_fn *done;
    void *arg;
};

static void guest_socket_reap(void *object)
{
    free(object);
}

static void guest_socket_release(struct guest_socket *s)
{
    op_cancel(&s->asking);
    io_close(s->io);
    s->io = NULL;
    timer_free(s->timer);
    s->timer = NULL;
    fd_closep(&s->fd);
    loop_reap(s->host->loop, s, guest_socket_reap);
}

static void guest_socket_on_cancel(struct op *op)
{
    guest_socket_release(CONTAINER_OF(op, struct guest_socket, op));
}

static void guest_socket_finish(struct guest_socket *s, int r)
{
    guest_socket_fn *done = s->done;
    void *arg = s->arg;
    int fd = r == 0 ? take_fd(&s->fd) : -1;

    op_finish(&s->op);
    io_close(s->io); /* before the descriptor is anybody else's */
    s->io = NULL;
    guest_socket_release(s);
    done(arg, r, fd);
}

static void guest_socket_on_deadline(void *arg)
{
    guest_socket_finish(arg, -ETIMEDOUT);
}

static void guest_socket_on_writable(void *arg, unsigned events)
{
    struct guest_socket *s = arg;
    socklen_t len = sizeof(int);
    int failed = 0;

    (void) events;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
        failed = errno;
    guest_socket_finish(s, -failed);
}

static int guest_socket_connect(struct guest_socket *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    const int one = 1;
    int r;

    if (inet_pton(AF_INET, AGENT_GUEST_ADDR, &to.sin_addr) != 1)
        return -EINVAL;
    if (setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        return -errno;
    if (connect(s->fd, (struct sockaddr *) &to, sizeof(to)) < 0 && errno != EINPROGRESS)
        return -errno;
    r = io_open(&s->io, s->host->loop, s->fd, guest_socket_on_writable, s);
    if (r == 0)
        io_want(s->io, IO_WRITE);
    return r;
}

static void guest_socket_on_made(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct guest_socket *s = arg;

    if (r == 0 && rep->nfds != 1)
        r = -EPROTO;
    if (r == 0) {
        s->fd = take_fd(&fds[0]);
        r = guest_socket_connect(s);
    }
    if (r < 0)
        guest_socket_finish(s, r);
}

int guest_socket_open(struct host *h, unsigned slot, uint16_t port, uint32_t deadline_ms, struct op **op_slot, guest_socket_fn *done, void *arg)
{
    struct guest_socket *s = xnew(struct guest_socket);
    int r;

    s->host = h;
    s->fd = -1;
    s->port = port;
    s->done = done;
    s->arg = arg;
    r = priv_slot(h->priv, PRIV_SLOT_SOCKET, slot, &s->asking, guest_socket_on_made, s);
    if (r < 0) {
        free(s);
        return r;
    }
    s->timer = timer_new(h->loop, guest_socket_on_deadline, s);
    timer_set(s->timer, deadline_ms);
    op_begin(&s->op, op_slot, guest_socket_on_cancel);
    return 0;
}
