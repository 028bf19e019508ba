/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/redis/redis.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"

enum { REDIS_SCRIPTS_MAX = 8, REDIS_SHA_LEN = 40, REDIS_BACKOFF_MIN_MS = 50, REDIS_BACKOFF_MAX_MS = 2000, REDIS_TICK_MS = 500 };

enum redis_state {
    REDIS_STATE_DOWN,       /* waiting for the back-off timer */
    REDIS_STATE_CONNECTING, /* the library connects */
    REDIS_STATE_SETUP,      /* password and scripts are under way */
    REDIS_STATE_UP,
};

struct redis_op {
    struct op op;
    struct list node; /* in redis.pending, in the order of sending */
    struct redis *redis;
    redis_done_fn *done; /* NULL: cancelled */
    void *arg;
    uint64_t sent_ms;
};

struct redis {
    struct loop *loop;
    char *address, *host; /* owned; host: address literal, NULL for a unix path */
    int port;
    const struct secret *password;
    uint32_t deadline_ms, backoff_ms;
    const char *const *scripts;
    char sha[REDIS_SCRIPTS_MAX][REDIS_SHA_LEN + 1];
    unsigned script_count, setup_left;
    struct redis_ops ops;
    void *arg;
    enum redis_state state;
    redisAsyncContext *ac; /* NULL after its disconnect callback, or once we asked for its end */
    struct io *io;         /* of ac */
    unsigned want;
    struct timer *retry, *tick;
    struct list pending;
    unsigned pending_count;
    bool timed_out; /* why the connection ends */
    bool freeing;
};

static void redis_connect(void *arg);
static void redis_drop(struct redis *r);

/* ---- the library's event hooks on our loop ---- */

static void redis_on_io(void *arg, unsigned events)
{
    struct redis *r = arg;

    if (events & IO_READ)
        redisAsyncHandleRead(r->ac);
    else
        redisAsyncHandleWrite(r->ac);
}

static void redis_want(struct redis *r, unsigned on, unsigned off)
{
    r->want = (r->want | on) & ~off;
    if (r->io)
        io_want(r->io, r->want);
}

static void redis_ev_add_read(void *arg)
{
    redis_want(arg, IO_READ, 0);
}

static void redis_ev_del_read(void *arg)
{
    redis_want(arg, 0, IO_READ);
}

static void redis_ev_add_write(void *arg)
{
    redis_want(arg, IO_WRITE, 0);
}

static void redis_ev_del_write(void *arg)
{
    redis_want(arg, 0, IO_WRITE);
}

static void redis_ev_cleanup(void *arg)
{
    struct redis *r = arg;

    io_close(r->io);
    r->io = NULL;
    r->want = 0;
}

static int redis_attach(struct redis *r)
{
    int e = io_open(&r->io, r->loop, r->ac->c.fd, redis_on_io, r);

    if (e < 0)
        return e;
    r->ac->data = r;
    r->ac->ev.data = r;
    r->ac->ev.addRead = redis_ev_add_read;
    r->ac->ev.delRead = redis_ev_del_read;
    r->ac->ev.addWrite = redis_ev_add_write;
    r->ac->ev.delWrite = redis_ev_del_write;
    r->ac->ev.cleanup = redis_ev_cleanup;
    redis_want(r, IO_READ | IO_WRITE, 0);
    return 0;
}

/* ---- commands ---- */

static void redis_cmd_put(struct redis_cmd *c, const void *p, size_t len)
{
    if (buf_append(&c->text, p, len) < 0)
        abort(); /* the callers' own limits are far below the buffer's */
}

static void redis_cmd_head(struct redis_cmd *c, char kind, uint64_t n)
{
    char head[32];

    redis_cmd_put(c, head, (size_t) snprintf(head, sizeof(head), "%c%" PRIu64 "\r\n", kind, n));
}

void redis_cmd_begin(struct redis_cmd *c, unsigned args)
{
    buf_init(&c->text, 0);
    c->args_left = args;
    redis_cmd_head(c, '*', args);
}

void redis_cmd_script(struct redis_cmd *c, const struct redis *r, unsigned script, unsigned keys, unsigned args)
{
    assert(script < r->script_count);
    redis_cmd_begin(c, 3 + keys + args);
    redis_cmd_str(c, "EVALSHA");
    redis_cmd_str(c, r->sha[script]);
    redis_cmd_u64(c, keys);
}

void redis_cmd_arg(struct redis_cmd *c, const void *p, size_t len)
{
    assert(c->args_left > 0);
    c->args_left--;
    redis_cmd_head(c, '$', len);
    redis_cmd_put(c, p, len);
    redis_cmd_put(c, "\r\n", 2);
}

void redis_cmd_str(struct redis_cmd *c, const char *s)
{
    redis_cmd_arg(c, s, strlen(s));
}

void redis_cmd_u64(struct redis_cmd *c, uint64_t v)
{
    char text[24];

    redis_cmd_arg(c, text, (size_t) snprintf(text, sizeof(text), "%" PRIu64, v));
}

