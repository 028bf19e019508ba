/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stats.h"
#include "dataplane/gateway/stream/act.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"

enum start_state {
    START_LOOKING, /* the store is asked whether the chosen id is known */
    START_WAITING, /* for the link */
    START_ASKED,   /* START was sent */
};

enum { START_KEPT_MAX = 16 * 1024 * 1024 + 64 * 1024, START_KEPT_COST = 128, START_ARENA_MAX = 64 * 1024 * 1024 };

struct kept {
    struct list node;
    size_t len;
    uint8_t bytes[];
};

struct start {
    struct sandbox_flow flow; /* ends with the sandbox */
    struct streams *streams;
    struct streams_waiter waiter;
    struct defer first;
    enum start_state state;
    struct pstream *p;   /* pinned; NULL until it is known */
    struct buf json;
    struct list kept;    /* struct kept: messages behind the start */
    size_t kept_bytes;
    struct timer *deadline;
    struct op *op;
    bool chosen;         /* the client chose the id */
    bool again;          /* it was sent before, on a link that was lost */
    uint64_t begun_ns;
    start_done_fn *done; /* NULL: the client has gone */
    void *arg;
};

static void start_reap(void *arg)
{
    struct start *x = arg;

    LIST_FOR_EACH_SAFE(n, tmp, &x->kept)
        free(LIST_ENTRY(n, struct kept, node));
    buf_deinit(&x->json);
    timer_free(x->deadline);
    free(x);
}

static void start_end(struct start *x)
{
    op_cancel(&x->op);
    defer_cancel(&x->first);
    timer_cancel(x->deadline);
    streams_wait_end(&x->waiter);
    if (x->p)
        pstream_unpin(x->p);
    x->p = NULL;
    sandbox_flow_end(&x->flow);
    loop_reap(x->streams->env->loop, x, start_reap);
}

static void start_fail(struct start *x, const char *code, const char *message)
{
    if (x->done)
        x->done(x->arg, NULL, code, message);
    if (x->p)
        pstream_unbegin(x->p);
    start_end(x);
}

int start_keep(struct start *x, const void *p, size_t len)
{
    struct kept *k;

    if (x->kept_bytes + len + START_KEPT_COST > START_KEPT_MAX)
        return -ENOBUFS;
    k = xmalloc(sizeof(*k) + len);
    k->len = len;
    memcpy(k->bytes, p, len);
    list_append(&x->kept, &k->node);
    x->kept_bytes += len + START_KEPT_COST;
    return 0;
}

void start_each_kept(struct start *x, void (*fn)(void *arg, const void *p, size_t len), void *arg)
{
    LIST_FOR_EACH(n, &x->kept) {
        const struct kept *k = LIST_ENTRY(n, struct kept, node);

        fn(arg, k->bytes, k->len);
    }
}

/* The client has gone: what it said is acted on all the same. */
static void start_act(void *arg, const void *p, size_t len)
{
    struct pstream *to = arg;
    cleanup(arena_freep) struct arena *a = arena_new(START_ARENA_MAX);
    struct client_frame f;
    int r = client_frame_decode(p, len, a, &f, NULL);

    if (r == 0 && (f.type == CLIENT_STDIN || f.type == CLIENT_CLOSE_STDIN))
        r = act_input(to, NULL, &f);
    else if (r == 0 && f.type == CLIENT_SIGNAL)
        r = act_signal(to, &f);
    (void) r; /* there is nobody to tell */
}

static void start_worked(struct start *x, struct pstream *p)
{
    stats_process_start((clock_mono_ns() - x->begun_ns) / 1000);
    if (x->done)
        x->done(x->arg, p, NULL, NULL);
    else
        start_each_kept(x, start_act, p);
    start_end(x);
}

/* Codes go to the client: an agent may not make up strange ones. */
static const char *start_code(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz_");

    return n > 0 && n <= 64 && s[n] == '\0' ? s : "start_failed";
}

static void start_accepted(struct start *x, const struct link_result *res)
{
    struct pstream *p = x->p;

    if (!p) {
        bool known = res->pid && streams_find(x->streams, res->pid);

        p = res->pid && process_id_valid(res->pid) ? streams_open(x->streams, res->pid) : NULL;
        if (p && !known)
            pstream_begin(p);
    }
    if (p)
        start_worked(x, p);
    else
        start_fail(x, "start_failed", res->pid ? "too many processes are running in this sandbox" : "the agent's answer makes no sense");
}

