/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_bench_proxy - the engine as a reverse proxy and as an origin, for measurements.
 *     http_bench_proxy proxy PORT UPSTREAM      relays all to UPSTREAM ("127.0.0.1:8080")
 *     http_bench_proxy sink PORT                reads bodies away, answers their length; GET /N sends N bytes; GET /ws echoes messages
 * PORT 0 picks one; the port is printed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/http/relay.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/loop/loop.h"
#include "common/net/net.h"

static struct http_pool *pool;

static void proxy_request(void *arg, struct http_req *r)
{
    static const struct http_relay_conf conf = {.allow_upgrade = true};

    (void) arg;
    if (http_relay(r, pool, &conf, NULL) < 0)
        http_reply_error(r, 502, "bad_gateway", "cannot be relayed");
}

/* ---- origin ---- */

struct job {
    uint64_t bytes;
    struct ws *ws;
};

static void sink_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct job *j = arg;

    (void) r;
    (void) p;
    j->bytes += len;
}

static void sink_end(void *arg, struct http_req *r, int result)
{
    struct job *j = arg;
    char text[32];

    if (result < 0)
        return;
    http_reply(r, 200, "text/plain", text, (size_t) snprintf(text, sizeof(text), "%" PRIu64 "\n", j->bytes));
}

static void source_drain(void *arg, struct http_req *r)
{
    static char block[64 * 1024];
    struct job *j = arg;

    while (j->bytes) {
        size_t n = j->bytes < sizeof(block) ? (size_t) j->bytes : sizeof(block);

        j->bytes -= n;
        if (http_reply_data(r, block, n) > 128 * KIB)
            return;
    }
    http_reply_end(r);
}

static void echo_message(void *arg, bool text, const void *p, size_t len)
{
    struct job *j = arg;

    if (text)
        ws_send_text(j->ws, p, len);
    else
        ws_send_binary(j->ws, p, len);
}

static void echo_close(void *arg, int code)
{
    (void) code;
    free(arg);
}

static void sink_request(void *arg, struct http_req *r)
{
    static const struct ws_ops ops = {echo_message, echo_close, NULL};
    static const struct ws_conf conf;
    struct job *j;

    (void) arg;
    if (ws_wanted(r)) {
        j = xnew(struct job);
        if (ws_accept(r, &conf, &ops, j, &j->ws) != 0)
            free(j);
        return;
    }
    j = xnew(struct job);
    http_req_at_end(r, free, j);
    if (http_req_method(r) != HTTP_GET) {
        http_req_stream(r, sink_data, sink_end, j);
        return;
    }
    if (str_to_u64(http_req_path(r) + 1, &j->bytes) < 0) {
        http_reply_error(r, 404, "not_found", "GET /N");
        return;
    }
    http_reply_on_drain(r, source_drain, j);
    http_reply_begin(r, 200, "application/octet-stream", (int64_t) j->bytes);
    source_drain(j, r);
}

static int fail(const struct err *e, int r)
{
    fprintf(stderr, "http_bench_proxy: %s\n", err_text(e, r));
    return 1;
}

int main(int argc, char **argv)
{
    const struct http_server_conf conf = {.name = "bench"};
    struct err e = ERR_INIT;
    struct http_server *s;
    struct net_addr addr;
    struct loop *l;
    uint64_t port;
    int r;

    if (argc < 3 || str_to_u64(argv[2], &port) < 0 || port > 65535 || (str_eq(argv[1], "proxy") && argc < 4)) {
        fprintf(stderr, "usage: %s proxy PORT UPSTREAM | sink PORT\n", argv[0]);
        return 2;
    }
    r = loop_new(&l);
    if (r == 0)
        r = http_server_new(&s, l, &conf, str_eq(argv[1], "proxy") ? proxy_request : sink_request, NULL);
    if (r == 0)
        r = http_server_listen(s, "127.0.0.1", (uint16_t) port, false, &e);
    if (r == 0 && str_eq(argv[1], "proxy")) {
        r = net_addr_parse(&addr, argv[3], &e);
        const struct http_pool_conf pool_conf = {.addr = &addr, .host = argv[3], .idle_max = 64, .conns_max = 1000};

        if (r == 0)
            r = http_pool_new(&pool, l, &pool_conf);
    }
    if (r < 0)
        return fail(&e, r);
    printf("%u\n", http_server_port(s));
    fflush(stdout);
    r = loop_run(l);
    return r < 0 ? fail(&e, r) : 0;
}
