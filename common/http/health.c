/* SPDX-License-Identifier: Apache-2.0 */
/* health - see health.h */
#include "common/http/health.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"

enum { HEALTH_CONNS_MAX = 64 };

struct health {
    struct http_server *server; /* owned */
    const char *program;        /* borrowed, constant */
    health_fn *fn;
    void *arg;
};

static void health_reply(struct http_req *r, const char *program, health_fn *fn, void *arg)
{
    struct buf out = BUF_INIT(1 * MIB);
    struct json_writer w;
    bool good = true;

    json_writer_init(&w, &out);
    jw_object(&w);
    jw_kstr(&w, "program", program);
    jw_kstr(&w, "version", BIVOUAC_VERSION);
    if (fn)
        good = fn(arg, &w);
    jw_kstr(&w, "status", good ? "ok" : "degraded");
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        http_reply_error(r, 500, "internal", "the health report does not fit");
    else
        http_reply_json(r, good ? 200 : 503, &out);
    buf_deinit(&out);
}

static void metrics_reply(struct http_req *r)
{
    struct buf out = BUF_INIT(16 * MIB);

    if (metrics_write(&out) < 0)
        http_reply_error(r, 500, "internal", "the metrics do not fit");
    else
        http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.len ? buf_data(&out) : (const uint8_t *) "", out.len);
    buf_deinit(&out);
}

bool health_handle(struct http_req *r, const char *program, health_fn *fn, void *arg)
{
    bool health = str_eq(http_req_path(r), "/health");

    if (!health && !str_eq(http_req_path(r), "/metrics"))
        return false;
    if (!(http_req_method(r) & (HTTP_GET | HTTP_HEAD))) {
        http_reply_header(r, "Allow", "GET, HEAD");
        http_reply_error(r, 405, "method_not_allowed", "this path is read only");
    } else if (health) {
        health_reply(r, program, fn, arg);
    } else {
        metrics_reply(r);
    }
    return true;
}

static void health_on_request(void *arg, struct http_req *r)
{
    struct health *h = arg;

    if (!health_handle(r, h->program, h->fn, h->arg))
        http_reply_error(r, 404, "not_found", "here are /health and /metrics only");
}

/* "host:port", "[v6]:port", "localhost:port" */
static int split_address(const char *addr, char host[64], uint16_t *port, struct err *e)
{
    const char *colon = strrchr(addr, ':');
    uint64_t number;

    if (!colon || str_to_u64(colon + 1, &number) < 0 || number > UINT16_MAX)
        return err_set(e, -EINVAL, "'%s' is not address:port", addr);
    size_t len = (size_t) (colon - addr);

    if (len >= 2 && addr[0] == '[' && addr[len - 1] == ']') {
        addr++;
        len -= 2;
    }
    if (!len || len >= 64)
        return err_set(e, -EINVAL, "'%s' is not address:port", addr);
    memcpy(host, addr, len);
    host[len] = '\0';
    if (str_eq(host, "localhost"))
        str_copy(host, 64, "127.0.0.1");
    *port = (uint16_t) number;
    return 0;
}

int health_listen(struct health **out, struct loop *l, const char *addr, const char *program, health_fn *fn, void *arg, struct err *e)
{
    struct http_server_conf conf = {.limits = {.conns_max = HEALTH_CONNS_MAX}, .name = "health"};
    struct health *h;
    char host[64];
    uint16_t port = 0;
    int r = split_address(addr, host, &port, e);

    if (r < 0)
        return r;
    h = xnew(struct health);
    h->program = program;
    h->fn = fn;
    h->arg = arg;
    r = http_server_new(&h->server, l, &conf, health_on_request, h);
    if (r == 0)
        r = http_server_listen(h->server, host, port, false, e);
    if (r < 0) {
        health_free(h);
        return err_wrap(e, r, "admin listener");
    }
    *out = h;
    return 0;
}

uint16_t health_port(const struct health *h)
{
    return http_server_port(h->server);
}

void health_free(struct health *h)
{
    if (!h)
        return;
    http_server_free(h->server);
    free(h);
}