static void start_on_result(void *arg, int r, const struct link_result *res)
{
    struct start *x = arg;

    if (r == -ECONNRESET && x->chosen) {
        x->again = true;
        x->state = START_WAITING; /* kicked when the link is back */
    } else if (r == -ETIMEDOUT) {
        start_fail(x, "sandbox_overloaded", "the sandbox does not answer");
    } else if (r < 0) {
        start_fail(x, "start_interrupted", "the sandbox was out of reach while the process was started; it may or may not run");
    } else if (!res->error || (x->again && str_eq(res->error, "process_exists"))) {
        start_accepted(x, res);
    } else {
        start_fail(x, start_code(res->error), res->message ? res->message : "the process could not be started");
    }
}

static void start_send(struct start *x)
{
    struct link_msg m = {.type = LINK_START, .data = buf_data(&x->json), .data_len = x->json.len};
    int r = alink_request(x->streams->link, &m, x->streams->env->limits.start_ms, &x->op, start_on_result, x);

    if (r == 0)
        x->state = START_ASKED;
    else if (r != -ENOTCONN)
        start_fail(x, "too_large", "the start message is larger than the agent takes");
}

/* The chosen id: may it be used? */
static bool start_looked(struct start *x)
{
    if (x->p->state == PSTREAM_LOADING)
        return false;
    if (x->p->state != PSTREAM_UNKNOWN) {
        start_fail(x, "process_exists", "this id was used before");
        return false;
    }
    pstream_begin(x->p);
    x->state = START_WAITING;
    return true;
}

static void start_on_kick(struct streams_waiter *w)
{
    struct start *x = CONTAINER_OF(w, struct start, waiter);

    if (x->state == START_LOOKING && !start_looked(x))
        return;
    if (x->state == START_WAITING && alink_up(alink_state(x->streams->link)))
        start_send(x);
}

static void start_on_deadline(void *arg)
{
    struct start *x = arg;

    if (x->state == START_LOOKING)
        start_fail(x, "storage_unavailable", "the frame store does not answer");
    else
        start_fail(x, "sandbox_overloaded", "the sandbox does not answer");
}

static void start_on_cut(struct sandbox_flow *f)
{
    struct start *x = CONTAINER_OF(f, struct start, flow);

    x->done = NULL;
    start_end(x);
}

static int start_take_id(struct start *x, const char *id)
{
    x->chosen = true;
    x->p = streams_open(x->streams, id);
    if (!x->p)
        return -ENOSPC;
    pstream_pin(x->p);
    x->state = START_LOOKING;
    return 0;
}

static void start_on_first(void *arg)
{
    struct start *x = arg;

    streams_wait(x->streams, &x->waiter);
    start_on_kick(&x->waiter);
}

int start_begin(struct start **out, struct streams *s, const struct link_start *m, start_done_fn *done, void *arg)
{
    struct start *x = xnew(struct start);
    int r;

    x->streams = s;
    x->begun_ns = clock_mono_ns();
    x->done = done;
    x->arg = arg;
    x->waiter.fn = start_on_kick;
    x->state = START_WAITING;
    list_init(&x->kept);
    buf_init(&x->json, LINK_MESSAGE_MAX - 16);
    r = link_write_start(&x->json, m);
    if (r == 0 && m->id)
        r = start_take_id(x, m->id);
    if (r < 0) {
        start_reap(x);
        return r == -ENOSPC ? r : -EMSGSIZE;
    }
    sandbox_flow_begin(&x->flow, s->sandbox, start_on_cut);
    x->deadline = timer_new(s->env->loop, start_on_deadline, x);
    timer_set(x->deadline, s->env->limits.start_ms);
    streams_need_link(s);
    *out = x;
    loop_defer(s->env->loop, &x->first, start_on_first, x); /* never from inside */
    return 0;
}

void start_forget(struct start *x)
{
    x->done = NULL;
}

void start_cancel(struct start *x)
{
    x->done = NULL;
    start_end(x);
}
