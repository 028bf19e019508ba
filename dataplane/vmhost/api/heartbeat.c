/* SPDX-License-Identifier: Apache-2.0 */
/* heartbeat - see heartbeat.h */
#include "dataplane/vmhost/api/heartbeat.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "common/wire/host_api.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/vms.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEAT_MAX = 16 * MIB, REPLY_MAX = 2 * MIB, BEAT_DEADLINE_MS = 10000, BACKOFF_MAX_MS = 15000, CLOCK_SKEW_MS = 5000 };

struct heartbeat {
    struct host *host;
    struct tls_ctx *tls;    /* owned */
    struct http_pool *pool; /* owned */
    struct secret token;    /* owned */
    struct timer *timer;    /* owned */
    struct op *call;
    bool again;             /* something changed while a call is under way */
    uint32_t fails;
    char url[300];          /* of the host API */
};

static struct metric metric_beats = {
    .name = "bivouac_vmhost_heartbeats_total", .help = "Heartbeats that control answered.", .kind = METRIC_COUNTER,
};
static struct metric metric_beat_fails = {
    .name = "bivouac_vmhost_heartbeat_failures_total", .help = "Heartbeats that were not answered.", .kind = METRIC_COUNTER,
};

/* ---- what is told ---- */

struct beat_fill {
    struct host_vm *vms;
    struct host_template *templates;
    size_t vm_count, template_count, vm_room, template_room;
};

static void beat_add_vm(void *arg, struct vm *v)
{
    struct beat_fill *f = arg;

    if (vm_is_internal(v))
        return;
    if (f->vm_count == f->vm_room) {
        f->vm_room = f->vm_room * 2 + 16;
        f->vms = xrealloc(f->vms, f->vm_room * sizeof(*f->vms));
    }
    vm_describe(v, &f->vms[f->vm_count]);
    f->vms[f->vm_count++].has_timings = false;
}

static void beat_add_template(void *arg, struct template *t)
{
    struct beat_fill *f = arg;

    if (f->template_count == f->template_room) {
        f->template_room = f->template_room * 2 + 8;
        f->templates = xrealloc(f->templates, f->template_room * sizeof(*f->templates));
    }
    f->templates[f->template_count++] = (struct host_template){
        .slug = t->slug, .version = t->version, .status = (char *) template_status_name(t->status),
        .message = t->message[0] ? t->message : NULL, .cpu_count = t->cpu_count, .memory_mb = t->memory_mb,
    };
}

static struct host_capacity beat_usage(const struct vms_usage *u)
{
    return (struct host_capacity){.vcpus = u->vcpus, .memory_mb = u->memory_mb, .vms = u->vms};
}

static int beat_write(struct heartbeat *b, struct buf *out)
{
    struct host *h = b->host;
    struct beat_fill f = {0};
    struct vms_usage used, all;
    struct host_heartbeat m = {
        .host_api_url = b->url, .gateway_url = (char *) h->conf->gateway_url, .version = (char *) BIVOUAC_VERSION,
        .accelerator = (char *) (h->accel_known ? fingerprint_accel_name(h->accel) : "unknown"),
    };
    int pct, r;

    vms_usage(h->vms, &used);
    vms_capacity(h->vms, &all);
    m.capacity = beat_usage(&all);
    m.used = beat_usage(&used);
    vms_disk(h->vms, &m.disk.bytes_total, &m.disk.bytes_free, &pct);
    templates_each(h->templates, beat_add_template, &f);
    vms_each(h->vms, beat_add_vm, &f);
    m.templates = (struct json_array){f.templates, f.template_count};
    m.vms = (struct json_array){f.vms, f.vm_count};
    r = host_heartbeat_write(out, &m);
    free(f.vms);
    free(f.templates);
    return r;
}

/* ---- what comes back ---- */

static void beat_check_clock(int64_t control_ms)
{
    static struct log_limit limit = LOG_LIMIT_INIT(1);
    int64_t off = control_ms - clock_real_ms();

    if ((off > CLOCK_SKEW_MS || off < -CLOCK_SKEW_MS) && log_allow(&limit))
        log_warn(NULL, "clocks of control and of this host differ: deadlines are this host's", "off_ms", LOG_I64(off));
}

static int beat_take_reply(struct heartbeat *b, const struct http_response *resp, struct err *e)
{
    struct arena *a = arena_new(4 * REPLY_MAX);
    struct host_heartbeat_reply m;
    int r = json_decode(&host_heartbeat_reply_table, resp->body, resp->body_len, a, &m, e);

    if (r == 0) {
        if (m.host.drain != b->host->draining)
            log_info(NULL, m.host.drain ? "this host is being drained: no new virtual machines" : "this host takes virtual machines again");
        b->host->draining = m.host.drain;
        for (size_t i = 0; i < m.ended_ack.count; i++)
            vms_ack_ended(b->host->vms, m.ended_ack.items[i]);
        beat_check_clock(m.now_ms);
    }
    arena_free(a);
    return r;
}

