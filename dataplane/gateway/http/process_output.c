/* SPDX-License-Identifier: Apache-2.0 */
/* process_output - GET process/{pid}/output: a page of what is kept, read from the store alone; works for ended and lost processes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/http/http_app.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/output.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/retain.h"
#include "dataplane/gateway/stream/streams.h"

enum { OUTPUT_PAGE_FRAMES = 512, OUTPUT_ANSWER_MAX = 64 * 1024 * 1024, OUTPUT_DEADLINE_MS = 20000 };
enum { OUTPUT_TOTAL_MAX = 128 * 1024 * 1024, OUTPUT_COST = 4 }; /* all at once; an event, its base64, and the answer's copy */

struct reading {
    struct sandbox_flow flow;
    struct unit *unit;    /* borrowed: the flow ends first */
    struct http_req *req; /* NULL once it is answered or gone */
    const char *pid;      /* request's memory */
    struct op *op;
    struct timer *deadline;
    struct output_query query;
    struct output output;
    bool selecting;       /* output is initialised */
    struct meta meta;
    struct retain kept;
    uint64_t next, page_to;
    uint64_t stored;      /* last cursor as of the load */
    uint64_t charge;      /* bytes of app.reading_bytes */
};

static void reading_reap(void *arg)
{
    struct reading *x = arg;

    if (x->selecting)
        output_deinit(&x->output);
    meta_deinit(&x->meta);
    retain_deinit(&x->kept);
    timer_free(x->deadline);
    free(x);
}

static struct http_req *reading_end(struct reading *x)
{
    struct http_req *r = take_ptr(&x->req);

    if (r)
        http_req_on_gone(r, NULL, NULL);
    op_cancel(&x->op);
    timer_cancel(x->deadline);
    sandbox_flow_end(&x->flow);
    x->unit->app->reading_bytes -= x->charge;
    loop_reap(x->unit->app->loop, x, reading_reap);
    return r;
}

static void reading_on_gone(void *arg, struct http_req *r)
{
    struct reading *x = arg;

    (void) r;
    x->req = NULL;
    (void) reading_end(x); /* there is no request any more */
}

static void reading_on_cut(struct sandbox_flow *f)
{
    reply_sandbox_gone(reading_end(CONTAINER_OF(f, struct reading, flow)));
}

static void reading_on_deadline(void *arg)
{
    reply_store_down(reading_end(arg));
}

/* ---- the query ---- */

struct number {
    const char *name;
    uint64_t *to;
    bool *given; /* may be NULL */
};

static bool reading_number(struct route_call *c, const struct number *n)
{
    const char *text = http_req_query(c->req, n->name);

    if (str_empty(text))
        return true;
    if (str_to_u64(text, n->to) < 0 || *n->to > CURSOR_MAX) {
        reply_bad_query(c->req, n->name, "must be a whole number");
        return false;
    }
    if (n->given)
        *n->given = true;
    return true;
}

static bool reading_query(struct route_call *c, struct output_query *q)
{
    const struct number numbers[] = {
        {"since", &q->since, NULL},
        {"limit_bytes", &q->limit_bytes, NULL},
        {"head_bytes", &q->head_bytes, &q->has_head},
        {"tail_bytes", &q->tail_bytes, &q->has_tail},
        {"head_ratio_num", &q->ratio_num, NULL},
        {"head_ratio_den", &q->ratio_den, NULL},
    };
    const char *mode = http_req_query(c->req, "mode");

    if (!str_empty(mode) && output_mode_parse(mode, &q->mode) < 0) {
        reply_bad_query(c->req, "mode", "must be forward, tail or head_tail");
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (!reading_number(c, &numbers[i]))
            return false;
    }
    return true;
}

/* ---- pages ---- */

static void reading_answer(struct reading *x)
{
    struct buf b = BUF_INIT(OUTPUT_ANSWER_MAX);
    struct json_writer w;

    json_writer_init(&w, &b);
    output_write(&x->output, x->pid, &x->meta, &x->kept, &w);
    if (json_writer_end(&w) == 0)
        http_reply_json(reading_end(x), 200, &b);
    else
        http_reply_error(reading_end(x), 500, "internal", "the answer is too long");
    buf_deinit(&b);
}

static void reading_next(struct reading *x);

