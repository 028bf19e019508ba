/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/procs/input.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

struct input_item {
    struct list node;
    struct input_ref ref;
    bool close; /* the end instead of bytes */
    size_t off, len;
    uint8_t data[];
};

static void input_on_io(void *arg, unsigned events);

void input_init(struct input *in, struct loop *l, int fd, bool terminal, struct input_budget *budget, input_done_fn *done, void *arg)
{
    memset(in, 0, sizeof(*in));
    list_init(&in->items);
    in->fd = fd;
    in->opened = fd >= 0;
    in->terminal = terminal;
    in->budget = budget;
    in->done = done;
    in->arg = arg;
    if (fd >= 0 && io_open(&in->io, l, fd, input_on_io, in) < 0)
        abort(); /* out of memory */
}

static void input_shut(struct input *in)
{
    io_close(in->io);
    in->io = NULL;
    fd_closep(&in->fd);
}

static void input_answer(struct input *in, struct input_item *it, enum input_result r)
{
    struct input_ref ref = it->ref;

    list_del(&it->node);
    in->bytes -= it->len;
    in->budget->bytes -= it->len;
    mem_wipe(it->data, it->len); /* passwords are typed */
    free(it);
    in->done(in->arg, &ref, r);
}

void input_fail(struct input *in)
{
    input_shut(in);
    while (!list_empty(&in->items))
        input_answer(in, LIST_ENTRY(in->items.next, struct input_item, node), INPUT_CLOSED);
}

void input_deinit(struct input *in)
{
    input_fail(in);
}

/* 0 = done with the item, -EAGAIN = wait, else the other side is gone */
static int input_put(struct input *in, struct input_item *it)
{
    while (it->off < it->len) {
        ssize_t n = write(in->fd, it->data + it->off, it->len - it->off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        it->off += (size_t) n;
    }
    return 0;
}

static void input_run(struct input *in)
{
    if (!in->ready)
        return;
    while (!list_empty(&in->items) && in->fd >= 0) {
        struct input_item *it = LIST_ENTRY(in->items.next, struct input_item, node);
        int r = input_put(in, it);

        if (r == -EAGAIN) {
            io_want(in->io, IO_WRITE);
            return;
        }
        if (r < 0) {
            input_fail(in);
            return;
        }
        if (it->close && !in->terminal)
            input_shut(in);
        input_answer(in, it, INPUT_TAKEN);
    }
    if (in->fd < 0)
        input_fail(in);
    else
        io_want(in->io, 0);
}

static void input_on_io(void *arg, unsigned events)
{
    (void) events;
    input_run(arg);
}

void input_start(struct input *in)
{
    in->ready = true;
    input_run(in);
}

static struct input_item *input_item_new(const struct input_ref *ref, const void *p, size_t len)
{
    struct input_item *it = xmalloc(sizeof(*it) + len);

    memset(it, 0, sizeof(*it));
    it->ref = *ref;
    it->len = len;
    if (len)
        memcpy(it->data, p, len);
    return it;
}

static void input_queue(struct input *in, struct input_item *it)
{
    list_append(&in->items, &it->node);
    in->bytes += it->len;
    in->budget->bytes += it->len;
    input_run(in);
}

void input_write(struct input *in, const struct input_ref *ref, const void *p, size_t len)
{
    if (in->fd < 0)
        in->done(in->arg, ref, in->opened ? INPUT_CLOSED : INPUT_NONE);
    else if (in->bytes + len > INPUT_BYTES_MAX || in->budget->bytes + len > in->budget->bytes_max)
        in->done(in->arg, ref, INPUT_FULL);
    else
        input_queue(in, input_item_new(ref, p, len));
}

/* The character that ends a line-wise input, as the program has set it; a program in raw mode reads it as a byte. */
static uint8_t input_eof_char(const struct input *in)
{
    struct termios t;

    return tcgetattr(in->fd, &t) == 0 && t.c_cc[VEOF] ? t.c_cc[VEOF] : 4;
}

void input_close(struct input *in, const struct input_ref *ref)
{
    struct input_item *it;

    if (in->fd < 0) {
        in->done(in->arg, ref, INPUT_TAKEN); /* is closed: nothing to do */
        return;
    }
    uint8_t eof = in->terminal ? input_eof_char(in) : 0;

    it = input_item_new(ref, &eof, in->terminal ? 1 : 0);
    it->close = true;
    input_queue(in, it);
}