static void beat_next(struct heartbeat *b, bool good)
{
    uint64_t wait = (uint64_t) b->host->conf->heartbeat_ms;

    if (good) {
        b->fails = 0;
    } else {
        b->fails = b->fails < 16 ? b->fails + 1 : b->fails;
        for (uint32_t i = 1; i < b->fails && wait < BACKOFF_MAX_MS; i++)
            wait *= 2;
        if (wait > BACKOFF_MAX_MS)
            wait = BACKOFF_MAX_MS;
    }
    timer_set(b->timer, good && b->again ? 0 : wait);
    b->again = false;
}

static void beat_on_answer(void *arg, int r, const struct http_response *resp)
{
    struct heartbeat *b = arg;
    struct err e = ERR_INIT;

    if (r < 0)
        err_set(&e, r, "%s", strerror(-r));
    else if (resp->head->status != 200)
        r = err_set(&e, -EPROTO, "control answered %d", resp->head->status);
    else
        r = beat_take_reply(b, resp, &e);
    if (r < 0 && b->fails == 0)
        log_warn(NULL, "control does not take heartbeats; virtual machines go on", "error", err_text(&e, r));
    if (r == 0 && b->fails > 0)
        log_info(NULL, "control takes heartbeats again", "missed", LOG_U64(b->fails));
    metric_add(r < 0 ? &metric_beat_fails : &metric_beats, 1);
    beat_next(b, r == 0);
}

static int beat_send(struct heartbeat *b)
{
    struct buf body = BUF_INIT(BEAT_MAX);
    char authorization[600];
    struct http_header auth = {"Authorization", authorization};
    const struct http_headers headers = {&auth, 1};
    struct http_call call = {
        .method = "POST", .target = "/internal/v1/heartbeat", .headers = &headers, .content_type = "application/json",
        .answer_bytes_max = REPLY_MAX, .deadline_ms = BEAT_DEADLINE_MS, .retry = true, /* the same heartbeat twice is one */
    };
    int r = beat_write(b, &body);

    if (r == 0) {
        call.body = buf_data(&body);
        call.body_len = body.len;
        snprintf(authorization, sizeof(authorization), "Bearer %.500s", (const char *) b->token.bytes);
        r = http_call(b->pool, &call, &b->call, beat_on_answer, b);
        mem_wipe(authorization, sizeof(authorization));
    }
    buf_deinit(&body);
    return r;
}

static void beat_on_timer(void *arg)
{
    struct heartbeat *b = arg;
    int r = beat_send(b);

    if (r < 0) {
        log_error(NULL, "heartbeat cannot be sent", "error", strerror(-r));
        beat_next(b, false);
    }
}

void heartbeat_now(struct heartbeat *b)
{
    if (!b)
        return;
    if (b->call)
        b->again = true;
    else if (b->fails == 0)
        timer_set(b->timer, 0);
}

/* ---- life ---- */

static int beat_open_pool(struct heartbeat *b, struct err *e)
{
    const struct conf *c = b->host->conf;
    const struct tls_conf tls = {.cert_file = c->tls_cert, .key_file = c->tls_key, .ca_file = c->tls_ca};
    struct net_addr addr;
    struct http_pool_conf pool = {.addr = &addr, .tls_name = c->control_name, .host = c->control_name, .idle_max = 1, .conns_max = 1};
    int r = net_addr_parse(&addr, c->control_addr, e);

    if (r < 0)
        return err_wrap(e, r, "control_addr");
    r = tls_ctx_new(&b->tls, &tls, false, e);
    if (r < 0)
        return err_wrap(e, r, "TLS to control");
    pool.tls = b->tls;
    return http_pool_new(&b->pool, b->host->loop, &pool);
}

int heartbeat_open(struct heartbeat **out, struct host *h, struct err *e)
{
    const struct conf *c = h->conf;
    struct heartbeat *b;
    int r;

    *out = NULL;
    if (str_empty(c->control_addr))
        return 0;
    b = xnew(struct heartbeat);
    b->host = h;
    if (str_empty(c->host_api_url))
        snprintf(b->url, sizeof(b->url), "https://%s", c->listen);
    else
        snprintf(b->url, sizeof(b->url), "%s", c->host_api_url);
    metrics_register(&metric_beats);
    metrics_register(&metric_beat_fails);
    r = secret_load(&b->token, c->host_token_file, e);
    if (r == 0)
        r = beat_open_pool(b, e);
    if (r < 0) {
        heartbeat_close(b);
        return r;
    }
    b->timer = timer_new(h->loop, beat_on_timer, b);
    timer_set(b->timer, 0);
    *out = b;
    return 0;
}

void heartbeat_close(struct heartbeat *b)
{
    if (!b)
        return;
    op_cancel(&b->call);
    if (b->pool)
        http_pool_free(b->pool);
    tls_ctx_free(b->tls);
    timer_free(b->timer);
    secret_deinit(&b->token);
    free(b);
}
