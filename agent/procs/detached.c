/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/procs/detached.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum { DETACHED_READ = 64 * KIB, DETACHED_REST_MS = 10 };

struct detached_pipe {
    struct list node;
    struct detached *owner;
    int fd;
    struct io *io;
    struct timer *rest;
};

static void pipe_close(struct detached_pipe *p)
{
    list_del(&p->node);
    p->owner->count--;
    io_close(p->io);
    timer_free(p->rest);
    close(p->fd);
    loop_reap(p->owner->loop, p, free);
}

static void pipe_on_rest(void *arg)
{
    struct detached_pipe *p = arg;

    io_want(p->io, IO_READ);
}

static void pipe_on_io(void *arg, unsigned events)
{
    static char scratch[DETACHED_READ]; /* nobody reads it */
    struct detached_pipe *p = arg;
    ssize_t n = read(p->fd, scratch, sizeof(scratch));

    (void) events;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        pipe_close(p);
        return;
    }
    if (n <= 0)
        return;
    io_want(p->io, 0);
    timer_set(p->rest, DETACHED_REST_MS);
}

void detached_init(struct detached *d, struct loop *l)
{
    d->loop = l;
    d->count = 0;
    list_init(&d->pipes);
}

void detached_add(struct detached *d, int fd)
{
    struct detached_pipe *p = xnew(struct detached_pipe);

    if (d->count >= DETACHED_COUNT_MAX)
        pipe_close(LIST_ENTRY(d->pipes.next, struct detached_pipe, node));
    p->owner = d;
    p->fd = fd;
    p->rest = timer_new(d->loop, pipe_on_rest, p);
    if (io_open(&p->io, d->loop, fd, pipe_on_io, p) < 0)
        abort(); /* out of memory */
    list_append(&d->pipes, &p->node);
    d->count++;
    io_want(p->io, IO_READ);
}

void detached_deinit(struct detached *d)
{
    LIST_FOR_EACH_SAFE(n, tmp, &d->pipes)
        pipe_close(LIST_ENTRY(n, struct detached_pipe, node));
}