static void reading_on_page(void *arg, int r, const struct redisReply *reply)
{
    struct reading *x = arg;
    size_t count = store_range_count(reply);
    bool more = true;

    if (r < 0 || reply_error(reply)) {
        reply_store_down(reading_end(x));
        return;
    }
    for (size_t i = 0; i < count && more; i++) {
        struct store_frame f;

        if (store_range_at(reply, i, &f) < 0) {
            http_reply_error(reading_end(x), 500, "internal", "stored output cannot be read");
            return;
        }
        more = output_feed(&x->output, f.cursor, f.kind, f.p, f.len);
        x->next = f.cursor + 2;
    }
    if (count < OUTPUT_PAGE_FRAMES && x->next <= x->page_to)
        x->next = cursor_after(x->page_to);
    if (more)
        reading_next(x);
    else
        reading_answer(x);
}

static void reading_next(struct reading *x)
{
    struct unit *u = x->unit;

    if (x->next > x->stored) {
        output_end(&x->output, x->stored);
        reading_answer(x);
        return;
    }
    x->page_to = retain_page_end(&x->kept, x->next);
    if (x->page_to > x->stored)
        x->page_to = x->stored;
    if (store_range(u->app->env.redis, u->sandbox->id, x->pid, x->next, x->page_to, OUTPUT_PAGE_FRAMES, &x->op, reading_on_page, x) < 0)
        reply_store_down(reading_end(x));
}

/* A tail needs no more than the segments that hold it. */
static void reading_skip_to_tail(struct reading *x)
{
    uint64_t before, from;

    if (x->query.mode != OUTPUT_TAIL || x->next > x->kept.first)
        return;
    from = retain_tail_from(&x->kept, x->output.tail_max, &before);
    if (from <= x->next)
        return;
    output_skip(&x->output, before, from);
    x->next = from;
}

/* ---- the record ---- */

static void reading_take_record(struct reading *x, const struct store_proc *rec)
{
    retain_init(&x->kept, (uint64_t) x->unit->app->conf->retention_bytes);
    if (rec->totals.p && retain_read(&x->kept, rec->totals.p, rec->totals.len, rec->marks.p ? rec->marks.p : "", rec->marks.len) < 0)
        retain_skip(&x->kept, rec->last);
    if (rec->started.p && meta_set_started(&x->meta, rec->started.p, rec->started.len) < 0)
        memset(&x->meta, 0, sizeof(x->meta));
    if (rec->exit.p && meta_read_exit(&x->meta, rec->exit.p, rec->exit.len) < 0)
        x->meta.exited = false;
    x->meta.lost = rec->lost && !x->meta.exited;
    x->stored = rec->last;
}

static void reading_on_loaded(void *arg, int r, const struct redisReply *reply)
{
    struct reading *x = arg;
    const struct pstream *p;
    struct store_proc rec;

    if (r < 0 || store_load_reply(reply, &rec) < 0) {
        reply_store_down(reading_end(x));
        return;
    }
    p = streams_find(x->unit->streams, x->pid);
    if (!rec.found && (!p || p->state != PSTREAM_LIVE)) {
        reply_process_unknown(reading_end(x));
        return;
    }
    reading_take_record(x, &rec);
    output_init(&x->output, &x->query);
    x->selecting = true;
    x->next = cursor_replay_from(x->query.since);
    if (x->next < x->kept.first)
        x->next = x->kept.first;
    reading_skip_to_tail(x);
    reading_next(x);
}

void process_output(struct route_call *c)
{
    struct unit *u = call_unit(c);
    struct output_query q = {0};
    const char *pid;
    struct reading *x;
    uint64_t charge;

    if (!call_pid(c, &pid) || !reading_query(c, &q))
        return;
    if (!redis_is_up(u->app->env.redis)) {
        reply_store_down(c->req);
        return;
    }
    charge = OUTPUT_COST * output_limit(&q);
    if (u->app->reading_bytes + charge > OUTPUT_TOTAL_MAX) {
        http_reply_header(c->req, "Retry-After", "1");
        http_reply_error(c->req, 429, "too_many_requests", "too much output is being read at the moment");
        return;
    }
    x = xnew(struct reading);
    x->unit = u;
    x->charge = charge;
    u->app->reading_bytes += charge;
    x->req = c->req;
    x->pid = pid;
    x->query = q;
    x->deadline = timer_new(u->app->loop, reading_on_deadline, x);
    timer_set(x->deadline, OUTPUT_DEADLINE_MS);
    sandbox_flow_begin(&x->flow, call_sandbox(c), reading_on_cut);
    http_req_on_gone(c->req, reading_on_gone, x);
    if (store_load(u->app->env.redis, u->sandbox->id, pid, &x->op, reading_on_loaded, x) < 0)
        reply_store_down(reading_end(x));
}
