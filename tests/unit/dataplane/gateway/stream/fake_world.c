/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/dataplane/gateway/stream/fake_world.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/gateway/link/alink.h"
#include "dataplane/gateway/link/link_rx.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/stream/streams.h"

enum { FRAMES_MAX = 4096, HISTORY_MAX = 8192, TEXT_MAX = 16384 };

/* ---- the store ---- */

/* What one append leaves behind. */
struct record {
    bool found, lost;
    uint64_t last, first;
    size_t count; /* frames ever appended */
    char *totals, *marks, *started, *exit;
};

struct redisReply { /* ours: the door's header only names it */
    enum { FAKE_INT, FAKE_LOAD, FAKE_RANGE, FAKE_ERROR, FAKE_NIL } type;
    int64_t number;
    struct record rec;
    size_t from, to; /* indexes of frames */
};

struct command {
    struct op op;
    struct list node;
    redis_done_fn *done;
    void *arg;
    int (*run)(struct command *c, struct redisReply *out);
    struct store_append append;
    char *fields[8];
    unsigned field_count;
    struct fake_frame *frames;
    unsigned frame_count;
    uint64_t from, to;
    unsigned count;
};

static struct {
    bool up;
    unsigned refuse;
    struct fake_frame frames[FRAMES_MAX];
    struct record history[HISTORY_MAX];
    unsigned history_count;
    struct list pending;
    unsigned pending_count;
} store;

static struct command *building; /* between store_append_begin() and _send() */

static struct record *now(void)
{
    return &store.history[store.history_count - 1];
}

static void record_free(struct record *r)
{
    free(r->totals);
    free(r->marks);
    free(r->started);
    free(r->exit);
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static struct record *record_push(void)
{
    struct record *old = now(), *r = &store.history[store.history_count];

    assert(store.history_count < HISTORY_MAX);
    *r = *old;
    r->totals = copy(old->totals);
    r->marks = copy(old->marks);
    r->started = copy(old->started);
    r->exit = copy(old->exit);
    store.history_count++;
    return r;
}

static void command_free(struct command *c)
{
    for (unsigned i = 0; i < c->field_count; i++)
        free(c->fields[i]);
    free(c->frames);
    free(c);
}

static void store_clear_pending(void)
{
    while (store.pending_count > 0) {
        struct command *c = LIST_ENTRY(store.pending.next, struct command, node);

        list_del(&c->node);
        store.pending_count--;
        op_finish(&c->op);
        command_free(c);
    }
}

void fake_store_reset(void)
{
    if (store.pending.next)
        store_clear_pending();
    for (unsigned i = 0; i < store.history_count; i++)
        record_free(&store.history[i]);
    memset(&store, 0, sizeof(store));
    list_init(&store.pending);
    store.history_count = 1;
    store.history[0].first = 1;
    store.up = true;
}

static void command_cancel(struct op *op)
{
    CONTAINER_OF(op, struct command, op)->done = NULL;
}

static int command_send(struct command *c, struct op **slot, redis_done_fn *done, void *arg)
{
    if (!store.up) {
        command_free(c);
        return -ENOTCONN;
    }
    c->done = done;
    c->arg = arg;
    list_append(&store.pending, &c->node);
    store.pending_count++;
    op_begin(&c->op, slot, command_cancel);
    return 0;
}

static void command_answer(struct command *c, int r, bool run)
{
    struct redisReply reply = {0};
    redis_done_fn *done;
    void *arg;

    list_del(&c->node);
    store.pending_count--;
    if (run)
        c->run(c, &reply);
    op_finish(&c->op);
    done = c->done;
    arg = c->arg;
    command_free(c);
    if (done)
        done(arg, r, r < 0 ? NULL : &reply);
}

void fake_store_answer(unsigned count)
{
    while (count-- > 0 && store.pending_count > 0)
        command_answer(LIST_ENTRY(store.pending.next, struct command, node), 0, true);
}

unsigned fake_store_pending(void)
{
    return store.pending_count;
}

void fake_store_down(struct streams *s)
{
    unsigned n = 0;

    store.up = false;
    while (store.pending_count > 0)
        command_answer(LIST_ENTRY(store.pending.next, struct command, node), -ECONNRESET, n++ % 2 == 0);
    streams_env_store_down(s->env);
}

void fake_store_up(struct streams *s, unsigned forget)
{
    store.up = true;
    while (forget-- > 0 && store.history_count > 1)
        record_free(&store.history[--store.history_count]);
    streams_env_store_up(s->env);
}

void fake_store_refuse(unsigned count)
{
    store.refuse = count;
}

uint64_t fake_store_last(void)
{
    return now()->last;
}

bool fake_store_lost(void)
{
    return now()->lost;
}

/* Frames with the same cursor may lie in the array twice, from before and after something was forgotten: the newest counts. */
static const struct fake_frame *store_find(uint64_t cursor)
{
    for (size_t i = now()->count; i > 0; i--) {
        if (store.frames[i - 1].cursor == cursor)
            return &store.frames[i - 1];
    }
    return NULL;
}

size_t fake_store_count(void)
{
    size_t n = 0;

    for (uint64_t c = now()->first; c <= now()->last; c += 2)
        n += store_find(c) != NULL;
    return n;
}

const struct fake_frame *fake_store_frame(size_t i)
{
    for (uint64_t c = now()->first; c <= now()->last; c += 2) {
        if (store_find(c) && i-- == 0)
            return store_find(c);
    }
    return NULL;
}

unsigned fake_store_appends_above(uint64_t cursor)
{
    unsigned n = 0;

    while (n + 1 < store.history_count && store.history[store.history_count - 2 - n].last >= cursor)
        n++;
    return n;
}

/* ---- the commands ---- */

void store_append_begin(struct store_cmd *c, const struct redis *r, const struct store_append *a)
{
    (void) c;
    (void) r;
    building = xnew(struct command);
    building->append = *a;
    building->frames = xcalloc(a->frames + 1, sizeof(struct fake_frame));
}

static char *pair(const char *name, const void *p, size_t len)
{
    return xasprintf("%s=%.*s", name, (int) len, (const char *) p);
}

void store_append_field(struct store_cmd *c, const char *name, const void *p, size_t len)
{
    (void) c;
    building->fields[building->field_count++] = pair(name, p ? p : "", len);
}

void store_append_frame(struct store_cmd *c, enum link_kind k, const void *p, size_t len)
{
    struct fake_frame *f = &building->frames[building->frame_count];

    (void) c;
    f->cursor = building->append.first + 2 * building->frame_count;
    f->kind = k;
    f->len = len < sizeof(f->data) ? len : sizeof(f->data);
    if (f->len)
        memcpy(f->data, p, f->len);
    building->frame_count++;
}

static void record_set(struct record *r, const char *field)
{
    static const char *const names[] = {"totals=", "marks=", "started=", "exit="};
    char **slots[] = {&r->totals, &r->marks, &r->started, &r->exit};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);

        if (strncmp(field, names[i], n) == 0) {
            free(*slots[i]);
            *slots[i] = xstrdup(field + n);
        }
    }
}