static void redis_op_free(struct redis_op *o)
{
    list_del(&o->node);
    o->redis->pending_count--;
    free(o);
}

static void redis_op_cancel(struct op *op)
{
    /* The reply still comes; it is dropped then. */
    CONTAINER_OF(op, struct redis_op, op)->done = NULL;
}

static void redis_op_done(struct redis_op *o, int e, const redisReply *reply)
{
    redis_done_fn *done = o->done;
    void *arg = o->arg;

    op_finish(&o->op);
    redis_op_free(o);
    if (done)
        done(arg, e, reply);
}

static void redis_on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_op *o = privdata;
    struct redis *r = o->redis;

    (void) ac;
    if (r->freeing)
        o->done = NULL;
    if (!reply) {
        redis_op_done(o, r->timed_out ? -ETIMEDOUT : -ECONNRESET, NULL);
        return;
    }
    if (r->state == REDIS_STATE_UP) {
        const char *error = reply_error(reply);

        /* SCRIPT FLUSH, or a restarted server behind a proxy: a new connection loads them again. */
        if (error && str_starts(error, "NOSCRIPT"))
            redis_drop(r);
    }
    redis_op_done(o, 0, reply);
}

static int redis_push(struct redis *r, struct redis_cmd *c, struct op **slot, redis_done_fn *done, void *arg)
{
    struct redis_op *o = xnew(struct redis_op);
    const char *text = buf_cstr(&c->text); /* the library looks for its first words as in a string */
    int e = 0;

    assert(c->args_left == 0 && text);
    o->redis = r;
    o->done = done;
    o->arg = arg;
    o->sent_ms = loop_now_ms(r->loop);
    if (redisAsyncFormattedCommand(r->ac, redis_on_reply, o, text, c->text.len) != REDIS_OK) {
        free(o);
        e = -ENOTCONN;
    } else {
        list_append(&r->pending, &o->node);
        r->pending_count++;
        op_begin(&o->op, slot, redis_op_cancel);
        if (!timer_pending(r->tick))
            timer_set(r->tick, REDIS_TICK_MS);
    }
    buf_deinit(&c->text);
    return e;
}

int redis_send(struct redis *r, struct redis_cmd *c, struct op **slot, redis_done_fn *done, void *arg)
{
    if (r->state != REDIS_STATE_UP || !r->ac) {
        buf_deinit(&c->text);
        return -ENOTCONN;
    }
    return redis_push(r, c, slot, done, arg);
}

/* ---- connection ---- */

static void redis_is_down(struct redis *r)
{
    bool was_up = r->state == REDIS_STATE_UP;

    r->state = REDIS_STATE_DOWN;
    r->ac = NULL;
    r->timed_out = false;
    timer_cancel(r->tick);
    if (r->freeing)
        return;
    timer_set(r->retry, r->backoff_ms);
    r->backoff_ms = r->backoff_ms * 2 > REDIS_BACKOFF_MAX_MS ? REDIS_BACKOFF_MAX_MS : r->backoff_ms * 2;
    if (was_up) {
        log_warn(NULL, "redis is down", "address", r->address);
        r->ops.on_down(r->arg);
    }
}

/* Ends the connection. The library fails every pending command and calls redis_on_disconnect(), now or when its own callback returns. */
static void redis_drop(struct redis *r)
{
    redisAsyncContext *ac = r->ac;

    r->ac = NULL;
    if (ac)
        redisAsyncFree(ac);
}

static void redis_on_disconnect(const redisAsyncContext *ac, int status)
{
    (void) status;
    redis_is_down(ac->data);
}

static void redis_on_tick(void *arg)
{
    struct redis *r = arg;
    uint64_t now = loop_now_ms(r->loop);

    if (r->state == REDIS_STATE_CONNECTING || !list_empty(&r->pending)) {
        const struct redis_op *o = list_empty(&r->pending) ? NULL : LIST_ENTRY(r->pending.next, struct redis_op, node);

        if (!o || now - o->sent_ms >= r->deadline_ms) {
            bool connecting = r->state == REDIS_STATE_CONNECTING;

            r->timed_out = true;
            redis_drop(r);
            /* No disconnect callback for a connection that never was. */
            if (connecting && r->state == REDIS_STATE_CONNECTING)
                redis_is_down(r);
            return;
        }
        timer_set(r->tick, REDIS_TICK_MS);
    }
}

static void redis_setup_done(void *arg, int e, const redisReply *reply)
{
    struct redis *r = arg;
    size_t len;
    const char *text;

    if (e < 0)
        return; /* the connection is ending */
    if (reply_error(reply)) {
        log_warn(NULL, "redis refuses its set-up", "address", r->address, "reply", reply_error(reply));
        redis_drop(r);
        return;
    }
    text = reply_str(reply, &len);
    if (text && len == REDIS_SHA_LEN && r->setup_left <= r->script_count)
        memcpy(r->sha[r->script_count - r->setup_left], text, REDIS_SHA_LEN);
    if (--r->setup_left > 0 || !r->ac)
        return;
    r->state = REDIS_STATE_UP;
    r->backoff_ms = REDIS_BACKOFF_MIN_MS;
    log_info(NULL, "redis is up", "address", r->address);
    r->ops.on_up(r->arg);
}

