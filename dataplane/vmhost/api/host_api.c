/* SPDX-License-Identifier: Apache-2.0 */
/* host_api - see host_api.h */
#include "dataplane/vmhost/api/host_api.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/health.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "common/net/stream.h"
#include "common/wire/host_api.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vms.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { API_CONNS_MAX = 256, API_BODY_MAX = 2 * MIB, API_ANSWER_MAX = 16 * MIB };

struct host_api {
    struct host *host;
    struct tls_ctx *tls;        /* owned */
    struct http_server *server; /* owned */
    struct router *router;      /* owned */
    struct health *health;      /* owned */
};

/* The outcomes of the VM table as the API tells them. */
static const struct api_error {
    int status;
    const char *code;
} api_errors[] = {
    [VM_E_FAILED] = {500, "start_failed"},
    [VM_E_STALE] = {409, "stale_generation"},
    [VM_E_ENDING] = {409, "vm_ending"},
    [VM_E_NO_CAPACITY] = {503, "no_capacity"},
    [VM_E_NO_TEMPLATE] = {404, "template_not_found"},
    [VM_E_TEMPLATE_BUILDING] = {503, "template_not_ready"},
    [VM_E_TEMPLATE_FAILED] = {422, "template_error"},
    [VM_E_SIZE] = {422, "size_not_available"},
    [VM_E_INVALID] = {422, "invalid"},
};

static void api_refuse(struct http_req *r, enum vm_error error, const char *text)
{
    const struct api_error *e = &api_errors[error];

    if (e->status == 503)
        http_reply_header(r, "Retry-After", "1");
    http_reply_error(r, e->status, e->code, str_empty(text) ? e->code : text);
}

static void api_reply_vm(struct http_req *r, int status, const struct vm *v)
{
    struct buf out = BUF_INIT(API_ANSWER_MAX);
    struct host_vm m;

    vm_describe(v, &m);
    if (host_vm_reply_write(&out, &m) < 0)
        http_reply_error(r, 500, "internal", "the answer does not fit");
    else
        http_reply_json(r, status, &out);
    buf_deinit(&out);
}

/* ---- requests that wait: the client may leave, the work goes on ---- */

struct api_wait {
    struct http_req *req;
    struct op *op;
};

static void api_on_gone(void *arg, struct http_req *r)
{
    struct api_wait *w = arg;

    (void) r;
    op_cancel(&w->op);
    free(w);
}

static struct api_wait *api_wait_new(struct http_req *r)
{
    struct api_wait *w = xnew(struct api_wait);

    w->req = r;
    http_req_on_gone(r, api_on_gone, w);
    return w;
}

static struct http_req *api_wait_end(struct api_wait *w)
{
    struct http_req *r = w->req;

    http_req_on_gone(r, NULL, NULL);
    free(w);
    return r;
}

static void api_on_vm(void *arg, enum vm_error error, struct vm *v, const char *text)
{
    struct http_req *r = api_wait_end(arg);

    if (error == VM_OK)
        api_reply_vm(r, 200, v);
    else
        api_refuse(r, error, text);
}

static bool api_id_ok(struct route_call *c, const char *id)
{
    size_t len = strlen(id);
    uint64_t n;

    /* decimal, as PostgreSQL writes a bigint: names of other forms are our own */
    if (len > 0 && len < 20 && (id[0] != '0' || len == 1) && str_to_u64(id, &n) == 0)
        return true;
    http_reply_error(c->req, 404, "vm_not_found", "an id is a decimal number");
    return false;
}

/* ---- routes ---- */

static void api_create(struct route_call *c)
{
    struct host *h = c->app;
    struct api_wait *w;

    if (!api_id_ok(c, c->params[0]))
        return;
    w = api_wait_new(c->req);
    vms_create(h->vms, c->params[0], c->body, &w->op, api_on_vm, w);
}

static void api_on_ended(void *arg, enum vm_error error)
{
    struct http_req *r = api_wait_end(arg);

    if (error == VM_OK)
        http_reply_empty(r, 204);
    else
        api_refuse(r, error, "a later generation of this sandbox is known");
}

static void api_delete(struct route_call *c)
{
    struct host *h = c->app;
    const char *text = http_req_query(c->req, "generation");
    uint64_t generation = 0;
    struct api_wait *w;

    if (!api_id_ok(c, c->params[0]))
        return;
    if (text && str_to_u64(text, &generation) < 0) {
        http_reply_error(c->req, 422, "invalid", "generation: must be a number");
        return;
    }
    w = api_wait_new(c->req);
    vms_delete(h->vms, c->params[0], generation, text == NULL, &w->op, api_on_ended, w);
}