static int run_append(struct command *c, struct redisReply *out)
{
    uint64_t end = c->append.first + 2 * c->frame_count - 2, at = c->append.first;
    struct record *r;

    if (store.refuse > 0) {
        store.refuse--;
        out->type = FAKE_ERROR;
        return 0;
    }
    out->type = FAKE_INT;
    if (at > now()->last + 2 && !c->append.jump) {
        out->number = -1 - (int64_t) now()->last;
        return 0;
    }
    r = record_push();
    if (at > r->last + 2)
        r->last = at - 2;
    for (unsigned i = 0; i < c->frame_count; i++, at += 2) {
        if (at <= r->last)
            continue;
        assert(r->count < FRAMES_MAX);
        store.frames[r->count++] = c->frames[i];
        r->last = at;
    }
    r->found = true;
    if (r->last == end || r->last == 0) {
        for (unsigned i = 0; i < c->field_count; i++)
            record_set(r, c->fields[i]);
    }
    if (c->append.trim_before > r->first)
        r->first = c->append.trim_before;
    out->number = (int64_t) r->last;
    return 0;
}

int store_append_send(struct store_cmd *c, struct redis *r, struct op **slot, redis_done_fn *done, void *arg)
{
    struct command *k = take_ptr(&building);

    (void) c;
    (void) r;
    assert(k->frame_count == k->append.frames && k->field_count == k->append.fields);
    k->run = run_append;
    return command_send(k, slot, done, arg);
}

int store_append_reply(const struct redisReply *v, uint64_t *last)
{
    if (v->type != FAKE_INT)
        return STORE_APPEND_RETRY;
    *last = (uint64_t) (v->number < 0 ? -1 - v->number : v->number);
    return v->number < 0 ? STORE_APPEND_GAP : STORE_APPEND_OK;
}

static int run_load(struct command *c, struct redisReply *out)
{
    (void) c;
    out->type = FAKE_LOAD;
    out->rec = *now();
    return 0;
}

int store_load(struct redis *r, const char *sandbox, const char *pid, struct op **slot, redis_done_fn *done, void *arg)
{
    struct command *c = xnew(struct command);

    (void) r;
    (void) sandbox;
    (void) pid;
    c->run = run_load;
    return command_send(c, slot, done, arg);
}

static struct store_text text(const char *s)
{
    return (struct store_text){.p = s, .len = s ? strlen(s) : 0};
}

