/* SPDX-License-Identifier: Apache-2.0 */
/* io - readiness of one descriptor: one library event for each direction, so that a change costs one call to the kernel. */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include "common/base/mem.h"
#include "common/loop/loop_internal.h"

struct io {
    struct loop *loop;
    struct event read, write;
    io_fn *fn; /* NULL: closed */
    void *arg;
    unsigned want;
};

static void io_on_event(evutil_socket_t fd, short what, void *arg);

int io_open(struct io **out, struct loop *l, int fd, io_fn *fn, void *arg)
{
    struct io *io;

    if (fd < 0)
        return -EBADF;
    io = xnew(struct io);
    io->loop = l;
    io->fn = fn;
    io->arg = arg;
    if (event_assign(&io->read, l->base, fd, EV_READ | EV_PERSIST, io_on_event, io) < 0 ||
        event_assign(&io->write, l->base, fd, EV_WRITE | EV_PERSIST, io_on_event, io) < 0) {
        free(io);
        return -EINVAL;
    }
    *out = io;
    return 0;
}

static void io_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct io *io = arg;

    (void) fd;
    if (io->fn)
        io->fn(io->arg, what & EV_READ ? IO_READ : IO_WRITE);
}

static void io_switch(struct event *ev, bool on)
{
    /* Only fails when the kernel refuses the descriptor: a closed one (our bug) or no memory for its table. */
    if ((on ? event_add(ev, NULL) : event_del(ev)) < 0)
        abort();
}

void io_want(struct io *io, unsigned events)
{
    unsigned changed = io->want ^ events;

    if (!io->fn || !changed)
        return;
    io->want = events;
    if (changed & IO_READ)
        io_switch(&io->read, events & IO_READ);
    if (changed & IO_WRITE)
        io_switch(&io->write, events & IO_WRITE);
}

void io_close(struct io *io)
{
    if (!io || !io->fn)
        return;
    io_want(io, 0);
    io->fn = NULL;
    loop_reap(io->loop, io, free);
}
