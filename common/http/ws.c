/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - one WebSocket, see ws.h. Frames are unmasked where they were read; a message that came in one frame and one read is delivered from
 * there without a copy. An idle socket holds no buffers. Output of one turn leaves in one system call.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/http_internal.h"
#include "common/http/sendq.h"
#include "common/http/server.h"
#include "common/http/ws_internal.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"

enum { WS_MAGIC = 0x77736f63, CLOSE_MS = 5000, PINGS_MAX = 3, MESSAGE_BYTES_DEFAULT = 16 * MIB, QUEUE_BYTES_DEFAULT = 256 * KIB, PING_MS_DEFAULT = 25000 };

enum ws_state {
    WS_STATE_OPEN,
    WS_STATE_CLOSING, /* our close frame is queued; the peer's answer is awaited, messages are dropped */
    WS_STATE_LAST,    /* the owner has been told; what is queued goes out, input is dropped */
    WS_STATE_CLOSED,
};

struct ws {
    unsigned magic;
    enum ws_state state;
    struct loop *loop;
    struct stream *stream;      /* owned */
    struct http_server *server; /* counts us until the end */
    struct timer *timer;        /* owned: pings, or the end of a close */
    struct defer turn;
    struct sendq out;
    struct buf in;              /* read and not used yet: part of a head, or what came before a pause */
    struct buf message;         /* of a message that did not come whole */
    const struct ws_ops *ops;
    void *arg;
    size_t queue_bytes;
    uint32_t ping_ms;
    unsigned pings;             /* without an answer */
    uint64_t heard_ms;
    struct ws_frame_head frame;
    uint64_t frame_left;
    uint8_t control[WS_CONTROL_MAX];
    uint8_t control_len;
    bool in_frame;
    bool in_message;            /* between the first and the last frame of one */
    bool text;                  /* that message's kind */
    bool paused, ended, write_dead, drain_due, busy;
    bool linger;                /* the peer may still be sending when we close */
};

static void ws_on_stream(void *arg, unsigned events);
static void ws_on_timer(void *arg);
static void ws_after(void *arg);

/* ---- life ---- */

struct ws *ws_new(struct loop *l, struct stream *s, struct buf *first, struct http_server *server, const struct ws_conf *conf,
                  const struct ws_ops *ops, void *arg)
{
    struct ws *w = xnew(struct ws);

    w->magic = WS_MAGIC;
    w->loop = l;
    w->stream = s;
    w->server = server;
    w->in = *first; /* taken */
    w->ops = ops;
    w->arg = arg;
    w->queue_bytes = conf->queue_bytes ? conf->queue_bytes : QUEUE_BYTES_DEFAULT;
    w->ping_ms = conf->ping_ms ? conf->ping_ms : PING_MS_DEFAULT;
    buf_init(&w->message, conf->message_bytes_max ? conf->message_bytes_max : MESSAGE_BYTES_DEFAULT);
    w->heard_ms = loop_now_ms(l);
    w->timer = timer_new(l, ws_on_timer, w);
    timer_set(w->timer, w->ping_ms);
    stream_set_fn(s, ws_on_stream, w);
    loop_defer(l, &w->turn, ws_after, w);
    return w;
}

static void ws_free(void *p)
{
    struct ws *w = p;

    assert(w->magic == WS_MAGIC);
    w->magic = 0;
    sendq_deinit(&w->out);
    buf_deinit(&w->in);
    buf_deinit(&w->message);
    free(w);
}

static void ws_end(struct ws *w, bool reset)
{
    if (w->state == WS_STATE_CLOSED)
        return;
    w->state = WS_STATE_CLOSED;
    if (reset)
        stream_abort(take_ptr(&w->stream));
    else
        stream_close(take_ptr(&w->stream));
    timer_free(take_ptr(&w->timer));
    defer_cancel(&w->turn);
    http_upgraded_done(w->server);
    loop_reap(w->loop, w, ws_free);
}

/* The owner's last call. */
static void ws_tell_close(struct ws *w, int code)
{
    const struct ws_ops *ops = w->ops;

    w->ops = NULL;
    if (ops && ops->on_close)
        ops->on_close(w->arg, code);
}

static void ws_kick(struct ws *w)
{
    if (!w->busy && w->state != WS_STATE_CLOSED)
        loop_defer(w->loop, &w->turn, ws_after, w);
}

void ws_cut(struct ws *w)
{
    assert(w->magic == WS_MAGIC);
    w->ops = NULL;
    ws_end(w, true);
}

/* ---- output ---- */

