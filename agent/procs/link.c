/* SPDX-License-Identifier: Apache-2.0 */
/* link - connections and what comes in over them. */
#include "agent/procs/link.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include "agent/procs/link_internal.h"
#include "agent/procs/procs.h"
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/net/stream.h"

enum {
    LINK_READ = 64 * KIB,
    LINK_READS_A_TURN = 16,
    LINK_IN_MAX = LINK_MESSAGE_MAX + 4 + LINK_READ,
    LINK_ARENA = 16 * MIB, /* of one START */
    KEEPALIVE_IDLE_S = 30, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_COUNT = 3,
    UNACKED_MS = 60000,    /* a peer that has been taken from the network */
};

static void link_on_stream(void *arg, unsigned events);

/* ---- what the processes tell ---- */

static struct link *links_find(struct links *s, uint64_t id)
{
    LIST_FOR_EACH(n, &s->all) {
        struct link *l = LIST_ENTRY(n, struct link, node);

        if (l->id == id)
            return l;
    }
    return NULL;
}

static int link_put_result(struct link *l, uint32_t req, const struct link_result *res)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(LINK_DATA_MAX);
    struct link_msg m = {.type = LINK_RESULT, .req = req};

    if (link_write_result(&json, res) < 0)
        return -ENOBUFS;
    m.data = buf_data(&json);
    m.data_len = json.len;
    return link_put(l, &m);
}

static void links_on_reply(void *arg, const struct input_ref *ref, const char *code, const char *message, const struct proc *started)
{
    struct link *l = links_find(arg, ref->link);
    struct link_result res = {.error = (char *) code, .message = (char *) message};

    if (!l)
        return; /* went away meanwhile */
    if (started) {
        res.pid = (char *) started->id;
        res.os_pid = started->os_pid;
    }
    if (link_put_result(l, ref->req, &res) < 0)
        link_close(l);
}

static uint64_t first_unacked(const struct proc *p)
{
    return p->frames.acked ? p->frames.acked + 2 : 1;
}

static void links_on_frames(void *arg, struct proc *p)
{
    struct links *s = arg;

    LIST_FOR_EACH(n, &s->all) {
        struct link *l = LIST_ENTRY(n, struct link, node);

        if (l->stream)
            link_view_ready(link_view_get(l, p, first_unacked(p)));
    }
}

static void links_on_gone(void *arg, struct proc *p)
{
    (void) arg;
    LIST_FOR_EACH_SAFE(n, tmp, &p->readers) {
        struct link_view *v = LIST_ENTRY(n, struct link_view, proc_node);
        struct link *l = v->link;

        if (l->partial == v) { /* its frame cannot be finished: the link has lost its place */
            link_close(l);
            continue;
        }
        link_view_free(v);
    }
}

/* ---- messages ---- */

static int link_answer(struct link *l, uint32_t req, const char *code, const char *message)
{
    const struct link_result res = {.error = (char *) code, .message = (char *) message};

    return link_put_result(l, req, &res);
}

static struct input_ref link_ref(const struct link *l, const struct link_msg *m)
{
    return (struct input_ref){.link = l->id, .req = m->req};
}

static int on_start(struct link *l, const struct link_msg *m, struct proc *p)
{
    cleanup(arena_freep) struct arena *a = arena_new(LINK_ARENA);
    struct input_ref ref = link_ref(l, m);
    struct link_start start;
    struct err e = ERR_INIT;

    (void) p;
    if (json_decode(&link_start_table, m->data, m->data_len, a, &start, &e) < 0)
        return link_answer(l, m->req, "invalid_start", e.text);
    procs_start(l->owner->procs, &start, &ref);
    return 0;
}

static int on_stdin(struct link *l, const struct link_msg *m, struct proc *p)
{
    struct input_ref ref = link_ref(l, m);

    input_write(&p->in, &ref, m->data, m->data_len);
    return 0;
}

static int on_close_stdin(struct link *l, const struct link_msg *m, struct proc *p)
{
    struct input_ref ref = link_ref(l, m);

    input_close(&p->in, &ref);
    return 0;
}

static int on_signal(struct link *l, const struct link_msg *m, struct proc *p)
{
    cleanup(arena_freep) struct arena *a = arena_new(LINK_DATA_MAX);
    struct link_signal sig;
    struct err e = ERR_INIT;

    if (json_decode(&link_signal_table, m->data, m->data_len, a, &sig, &e) < 0)
        return link_answer(l, m->req, "invalid_signal", e.text);
    proc_signal(p, (int) sig.signal, sig.group);
    return link_answer(l, m->req, NULL, NULL);
}

