/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/stdin_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "common/wire/agent_link.h"
#include "dataplane/gateway/link/alink.h"

enum { STDIN_PIECE = 64 * 1024, STDIN_WINDOW = 256 * 1024 };

struct stdin_item {
    struct list node;
    struct stdin_queue *queue;  /* borrowed; NULL once it has gone */
    struct stdin_owner *owner;  /* NULL: its client has gone */
    bool close, close_sent;
    bool dead;                  /* in queue.dead: only waits for answers that are under way */
    unsigned pieces;            /* under way */
    size_t len, sent, taken;
    uint8_t data[];
};

/* One piece under way. */
struct stdin_piece {
    struct stdin_item *item;
    size_t len;
    struct op *op;
};

void stdin_queue_init(struct stdin_queue *q, struct alink *link, const char *pid)
{
    memset(q, 0, sizeof(*q));
    list_init(&q->items);
    list_init(&q->dead);
    q->link = link;
    q->pid = pid;
}

static void stdin_item_free(struct stdin_item *i)
{
    list_del(&i->node);
    free(i);
}

/* Out of the line; memory stays until the last answer. */
static void stdin_item_drop(struct stdin_item *i)
{
    i->queue->bytes -= i->len - i->taken;
    i->dead = true;
    list_del(&i->node);
    if (i->pieces == 0)
        free(i);
    else
        list_append(&i->queue->dead, &i->node);
}

void stdin_queue_deinit(struct stdin_queue *q)
{
    LIST_FOR_EACH_SAFE(n, tmp, &q->items)
        stdin_item_drop(LIST_ENTRY(n, struct stdin_item, node));
    LIST_FOR_EACH_SAFE(n, tmp, &q->dead) {
        LIST_ENTRY(n, struct stdin_item, node)->queue = NULL;
        list_del(n);
    }
}

void stdin_queue_forget(struct stdin_queue *q, struct stdin_owner *owner)
{
    LIST_FOR_EACH(n, &q->items) {
        struct stdin_item *i = LIST_ENTRY(n, struct stdin_item, node);

        if (i->owner == owner)
            i->owner = NULL;
    }
}

/* Nothing of this owner can be delivered any more: not in the order that it asked for. */
static void stdin_refuse(struct stdin_queue *q, struct stdin_item *failed, const char *code, const char *message)
{
    struct stdin_owner *owner = failed->owner;

    if (!owner) {
        stdin_item_drop(failed);
        return;
    }
    LIST_FOR_EACH_SAFE(n, tmp, &q->items) {
        struct stdin_item *i = LIST_ENTRY(n, struct stdin_item, node);

        if (i->owner == owner)
            stdin_item_drop(i);
    }
    owner->on_refused(owner, code, message);
}

static void stdin_item_progress(struct stdin_queue *q, struct stdin_item *i, size_t taken)
{
    struct stdin_owner *owner = i->owner;
    bool close = i->close;
    size_t len = i->len;

    i->taken += taken;
    q->bytes -= taken;
    if (i->taken < i->len || i->pieces > 0 || i->sent < i->len || (i->close && !i->close_sent))
        return;
    stdin_item_free(i);
    if (owner)
        owner->on_taken(owner, close, len);
}

static void stdin_piece_done(void *arg, int r, const struct link_result *res)
{
    struct stdin_piece *p = arg;
    struct stdin_item *i = p->item;
    struct stdin_queue *q = i->queue;
    size_t len = p->len;

    free(p);
    i->pieces--;
    if (q)
        q->window -= len;
    if (!q || i->dead) {
        if (i->pieces == 0)
            stdin_item_free(i);
    } else if (r < 0) {
        stdin_refuse(q, i, "stdin_interrupted",
                     "the sandbox was out of reach while input was under way and it may or may not have arrived; this stream is closed");
    } else if (res->error) {
        stdin_refuse(q, i, "stdin_closed",
                     str_eq(res->error, "stdin_full") ? "too much input is waiting; this stream is closed"
                                                      : "the process' stdin is closed");
    } else {
        stdin_item_progress(q, i, len);
    }
    if (q)
        stdin_queue_pump(q);
}

/* Sends one piece; false when it cannot go now. */
static bool stdin_item_send(struct stdin_queue *q, struct stdin_item *i)
{
    struct link_msg m = {.type = i->close ? LINK_CLOSE_STDIN : LINK_STDIN, .pid = q->pid, .pid_len = (uint8_t) strlen(q->pid)};
    size_t n = i->len - i->sent > STDIN_PIECE ? STDIN_PIECE : i->len - i->sent;
    struct stdin_piece *p;

    if (n > 0 && q->window + n > STDIN_WINDOW)
        return false;
    m.data = i->data + i->sent;
    m.data_len = n;
    p = xnew(struct stdin_piece);
    p->item = i;
    p->len = n;
    if (alink_request(q->link, &m, 0, &p->op, stdin_piece_done, p) < 0) {
        free(p);
        return false;
    }
    i->sent += n;
    i->close_sent = i->close;
    i->pieces++;
    q->window += n;
    return true;
}

void stdin_queue_pump(struct stdin_queue *q)
{
    LIST_FOR_EACH(n, &q->items) {
        struct stdin_item *i = LIST_ENTRY(n, struct stdin_item, node);

        while (i->sent < i->len || (i->len == 0 && i->pieces == 0)) {
            if (!stdin_item_send(q, i))
                return;
        }
    }
}

int stdin_queue_add(struct stdin_queue *q, struct stdin_owner *owner, const void *p, size_t len, bool close)
{
    struct stdin_item *i;

    if (q->bytes + len > STDIN_QUEUE_MAX)
        return -ENOBUFS;
    i = xcalloc(1, sizeof(*i) + len);
    i->queue = q;
    i->owner = owner;
    i->close = close;
    i->len = len;
    if (len)
        memcpy(i->data, p, len);
    list_append(&q->items, &i->node);
    q->bytes += len;
    stdin_queue_pump(q);
    return 0;
}