static void ws_putv(struct ws *w, const struct iovec *iov, int n)
{
    size_t sent = 0;

    if (w->write_dead || w->state == WS_STATE_CLOSED)
        return;
    if (sendq_putv(&w->out, w->stream, iov, n, &sent) < 0)
        w->write_dead = true; /* messages that the peer sent before are still read */
    ws_kick(w);
}

static void ws_put_control(struct ws *w, uint8_t opcode, const void *p, size_t len)
{
    uint8_t head[14];
    const struct iovec iov[] = {
        {.iov_base = head, .iov_len = ws_write_head(head, true, opcode, len)},
        {.iov_base = (void *) p, .iov_len = len},
    };

    ws_putv(w, iov, 2);
}

static size_t ws_sendv(struct ws *w, uint8_t opcode, const struct iovec *iov, int n)
{
    struct iovec all[SENDQ_IOV_MAX - 1];
    uint8_t head[14];
    size_t len = 0;

    assert(w->magic == WS_MAGIC && n < SENDQ_IOV_MAX - 1);
    if (w->state != WS_STATE_OPEN)
        return 0;
    for (int i = 0; i < n; i++) {
        all[i + 1] = iov[i];
        len += iov[i].iov_len;
    }
    all[0] = (struct iovec){.iov_base = head, .iov_len = ws_write_head(head, true, opcode, len)};
    ws_putv(w, all, n + 1);
    if (sendq_len(&w->out) > w->queue_bytes / 4)
        w->drain_due = true;
    return sendq_len(&w->out);
}

size_t ws_send_textv(struct ws *w, const struct iovec *iov, int n)
{
    return ws_sendv(w, WS_OP_TEXT, iov, n);
}

size_t ws_send_text(struct ws *w, const void *p, size_t len)
{
    const struct iovec iov = {.iov_base = (void *) p, .iov_len = len};

    return ws_sendv(w, WS_OP_TEXT, &iov, 1);
}

size_t ws_send_binary(struct ws *w, const void *p, size_t len)
{
    const struct iovec iov = {.iov_base = (void *) p, .iov_len = len};

    return ws_sendv(w, WS_OP_BINARY, &iov, 1);
}

size_t ws_queued(const struct ws *w)
{
    return sendq_len(&w->out);
}

/* ---- closing ---- */

static void ws_put_close(struct ws *w, int code, const char *reason)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = strnlen(reason ? reason : "", WS_CONTROL_MAX - 2);

    if (code == 1005) { /* the peer gave none */
        ws_put_control(w, WS_OP_CLOSE, "", 0);
        return;
    }
    payload[0] = (uint8_t) (code >> 8);
    payload[1] = (uint8_t) code;
    len = utf8_valid_prefix(reason ? reason : "", len);
    memcpy(payload + 2, reason ? reason : "", len);
    ws_put_control(w, WS_OP_CLOSE, payload, len + 2);
}

/* Tells the owner and lets the queue run out. */
static void ws_finish(struct ws *w, int code)
{
    w->state = WS_STATE_LAST;
    w->in_frame = false;
    timer_set(w->timer, CLOSE_MS);
    ws_tell_close(w, code);
    ws_kick(w);
}

/* The peer broke a rule. */
static void ws_fail(struct ws *w, int code, const char *reason)
{
    if (w->state == WS_STATE_OPEN)
        ws_put_close(w, code, reason);
    w->linger = true;
    ws_finish(w, code);
}

void ws_close(struct ws *w, int code, const char *reason)
{
    assert(w->magic == WS_MAGIC);
    if (w->state != WS_STATE_OPEN)
        return;
    ws_put_close(w, code, reason);
    w->state = WS_STATE_CLOSING;
    timer_cancel(w->timer);
    timer_set(w->timer, CLOSE_MS);
    ws_kick(w);
}

