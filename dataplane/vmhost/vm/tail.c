/* SPDX-License-Identifier: Apache-2.0 */
/* tail - see tail.h */
#include "dataplane/vmhost/vm/tail.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tail {
    struct loop *loop;
    int fd;         /* owned, -1 at the end */
    struct io *io;  /* owned */
    char *text;     /* owned, terminated */
    size_t len, max;
    tail_fn *fn;
    void *arg;
};

static void tail_add(struct tail *t, const char *p, size_t len)
{
    if (len > t->max) {
        p += len - t->max;
        len = t->max;
    }
    if (t->len + len > t->max) {
        size_t drop = t->len + len - t->max;

        memmove(t->text, t->text + drop, t->len - drop);
        t->len -= drop;
    }
    for (size_t i = 0; i < len; i++)
        t->text[t->len++] = (p[i] >= ' ' && p[i] <= '~') || p[i] == '\n' ? p[i] : ' ';
    t->text[t->len] = '\0';
}

static void tail_end(struct tail *t)
{
    io_close(t->io);
    t->io = NULL;
    fd_closep(&t->fd);
}

/* At most so much per turn: a guest that floods its console gets no more than its share of the loop. */
static bool tail_read(struct tail *t)
{
    char part[4096];
    bool added = false;

    for (int i = 0; i < 16 && t->fd >= 0; i++) {
        ssize_t n = read(t->fd, part, sizeof(part));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            tail_end(t);
            break;
        }
        tail_add(t, part, (size_t) n);
        added = true;
    }
    return added;
}

static void tail_on_io(void *arg, unsigned events)
{
    struct tail *t = arg;

    (void) events;
    if (tail_read(t) && t->fn)
        t->fn(t->arg);
}

int tail_open(struct tail **out, struct loop *l, int fd, size_t bytes_max, tail_fn *fn, void *arg)
{
    struct tail *t = xnew(struct tail);
    int r;

    t->loop = l;
    t->fd = fd;
    t->max = bytes_max;
    t->text = xcalloc(1, bytes_max + 1);
    t->fn = fn;
    t->arg = arg;
    r = io_open(&t->io, l, fd, tail_on_io, t);
    if (r < 0) {
        fd_closep(&t->fd);
        free(t->text);
        free(t);
        return r;
    }
    io_want(t->io, IO_READ);
    *out = t;
    return 0;
}

const char *tail_text(const struct tail *t)
{
    return t ? t->text : "";
}

void tail_drain(struct tail *t)
{
    if (t)
        (void) tail_read(t);
}

static void tail_reap(void *object)
{
    struct tail *t = object;

    free(t->text);
    free(t);
}

void tail_close(struct tail *t)
{
    if (!t)
        return;
    tail_end(t);
    t->fn = NULL;
    loop_reap(t->loop, t, tail_reap);
}
