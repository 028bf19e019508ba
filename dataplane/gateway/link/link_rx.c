/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/link/link_rx.h"

#include <errno.h>
#include <string.h>

#include "common/base/buf.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/cursor.h"

static int link_rx_pid(const struct link_msg *m, char pid[LINK_PID_MAX + 1])
{
    if (m->pid_len == 0 || m->pid_len > LINK_PID_MAX)
        return -EPROTO;
    memcpy(pid, m->pid, m->pid_len);
    pid[m->pid_len] = '\0';
    return process_id_valid(pid) ? 0 : -EPROTO;
}

static int link_rx_frame(const struct link_msg *m, const struct link_rx_ops *ops, void *arg)
{
    char pid[LINK_PID_MAX + 1];
    bool output = m->kind == LINK_STDOUT || m->kind == LINK_STDERR || m->kind == LINK_PTY;

    if (link_rx_pid(m, pid) < 0 || !cursor_valid(m->cursor))
        return -EPROTO;
    if ((m->kind == LINK_STARTED) != (m->cursor == CURSOR_STARTED))
        return -EPROTO;
    if (output && m->data_len > LINK_DATA_MAX)
        return -EPROTO;
    return ops->on_frame(arg, pid, m->kind, m->cursor, m->data, m->data_len);
}

static int link_rx_lost(const struct link_msg *m, const struct link_rx_ops *ops, void *arg)
{
    char pid[LINK_PID_MAX + 1];

    if (link_rx_pid(m, pid) < 0 || !cursor_valid(m->cursor) || !cursor_valid(m->cursor_to) || m->cursor_to < m->cursor)
        return -EPROTO;
    return ops->on_lost(arg, pid, m->cursor, m->cursor_to);
}

static int link_rx_message(const struct link_msg *m, const struct link_rx_ops *ops, void *arg)
{
    switch (m->type) {
    case LINK_RESULT:
        ops->on_result(arg, m->req, m->data, m->data_len);
        return 0;
    case LINK_FRAME:
        return link_rx_frame(m, ops, arg);
    case LINK_LOST:
        return link_rx_lost(m, ops, arg);
    case LINK_SYNCED:
        ops->on_synced(arg);
        return 0;
    case LINK_PONG:
        ops->on_pong(arg, m->req);
        return 0;
    case LINK_START:
    case LINK_STDIN:
    case LINK_CLOSE_STDIN:
    case LINK_SIGNAL:
    case LINK_RESIZE:
    case LINK_ACK:
    case LINK_RESEND:
    case LINK_PING:
        break;
    }
    return -EPROTO; /* ours to say */
}

int link_rx_feed(struct buf *b, const struct link_rx_ops *ops, void *arg, const int *stop)
{
    while (b->len > 0 && !*stop) {
        struct link_msg m;
        size_t used;
        int r = link_decode(buf_data(b), b->len, &m, &used);

        if (r == LINK_E_MORE)
            return 0;
        if (r != LINK_E_OK)
            return -EPROTO;
        r = link_rx_message(&m, ops, arg);
        if (r < 0)
            return r;
        buf_consume(b, used);
    }
    return 0;
}