static bool close_code_is_good(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

static void ws_take_close(struct ws *w)
{
    int code = w->control_len >= 2 ? w->control[0] << 8 | w->control[1] : 1005;

    if (w->control_len == 1 || (w->control_len >= 2 && !close_code_is_good(code))) {
        ws_fail(w, 1002, "malformed close frame");
        return;
    }
    if (w->control_len > 2 && !utf8_valid(w->control + 2, w->control_len - 2u)) {
        ws_fail(w, 1007, "the close reason is not UTF-8");
        return;
    }
    if (w->state == WS_STATE_OPEN)
        ws_put_close(w, code, NULL);
    ws_finish(w, code);
}

/* ---- input ---- */

static void ws_take_control(struct ws *w)
{
    switch (w->frame.opcode) {
    case WS_OP_CLOSE:
        ws_take_close(w);
        break;
    case WS_OP_PING:
        /* A peer that asks without taking answers gets one now and then, not a queue of them. */
        if (w->state == WS_STATE_OPEN && sendq_len(&w->out) <= w->queue_bytes)
            ws_put_control(w, WS_OP_PONG, w->control, w->control_len);
        break;
    default: /* pong: heard */
        break;
    }
}

static void ws_deliver(struct ws *w, const uint8_t *p, size_t len)
{
    w->in_message = false;
    if (w->state != WS_STATE_OPEN)
        return; /* after our close */
    if (w->text && !utf8_valid(p, len))
        ws_fail(w, 1007, "a text message is not UTF-8");
    else if (w->ops->on_message)
        w->ops->on_message(w->arg, w->text, p, len);
}

/* Head of a frame at p: bytes used, 0 when more is needed. */
static size_t ws_take_head(struct ws *w, const uint8_t *p, size_t len)
{
    int r = ws_parse_head(p, len, true, w->message.max, &w->frame);
    bool data = r == WS_E_OK && w->frame.opcode < WS_OP_CLOSE;

    if (r == WS_E_MORE)
        return 0;
    if (r == WS_E_PROTOCOL || (data && (w->frame.opcode == WS_OP_CONTINUATION) != w->in_message)) {
        ws_fail(w, 1002, "protocol error");
        return len;
    }
    if (r == WS_E_TOO_LARGE || (data && w->frame.len > w->message.max - w->message.len)) {
        ws_fail(w, 1009, "message too large");
        return len;
    }
    if (data && !w->in_message)
        w->text = w->frame.opcode == WS_OP_TEXT;
    if (data)
        w->in_message = true;
    else
        w->control_len = 0;
    w->in_frame = true;
    w->frame_left = w->frame.len;
    return w->frame.head_len;
}

static void ws_frame_done(struct ws *w, const uint8_t *whole, size_t len)
{
    w->in_frame = false;
    if (w->frame.opcode >= WS_OP_CLOSE) {
        ws_take_control(w);
    } else if (w->frame.fin && whole) {
        ws_deliver(w, whole, len);
    } else if (w->frame.fin) {
        struct buf message = w->message; /* the owner may end us while it reads */

        w->message = (struct buf) BUF_INIT(message.max);
        ws_deliver(w, message.len ? buf_data(&message) : (const uint8_t *) "", message.len);
        buf_deinit(&message);
    }
}

/* Payload at p (writable): bytes used. */
static size_t ws_take_payload(struct ws *w, uint8_t *p, size_t len)
{
    size_t n = w->frame_left < len ? (size_t) w->frame_left : len;
    bool data = w->frame.opcode < WS_OP_CLOSE;
    bool whole = data && n == w->frame.len && w->frame.fin && !w->message.len;

    ws_unmask(p, n, w->frame.mask, (size_t) (w->frame.len - w->frame_left));
    w->frame_left -= n;
    if (!data) {
        memcpy(w->control + w->control_len, p, n);
        w->control_len = (uint8_t) (w->control_len + n);
    } else if (!whole && n && w->state == WS_STATE_OPEN && buf_append(&w->message, p, n) < 0) {
        ws_fail(w, 1009, "message too large");
        return len;
    }
    if (!w->frame_left)
        ws_frame_done(w, whole ? p : NULL, n);
    return n;
}

/* Whether input is looked at now. */
static bool ws_listens(const struct ws *w)
{
    return (w->state == WS_STATE_OPEN && !w->paused) || w->state == WS_STATE_CLOSING;
}

static size_t ws_consume(struct ws *w, uint8_t *p, size_t len)
{
    size_t used = 0;

    while (ws_listens(w) && (used < len || (w->in_frame && !w->frame_left))) {
        size_t n;

        if (w->in_frame) {
            n = ws_take_payload(w, p + used, len - used);
        } else {
            n = ws_take_head(w, p + used, len - used);
            if (!n)
                break;
        }
        used += n;
    }
    return ws_listens(w) || w->state == WS_STATE_OPEN ? used : len; /* what comes after the end is dropped */
}

static void ws_consume_kept(struct ws *w)
{
    size_t used;

    if (!w->in.len || !ws_listens(w))
        return;
    used = ws_consume(w, buf_data(&w->in), w->in.len);
    buf_consume(&w->in, used);
    buf_shrink(&w->in);
}

static void ws_read(struct ws *w)
{
    uint8_t *p = http_scratch_take();
    ssize_t n = stream_read(w->stream, p, HTTP_SCRATCH_BYTES);

    if (n > 0 && w->state != WS_STATE_LAST) {
        size_t len = (size_t) n, used = 0;

        w->heard_ms = loop_now_ms(w->loop);
        w->pings = 0;
        if (!w->in.len)
            used = ws_consume(w, p, len);
        if (used < len && w->state != WS_STATE_CLOSED && buf_append(&w->in, p + used, len - used) < 0)
            w->ended = true;
        else if (used == 0)
            ws_consume_kept(w);
    }
    http_scratch_give();
    if (n == 0 || (n < 0 && n != -EAGAIN))
        w->ended = true;
}

void ws_pause(struct ws *w, bool paused)
{
    assert(w->magic == WS_MAGIC);
    if (w->paused == paused)
        return;
    w->paused = paused;
    w->heard_ms = loop_now_ms(w->loop); /* silence while we did not listen is ours */
    w->pings = 0;
    ws_kick(w);
}

/* ---- time ---- */

/* While its owner pauses, a peer is not heard: a ping makes one that is gone show it. */
static void ws_look_at_silent_peer(struct ws *w)
{
    struct pollfd pfd = {.fd = stream_fd(w->stream), .events = POLLRDHUP};

    timer_set(w->timer, w->ping_ms);
    if (w->write_dead || (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLERR | POLLHUP | POLLNVAL)))) {
        w->ended = true;
        w->paused = false; /* what was read is delivered, then the end */
        ws_kick(w);
    } else if (!sendq_len(&w->out)) {
        ws_put_control(w, WS_OP_PING, "", 0);
    }
}