static int on_resize(struct link *l, const struct link_msg *m, struct proc *p)
{
    int r = proc_resize(p, m->cols, m->rows);

    if (r == -ENOTTY)
        return link_answer(l, m->req, "not_a_terminal", "the process was started without a terminal");
    if (r < 0)
        return link_answer(l, m->req, "resize_failed", strerror(-r));
    return link_answer(l, m->req, NULL, NULL);
}

static int on_ack(struct link *l, const struct link_msg *m, struct proc *p)
{
    (void) l;
    return proc_ack(p, m->cursor) ? 0 : -EPROTO;
}

static int on_resend(struct link *l, const struct link_msg *m, struct proc *p)
{
    if (m->cursor > frames_last(&p->frames))
        return -EPROTO;
    link_view_resend(link_view_get(l, p, first_unacked(p)), m->cursor);
    return 0;
}

static int on_ping(struct link *l, const struct link_msg *m, struct proc *p)
{
    const struct link_msg pong = {.type = LINK_PONG, .req = m->req};

    (void) p;
    return link_put(l, &pong);
}

enum { WANTS_NOTHING, WANTS_PROC, WANTS_FRAMES /* silently dropped for a process that is not here (any more) */ };

static const struct {
    int wants;
    int (*fn)(struct link *l, const struct link_msg *m, struct proc *p);
} link_handlers[] = {
    [LINK_START] = {WANTS_NOTHING, on_start},
    [LINK_STDIN] = {WANTS_PROC, on_stdin},
    [LINK_CLOSE_STDIN] = {WANTS_PROC, on_close_stdin},
    [LINK_SIGNAL] = {WANTS_PROC, on_signal},
    [LINK_RESIZE] = {WANTS_PROC, on_resize},
    [LINK_ACK] = {WANTS_FRAMES, on_ack},
    [LINK_RESEND] = {WANTS_FRAMES, on_resend},
    [LINK_PING] = {WANTS_NOTHING, on_ping},
};

static int link_on_message(struct link *l, const struct link_msg *m)
{
    struct proc *p = NULL;

    if (m->type >= ARRAY_LEN(link_handlers) || !link_handlers[m->type].fn)
        return -EPROTO; /* one of ours */
    int wants = link_handlers[m->type].wants;

    if (wants != WANTS_NOTHING) {
        p = procs_find(l->owner->procs, m->pid, m->pid_len);
        if (p && wants == WANTS_FRAMES && p->state == PROC_STARTING)
            p = NULL;
        if (!p && wants == WANTS_FRAMES)
            return 0;
        if (!p)
            return link_answer(l, m->req, "process_not_found", "there is no such process");
    }
    return link_handlers[m->type].fn(l, m, p);
}

/* ---- input ---- */

static int link_parse(struct link *l)
{
    while (l->stream && l->in.len && l->out.len < LINK_OUT_BYTES_HIGH) {
        struct link_msg m;
        size_t used = 0;
        int r = link_decode(buf_data(&l->in), l->in.len, &m, &used);

        if (r == LINK_E_MORE)
            return 0;
        if (r != LINK_E_OK)
            return -EPROTO;
        r = link_on_message(l, &m);
        if (r < 0)
            return r;
        buf_consume(&l->in, used);
    }
    return 0;
}

static void link_fail(struct link *l, int r)
{
    static struct log_limit limit = LOG_LIMIT_INIT(10);

    if (r == -EPROTO && log_allow(&limit))
        log_warn(NULL, "gateway broke a rule of the link, cutting it");
    link_close(l);
}

void link_go_on(struct link *l)
{
    int r = l->stream ? link_parse(l) : 0;

    if (r < 0)
        link_fail(l, r);
    else if (l->in.len == 0 && l->in.cap > 4 * LINK_READ)
        buf_shrink(&l->in);
}

static void link_read(struct link *l)
{
    for (unsigned i = 0; i < LINK_READS_A_TURN && l->stream; i++) {
        uint8_t *p = buf_reserve(&l->in, LINK_READ);
        ssize_t n;
        int r;

        if (!p) /* results must go out first: link_send() calls again */
            return;
        n = stream_read(l->stream, p, LINK_READ);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            link_close(l);
            return;
        }
        buf_commit(&l->in, (size_t) n);
        r = link_parse(l);
        if (r < 0) {
            link_fail(l, r);
            return;
        }
        if (n < LINK_READ || l->out.len >= LINK_OUT_BYTES_HIGH)
            return;
    }
}