static void redis_setup_send(struct redis *r, struct redis_cmd *c)
{
    if (redis_push(r, c, NULL, redis_setup_done, r) == 0)
        r->setup_left++;
}

static void redis_setup(struct redis *r)
{
    struct redis_cmd c;

    r->state = REDIS_STATE_SETUP;
    r->setup_left = 0;
    if (r->password && r->password->len > 0) {
        redis_cmd_begin(&c, 2);
        redis_cmd_str(&c, "AUTH");
        redis_cmd_arg(&c, r->password->bytes, r->password->len);
        redis_setup_send(r, &c);
    }
    for (unsigned i = 0; i < r->script_count; i++) {
        redis_cmd_begin(&c, 3);
        redis_cmd_str(&c, "SCRIPT");
        redis_cmd_str(&c, "LOAD");
        redis_cmd_str(&c, r->scripts[i]);
        redis_setup_send(r, &c);
    }
}

static void redis_on_connect(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;

    if (status != REDIS_OK) {
        /* The library frees it after this callback and calls no other. */
        r->ac = NULL;
        redis_is_down(r);
        return;
    }
    redis_setup(r);
}

static void redis_connect(void *arg)
{
    struct redis *r = arg;

    r->ac = r->host ? redisAsyncConnect(r->host, r->port) : redisAsyncConnectUnix(r->address);
    if (!r->ac || r->ac->err || redis_attach(r) < 0) {
        if (r->ac)
            redisAsyncFree(r->ac);
        redis_is_down(r);
        return;
    }
    r->state = REDIS_STATE_CONNECTING;
    redisAsyncSetConnectCallback(r->ac, redis_on_connect);
    redisAsyncSetDisconnectCallback(r->ac, redis_on_disconnect);
    timer_set(r->tick, r->deadline_ms);
}

static int redis_parse_address(struct redis *r, struct err *e)
{
    const char *colon = strrchr(r->address, ':');
    uint64_t port;

    if (r->address[0] == '/')
        return 0;
    if (!colon || str_to_u64(colon + 1, &port) < 0 || port < 1 || port > UINT16_MAX)
        return err_set(e, -EINVAL, "redis address '%s': must be host:port or an absolute path", r->address);
    r->host = xstrndup(r->address, (size_t) (colon - r->address));
    r->port = (int) port;
    if (strcmp(r->host, "localhost") == 0)
        memcpy(r->host, "127.0.0.1", sizeof("127.0.0.1"));
    else if (strspn(r->host, "0123456789.") != strlen(r->host))
        return err_set(e, -EINVAL, "redis address '%s': names are not looked up, give an IPv4 address", r->address);
    return 0;
}

int redis_new(struct redis **out, struct loop *l, const struct redis_conf *conf, const struct redis_ops *ops, void *arg,
              struct err *e)
{
    struct redis *r = xnew(struct redis);
    int s;

    r->loop = l;
    r->address = xstrdup(conf->address);
    r->password = conf->password;
    r->deadline_ms = conf->deadline_ms ? conf->deadline_ms : 5000;
    r->backoff_ms = REDIS_BACKOFF_MIN_MS;
    r->scripts = conf->scripts;
    while (conf->scripts && conf->scripts[r->script_count])
        r->script_count++;
    assert(r->script_count <= REDIS_SCRIPTS_MAX);
    r->ops = *ops;
    r->arg = arg;
    list_init(&r->pending);
    r->retry = timer_new(l, redis_connect, r);
    r->tick = timer_new(l, redis_on_tick, r);
    s = redis_parse_address(r, e);
    if (s < 0) {
        redis_free(r);
        return s;
    }
    timer_set(r->retry, 0);
    *out = r;
    return 0;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    r->freeing = true;
    redis_drop(r);
    timer_free(r->retry);
    timer_free(r->tick);
    free(r->host);
    free(r->address);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == REDIS_STATE_UP && r->ac;
}

unsigned redis_pending(const struct redis *r)
{
    return r->pending_count;
}

/* ---- replies ---- */

const char *reply_error(const redisReply *v)
{
    return v && v->type == REDIS_REPLY_ERROR ? v->str : NULL;
}

const char *reply_str(const redisReply *v, size_t *len)
{
    if (!v || (v->type != REDIS_REPLY_STRING && v->type != REDIS_REPLY_STATUS))
        return NULL;
    *len = v->len;
    return v->str;
}

bool reply_int(const redisReply *v, int64_t *out)
{
    if (!v || v->type != REDIS_REPLY_INTEGER)
        return false;
    *out = v->integer;
    return true;
}

size_t reply_count(const redisReply *v)
{
    return v && v->type == REDIS_REPLY_ARRAY ? v->elements : 0;
}

const redisReply *reply_at(const redisReply *v, size_t i)
{
    return i < reply_count(v) ? v->element[i] : NULL;
}