static void api_on_deadline(void *arg, enum vm_error error, struct vm *v, const char *text)
{
    struct http_req *r = api_wait_end(arg);

    if (error == VM_OK)
        api_reply_vm(r, 200, v);
    else if (error == VM_E_INVALID)
        http_reply_error(r, 404, "vm_not_found", text);
    else
        api_refuse(r, error, text);
}

static void api_deadline(struct route_call *c)
{
    struct host *h = c->app;
    struct api_wait *w;

    if (!api_id_ok(c, c->params[0]))
        return;
    w = api_wait_new(c->req);
    vms_set_deadline(h->vms, c->params[0], c->body, &w->op, api_on_deadline, w);
}

static void api_get(struct route_call *c)
{
    struct host *h = c->app;
    struct vm *v = vms_find(h->vms, c->params[0]);

    if (!api_id_ok(c, c->params[0]))
        return;
    if (v)
        api_reply_vm(c->req, 200, v);
    else
        http_reply_error(c->req, 404, "vm_not_found", "no such virtual machine on this host");
}

struct api_list {
    struct json_writer w;
    struct buf *out;
    int r;
};

static void api_list_vm(void *arg, struct vm *v)
{
    struct api_list *l = arg;
    struct buf one = BUF_INIT(16 * KIB);
    struct host_vm m;

    if (vm_is_internal(v))
        return;
    vm_describe(v, &m);
    if (host_vm_write(&one, &m) == 0)
        jw_raw(&l->w, (const char *) buf_data(&one), one.len);
    else
        l->r = -ENOBUFS;
    buf_deinit(&one);
}

static void api_reply_list(struct http_req *r, struct api_list *l)
{
    int end;

    jw_array_end(&l->w);
    jw_object_end(&l->w);
    end = json_writer_end(&l->w);
    if (end < 0 || l->r < 0)
        http_reply_error(r, 500, "internal", "the answer does not fit");
    else
        http_reply_json(r, 200, l->out);
}

static void api_list_vms(struct route_call *c)
{
    struct host *h = c->app;
    struct buf out = BUF_INIT(API_ANSWER_MAX);
    struct api_list l = {.out = &out};

    json_writer_init(&l.w, &out);
    jw_object(&l.w);
    jw_karray(&l.w, "vms");
    vms_each(h->vms, api_list_vm, &l);
    api_reply_list(c->req, &l);
    buf_deinit(&out);
}

static void api_list_template(void *arg, struct template *t)
{
    struct api_list *l = arg;

    jw_object(&l->w);
    jw_kstr(&l->w, "slug", t->slug);
    jw_kstr(&l->w, "version", t->version);
    jw_kstr(&l->w, "status", template_status_name(t->status));
    jw_kint(&l->w, "cpu_count", t->cpu_count);
    jw_kint(&l->w, "memory_mb", t->memory_mb);
    if (t->message[0])
        jw_kstr(&l->w, "message", t->message);
    jw_object_end(&l->w);
}

static void api_list_templates(struct route_call *c)
{
    struct host *h = c->app;
    struct buf out = BUF_INIT(API_ANSWER_MAX);
    struct api_list l = {.out = &out};

    json_writer_init(&l.w, &out);
    jw_object(&l.w);
    jw_karray(&l.w, "templates");
    templates_each(h->templates, api_list_template, &l);
    api_reply_list(c->req, &l);
    buf_deinit(&out);
}

static bool api_health_members(void *arg, struct json_writer *w)
{
    const struct host *h = arg;
    struct vms_usage used, all;
    int64_t total, free_bytes;
    int pct;

    vms_usage(h->vms, &used);
    vms_capacity(h->vms, &all);
    vms_disk(h->vms, &total, &free_bytes, &pct);
    jw_kstr(w, "host", h->name);
    jw_kstr(w, "accelerator", h->accel_known ? fingerprint_accel_name(h->accel) : NULL);
    jw_kstr(w, "qemu", h->qemu_version);
    jw_kint(w, "vms", used.vms);
    jw_kint(w, "vms_max", all.vms);
    jw_kint(w, "slots_ready", pool_ready(h->pool));
    jw_kint(w, "disk_used_pct", pct);
    jw_kbool(w, "draining", h->draining);
    return true;
}