int store_load_reply(const struct redisReply *v, struct store_proc *out)
{
    const struct record *r = &v->rec;

    assert(v->type == FAKE_LOAD);
    *out = (struct store_proc){.found = r->found, .last = r->last, .lost = r->lost, .totals = text(r->totals), .marks = text(r->marks),
                               .started = text(r->started), .exit = text(r->exit)};
    return 0;
}

static int run_range(struct command *c, struct redisReply *out)
{
    out->type = FAKE_RANGE;
    out->from = c->from > now()->first ? c->from : now()->first;
    out->to = c->to < now()->last ? c->to : now()->last;
    out->number = c->count;
    return 0;
}

int store_range(struct redis *r, const char *sandbox, const char *pid, uint64_t from, uint64_t to, unsigned count, struct op **slot,
                redis_done_fn *done, void *arg)
{
    struct command *c = xnew(struct command);

    (void) r;
    (void) sandbox;
    (void) pid;
    c->run = run_range;
    c->from = from;
    c->to = to;
    c->count = count;
    return command_send(c, slot, done, arg);
}

size_t store_range_count(const struct redisReply *v)
{
    size_t n = 0;

    for (uint64_t c = v->from; c <= v->to && n < (size_t) v->number; c += 2)
        n += store_find(c) != NULL;
    return n;
}

int store_range_at(const struct redisReply *v, size_t i, struct store_frame *out)
{
    for (uint64_t c = v->from; c <= v->to; c += 2) {
        const struct fake_frame *f = store_find(c);

        if (!f || i-- > 0)
            continue;
        *out = (struct store_frame){.cursor = c, .kind = f->kind, .p = (const char *) f->data, .len = f->len};
        return 0;
    }
    return -EIO;
}

static int run_lost(struct command *c, struct redisReply *out)
{
    (void) c;
    out->type = FAKE_INT;
    if (!now()->exit)
        record_push()->lost = true;
    return 0;
}

int store_lost(struct redis *r, const char *sandbox, const char *pid, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms, int64_t now_ms,
               redis_done_fn *done, void *arg)
{
    struct command *c = xnew(struct command);

    (void) r;
    (void) sandbox;
    (void) pid;
    (void) frames_ttl_ms;
    (void) proc_ttl_ms;
    (void) now_ms;
    c->run = run_lost;
    return command_send(c, NULL, done, arg);
}

static int run_nothing(struct command *c, struct redisReply *out)
{
    (void) c;
    out->type = FAKE_NIL;
    return 0;
}

static int send_nothing(struct op **slot, redis_done_fn *done, void *arg)
{
    struct command *c = xnew(struct command);

    c->run = run_nothing;
    return command_send(c, slot, done, arg);
}

int store_drop_output(struct redis *r, const char *sandbox, const char *pid, const char *totals, size_t totals_len)
{
    (void) r;
    (void) sandbox;
    (void) pid;
    (void) totals;
    (void) totals_len;
    return send_nothing(NULL, NULL, NULL);
}

int store_pids(struct redis *r, const char *sandbox, int64_t since_ms, unsigned count, struct op **slot, redis_done_fn *done, void *arg)
{
    (void) r;
    (void) sandbox;
    (void) since_ms;
    (void) count;
    return send_nothing(slot, done, arg);
}

int store_lose_all(struct redis *r, const char *sandbox, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms)
{
    (void) r;
    (void) sandbox;
    (void) frames_ttl_ms;
    (void) proc_ttl_ms;
    return send_nothing(NULL, NULL, NULL);
}

int store_purge(struct redis *r, const char *sandbox)
{
    (void) r;
    (void) sandbox;
    return send_nothing(NULL, NULL, NULL);
}

bool redis_is_up(const struct redis *r)
{
    (void) r;
    return store.up;
}

const char *reply_error(const struct redisReply *v)
{
    return v && v->type == FAKE_ERROR ? "OOM refused" : NULL;
}

const char *reply_str(const struct redisReply *v, size_t *len)
{
    (void) v;
    (void) len;
    return NULL;
}

size_t reply_count(const struct redisReply *v)
{
    (void) v;
    return 0;
}

const struct redisReply *reply_at(const struct redisReply *v, size_t i)
{
    (void) v;
    (void) i;
    return NULL;
}

/* The comparison with the agent's list is not played here. */
int http_call(struct http_pool *p, const struct http_call *c, struct op **slot, http_call_fn *done, void *arg)
{
    (void) p;
    (void) c;
    (void) slot;
    (void) done;
    (void) arg;
    return -ENOTCONN;
}

/* ---- the link and its agent ---- */

static struct {
    bool up, paused;
    struct fake_frame frames[FRAMES_MAX];
    size_t count;
    uint64_t acked, gone_to, at;
    unsigned resends;
    struct buf in;
} agent;

struct alink {
    struct alink_ops ops;
    void *arg;
};