static void ws_on_timer(void *arg)
{
    struct ws *w = arg;
    uint64_t silent = loop_now_ms(w->loop) - w->heard_ms;

    if (w->state == WS_STATE_CLOSING)
        ws_tell_close(w, 1006);
    if (w->state != WS_STATE_OPEN) {
        ws_end(w, true);
        return;
    }
    if (w->paused) {
        ws_look_at_silent_peer(w);
        return;
    }
    if (silent < w->ping_ms) {
        timer_set(w->timer, w->ping_ms - silent);
        return;
    }
    if (w->pings == PINGS_MAX) {
        ws_tell_close(w, 1006);
        ws_end(w, true);
        return;
    }
    w->pings++;
    ws_put_control(w, WS_OP_PING, "", 0);
    timer_set(w->timer, w->ping_ms);
}

/* ---- the end of each event ---- */

static void ws_flush(struct ws *w)
{
    size_t sent = 0;

    if (!w->write_dead && sendq_flush(&w->out, w->stream, &sent) < 0)
        w->write_dead = true;
    if (w->write_dead)
        buf_deinit(&w->out.b);
}

static void ws_tell_drain(struct ws *w)
{
    if (!w->drain_due || w->state != WS_STATE_OPEN || sendq_len(&w->out) > w->queue_bytes / 4)
        return;
    w->drain_due = false;
    if (w->ops->on_drain)
        w->ops->on_drain(w->arg);
    if (w->state != WS_STATE_CLOSED && sendq_len(&w->out) && !w->out.blocked)
        ws_kick(w);
}

/* LAST: all is sent, or nobody takes it. */
static void ws_finish_last(struct ws *w)
{
    if (w->ended || (w->write_dead && !w->linger)) {
        ws_end(w, false);
        return;
    }
    if (sendq_len(&w->out))
        return;
    if (!w->linger) {
        ws_end(w, false);
        return;
    }
    (void) stream_shutdown_write(w->stream); /* again on later turns, harmless; the timer ends the wait */
}

static void ws_update(struct ws *w)
{
    unsigned want = 0;

    if (!w->ended && (ws_listens(w) || (w->state == WS_STATE_LAST && w->linger)))
        want |= STREAM_READ;
    if (w->out.blocked && sendq_len(&w->out))
        want |= STREAM_WRITE;
    stream_want(w->stream, want);
}

static void ws_after(void *arg)
{
    struct ws *w = arg;

    assert(w->magic == WS_MAGIC);
    ws_consume_kept(w);
    if (w->state != WS_STATE_CLOSED)
        ws_flush(w);
    ws_tell_drain(w);
    /* All that was read before the end has been delivered. */
    if (w->ended && ws_listens(w)) {
        ws_tell_close(w, 1006);
        ws_end(w, false);
    }
    if (w->state == WS_STATE_LAST)
        ws_finish_last(w);
    if (w->state != WS_STATE_CLOSED)
        ws_update(w);
}

static void ws_on_stream(void *arg, unsigned events)
{
    struct ws *w = arg;

    assert(w->magic == WS_MAGIC);
    w->busy = true;
    if ((events & STREAM_READ) && !w->ended)
        ws_read(w);
    w->busy = false;
    if (w->state != WS_STATE_CLOSED)
        ws_after(w);
}
