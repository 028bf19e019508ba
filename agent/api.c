/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - one listener. A connection from anywhere but the host's address is closed without a word: users of the guest have no business
 * here, with or without a token.
 */
#include "agent/api.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/files/files.h"
#include "agent/init/init.h"
#include "agent/procs/rest.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/net/net.h"

enum { CONNS_MAX = 2048, IDLE_MS = 120 * 1000, BODY_IDLE_MS = 120 * 1000, ADDR_SIZE = 64 };

static void api_on_request(void *arg, struct http_req *r)
{
    struct agent *a = arg;

    router_dispatch(a->router, r);
}

/* "1.2.3.4:5" without its port, and an IPv4 address in IPv6 clothes without those. */
static void peer_text(const struct sockaddr *peer, char out[ADDR_SIZE])
{
    net_addr_format(peer, out, ADDR_SIZE);
    char *colon = strrchr(out, ':');

    if (colon)
        *colon = '\0';
}

static void api_on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    static struct log_limit limit = LOG_LIMIT_INIT(5);
    struct agent *a = arg;
    char text[ADDR_SIZE];

    (void) peer_len;
    peer_text(peer, text);
    if (a->peer && strcmp(text, a->peer) != 0) {
        if (log_allow(&limit))
            log_warn(NULL, "connection from an address that is not the host's, closing it", "peer", text);
        close(fd);
        return;
    }
    http_server_adopt(a->server, fd);
}

static const char *bearer_of(const struct http_req *r)
{
    const char *h = http_req_header(r, "Authorization");

    if (!h || strncasecmp(h, "Bearer ", 7) != 0)
        return NULL;
    for (h += 7; *h == ' '; h++)
        ;
    return h;
}

static void api_authorize(struct route_call *c)
{
    struct agent *a = c->app;
    const char *token = bearer_of(c->req);

    if (token && secret_equal(&a->token, token, strlen(token))) {
        route_proceed(c);
        return;
    }
    if (token && (c->route->scope & AGENT_SCOPE_INIT) && secret_equal(&a->previous, token, strlen(token))) {
        c->who = a; /* init.c looks closer */
        route_proceed(c);
        return;
    }
    http_reply_error(c->req, 401, "unauthorized", token ? "the token is not valid" : "a bearer token is needed");
}

static int api_routes(struct agent *a, struct err *e)
{
    int r = router_new(&a->router, a, api_authorize, e);

    r = r < 0 ? r : router_add(a->router, init_routes, e);
    r = r < 0 ? r : router_add(a->router, procs_routes, e);
    return r < 0 ? r : router_add(a->router, files_routes, e);
}

int api_open(struct agent *a, const char *listen, struct err *e)
{
    const struct http_server_conf conf = {
        .limits = {.conns_max = CONNS_MAX, .idle_ms = IDLE_MS, .body_idle_ms = BODY_IDLE_MS},
        .name = "agent",
    };
    struct net_addr addr;
    char host[ADDR_SIZE];
    int r = api_routes(a, e);

    r = r < 0 ? r : net_addr_parse(&addr, listen, e);
    if (r < 0)
        return r;
    if (addr.sa.ss_family != AF_INET)
        return err_set(e, -EAFNOSUPPORT, "'%s' is not an IPv4 address with a port", listen);
    const struct sockaddr_in *in = (const struct sockaddr_in *) &addr.sa;

    peer_text((const struct sockaddr *) &addr.sa, host);
    r = http_server_new(&a->server, a->loop, &conf, api_on_request, a);
    if (r < 0)
        return err_set(e, r, "make the HTTP server");
    return listener_open_tcp(&a->listener, a->loop, host, ntohs(in->sin_port), false, api_on_accept, a, e);
}

uint16_t api_port(const struct agent *a)
{
    return listener_port(a->listener);
}

void api_close(struct agent *a)
{
    listener_close(a->listener);
    http_server_free(a->server);
    router_free(a->router);
    a->listener = NULL;
    a->server = NULL;
    a->router = NULL;
}