static void link_on_stream(void *arg, unsigned events)
{
    struct link *l = arg;

    if (events & STREAM_FAILED) {
        link_close(l);
        return;
    }
    if (events & STREAM_READ)
        link_read(l);
    if (l->stream && (events & STREAM_WRITE)) {
        l->blocked = false;
        link_send(l);
        link_go_on(l);
    }
}

/* ---- connections ---- */

static void link_free(void *object)
{
    struct link *l = object;

    buf_deinit(&l->in);
    buf_deinit(&l->out);
    free(l);
}

void link_close(struct link *l)
{
    if (!l->stream)
        return;
    stream_close(l->stream);
    l->stream = NULL;
    l->partial = NULL;
    l->synced = true;
    while (!list_empty(&l->views))
        link_view_free(LIST_ENTRY(l->views.next, struct link_view, link_node));
    defer_cancel(&l->turn);
    list_del(&l->node);
    l->owner->count--;
    http_upgraded_done(l->server);
    loop_reap(l->owner->loop, l, link_free);
}

/* A gateway host that vanishes sends no FIN. */
static void link_tune(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;
    unsigned unacked_ms = UNACKED_MS;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
}

/* Everything that is not acknowledged goes out first; SYNCED follows it. */
static void link_begin(struct link *l)
{
    LIST_FOR_EACH(n, &l->owner->procs->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        if (first_unacked(p) >= p->frames.next)
            continue;
        struct link_view *v = link_view_get(l, p, first_unacked(p));

        v->sync_to = p->frames.next;
        l->unsynced++;
        link_view_ready(v);
    }
    link_sync_check(l);
}

static bool link_refused(struct links *s, struct http_req *r)
{
    const struct http_head *h = http_req_head(r);

    if (!h->upgrade || !http_headers_has_token(&h->headers, "Upgrade", LINK_UPGRADE) || h->body != HTTP_BODY_NONE) {
        http_reply_header(r, "Upgrade", LINK_UPGRADE);
        http_reply_error(r, 426, "upgrade_required", "this route speaks " LINK_UPGRADE " only");
        return true;
    }
    if (s->count >= LINKS_MAX) {
        http_reply_header(r, "Retry-After", "1");
        http_reply_error(r, 503, "too_many_links", "there are too many links already");
        return true;
    }
    return false;
}

void links_accept(struct links *s, struct http_req *r)
{
    struct http_header items[] = {{"Connection", "Upgrade"}, {"Upgrade", LINK_UPGRADE}};
    const struct http_headers headers = {items, ARRAY_LEN(items)};
    struct link *l;

    if (link_refused(s, r))
        return;
    l = xnew(struct link);
    l->owner = s;
    l->id = ++s->next_id;
    buf_init(&l->in, LINK_IN_MAX);
    buf_init(&l->out, LINK_OUT_BYTES_MAX);
    list_init(&l->views);
    list_init(&l->ready);
    list_append(&s->all, &l->node);
    s->count++;
    l->stream = http_req_upgrade(r, &headers, &l->in, &l->server);
    stream_set_fn(l->stream, link_on_stream, l);
    link_tune(stream_fd(l->stream));
    stream_want(l->stream, STREAM_READ);
    link_begin(l);
    int e = link_parse(l);

    if (e < 0)
        link_fail(l, e);
}

int links_new(struct links **out, struct loop *loop, struct procs *procs)
{
    static const struct procs_ops ops = {.reply = links_on_reply, .on_frames = links_on_frames, .on_gone = links_on_gone};
    struct links *s = xnew(struct links);

    s->loop = loop;
    s->procs = procs;
    list_init(&s->all);
    procs_set_ops(procs, &ops, s);
    *out = s;
    return 0;
}

void links_cut_all(struct links *s)
{
    LIST_FOR_EACH_SAFE(n, tmp, &s->all)
        link_close(LIST_ENTRY(n, struct link, node));
}

unsigned links_count(const struct links *s)
{
    return s->count;
}

void links_free(struct links *s)
{
    if (!s)
        return;
    links_cut_all(s);
    procs_set_ops(s->procs, &(struct procs_ops){0}, NULL);
    free(s);
}