static void api_health(struct route_call *c)
{
    (void) health_handle(c->req, "bivouac-vmhost", api_health_members, c->app); /* the route matched, so it answers */
}

static const struct route api_routes[] = {
    {HTTP_PUT, "/host/v1/vms/{id}", 0, ROUTE_JSON, API_BODY_MAX, &host_vm_spec_table, api_create, "vms.create"},
    {HTTP_DELETE, "/host/v1/vms/{id}", 0, ROUTE_NO_BODY, 0, NULL, api_delete, "vms.delete"},
    {HTTP_GET, "/host/v1/vms/{id}", 0, ROUTE_NO_BODY, 0, NULL, api_get, "vms.get"},
    {HTTP_GET, "/host/v1/vms", 0, ROUTE_NO_BODY, 0, NULL, api_list_vms, "vms.list"},
    {HTTP_POST, "/host/v1/vms/{id}/deadline", 0, ROUTE_JSON, 4 * KIB, &host_deadline_table, api_deadline, "vms.deadline"},
    {HTTP_GET, "/host/v1/templates", 0, ROUTE_NO_BODY, 0, NULL, api_list_templates, "templates.list"},
    {HTTP_GET, "/health", 0, ROUTE_NO_BODY, 0, NULL, api_health, "health"},
    {HTTP_GET, "/metrics", 0, ROUTE_NO_BODY, 0, NULL, api_health, "metrics"},
    {0},
};

/* The TLS layer let in certificates of our CA only; of those, control's alone may ask. */
static void api_authorize(struct route_call *c)
{
    const struct host *h = c->app;
    const char *cn = http_req_peer_cn(c->req);

    if (cn && str_eq(cn, h->conf->control_cn)) {
        route_proceed(c);
        return;
    }
    log_warn(NULL, "host API refused to a certificate that is not control's", "peer", http_req_peer(c->req), "name", cn);
    http_reply_error(c->req, 403, "forbidden", "this door is control's");
}

static void api_on_request(void *arg, struct http_req *r)
{
    struct host_api *a = arg;

    router_dispatch(a->router, r);
}

/* ---- life ---- */

static int api_listen(struct host_api *a, struct err *e)
{
    char host[INET6_ADDRSTRLEN + 16], *colon;
    struct net_addr addr;
    uint64_t port;
    int r = net_addr_parse(&addr, a->host->conf->listen, e);

    if (r < 0)
        return err_wrap(e, r, "listen");
    net_addr_format((struct sockaddr *) &addr.sa, host, sizeof(host));
    colon = strrchr(host, ':');
    if (!colon || str_to_u64(colon + 1, &port) < 0)
        return err_set(e, -EINVAL, "listen: host:port");
    *colon = '\0';
    if (host[0] == '[') {
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    r = http_server_listen(a->server, host, (uint16_t) port, false, e);
    return r < 0 ? err_wrap(e, r, "listen on %s", a->host->conf->listen) : 0;
}

static int api_open_server(struct host_api *a, struct err *e)
{
    const struct conf *c = a->host->conf;
    const struct tls_conf tls = {.cert_file = c->tls_cert, .key_file = c->tls_key, .ca_file = c->tls_ca, .require_peer = true};
    struct http_server_conf conf = {.limits = {.conns_max = API_CONNS_MAX}, .name = "host_api"};
    int r = tls_ctx_new(&a->tls, &tls, true, e);

    if (r < 0)
        return err_wrap(e, r, "TLS of the host API");
    conf.tls = a->tls;
    r = router_new(&a->router, a->host, api_authorize, e);
    if (r == 0)
        r = router_add(a->router, api_routes, e);
    if (r == 0)
        r = http_server_new(&a->server, a->host->loop, &conf, api_on_request, a);
    return r < 0 ? r : api_listen(a, e);
}

int host_api_open(struct host_api **out, struct host *h, struct err *e)
{
    struct host_api *a = xnew(struct host_api);
    int r;

    a->host = h;
    r = api_open_server(a, e);
    if (r == 0 && !str_empty(h->conf->admin_listen))
        r = health_listen(&a->health, h->loop, h->conf->admin_listen, "bivouac-vmhost", api_health_members, h, e);
    if (r < 0) {
        host_api_close(a);
        return r;
    }
    *out = a;
    return 0;
}

void host_api_close(struct host_api *a)
{
    if (!a)
        return;
    if (a->server)
        http_server_free(a->server);
    if (a->router)
        router_free(a->router);
    if (a->health)
        health_free(a->health);
    tls_ctx_free(a->tls);
    free(a);
}