struct alink *alink_new(struct loop *l, const struct alink_conf *conf, const struct alink_ops *ops, void *arg)
{
    struct alink *a = xnew(struct alink);

    (void) l;
    (void) conf;
    a->ops = *ops;
    a->arg = arg;
    return a;
}

void alink_free(struct alink *a)
{
    free(a);
}

void alink_want(struct alink *a, bool wanted)
{
    (void) a;
    (void) wanted;
}

void alink_reset(struct alink *a, struct http_pool *pool)
{
    (void) a;
    (void) pool;
}

enum alink_state alink_state(const struct alink *a)
{
    (void) a;
    return agent.up ? ALINK_SYNCED : ALINK_WAITING;
}

void alink_pause(struct alink *a, bool paused)
{
    (void) a;
    agent.paused = paused;
}

int alink_request(struct alink *a, struct link_msg *m, uint32_t deadline_ms, struct op **slot, alink_done_fn *done, void *arg)
{
    (void) a;
    (void) m;
    (void) deadline_ms;
    (void) slot;
    (void) done;
    (void) arg;
    return -ENOTCONN;
}

void alink_ack(struct alink *a, const char *pid, uint64_t cursor)
{
    (void) a;
    (void) pid;
    if (cursor > agent.acked)
        agent.acked = cursor;
}

void alink_resend(struct alink *a, const char *pid, uint64_t since)
{
    (void) a;
    (void) pid;
    agent.resends++;
    agent.at = since % 2 ? since + 2 : since + 1;
}

void fake_link_reset(void)
{
    buf_deinit(&agent.in);
    memset(&agent, 0, sizeof(agent));
    agent.at = 1;
}

void fake_link_up(struct streams *s)
{
    agent.up = true;
    agent.at = agent.acked ? agent.acked + 2 : 1;
    s->link->ops.on_up(s->link->arg);
}

void fake_link_down(struct streams *s)
{
    agent.up = false;
    s->link->ops.on_down(s->link->arg, -ECONNRESET);
}

bool fake_link_is_up(void)
{
    return agent.up;
}

bool fake_link_paused(void)
{
    return agent.paused;
}

int fake_link_deliver(struct streams *s, unsigned count)
{
    int r = 0;

    while (count-- > 0 && agent.up && !agent.paused && agent.at <= fake_agent_last() && r == 0) {
        if (agent.at <= agent.gone_to) {
            uint64_t from = agent.at;

            agent.at = agent.gone_to + 2;
            r = s->link->ops.on_lost(s->link->arg, "p1", from, agent.gone_to);
            continue;
        }
        const struct fake_frame *f = &agent.frames[(agent.at - 1) / 2];

        agent.at += 2;
        r = s->link->ops.on_frame(s->link->arg, "p1", f->kind, f->cursor, f->data, f->len);
    }
    return r;
}

static void on_result(void *arg, uint32_t req, const void *json, size_t len)
{
    (void) arg;
    (void) req;
    (void) json;
    (void) len;
}

static int on_frame(void *arg, const char *pid, enum link_kind k, uint64_t cursor, const uint8_t *p, size_t len)
{
    struct streams *s = arg;

    return s->link->ops.on_frame(s->link->arg, pid, k, cursor, p, len);
}

static int on_lost(void *arg, const char *pid, uint64_t from, uint64_t to)
{
    struct streams *s = arg;

    return s->link->ops.on_lost(s->link->arg, pid, from, to);
}

static void on_synced(void *arg)
{
    struct streams *s = arg;

    s->link->ops.on_synced(s->link->arg);
}

static void on_pong(void *arg, uint32_t v)
{
    (void) arg;
    (void) v;
}

int fake_link_say(struct streams *s, const void *p, size_t len)
{
    static const struct link_rx_ops ops = {on_result, on_frame, on_lost, on_synced, on_pong};
    int stop = 0, r;

    if (buf_append(&agent.in, p, len) < 0)
        return -ENOBUFS;
    r = link_rx_feed(&agent.in, &ops, s, &stop);
    if (r < 0)
        buf_deinit(&agent.in);
    return r;
}

void fake_agent_print(enum link_kind k, const void *p, size_t len)
{
    struct fake_frame *f = &agent.frames[agent.count];

    assert(agent.count < FRAMES_MAX && len <= sizeof(f->data));
    f->cursor = 2 * agent.count + 1;
    f->kind = k;
    f->len = len;
    if (len)
        memcpy(f->data, p, len);
    agent.count++;
}

uint64_t fake_agent_acked(void)
{
    return agent.acked;
}

uint64_t fake_agent_last(void)
{
    return agent.count ? 2 * agent.count - 1 : 0;
}

void fake_agent_forget(uint64_t to)
{
    if (to > agent.gone_to)
        agent.gone_to = to;
}

unsigned fake_agent_resends(void)
{
    return agent.resends;
}
