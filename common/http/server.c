/* SPDX-License-Identifier: Apache-2.0 */
/* server - see server.h: listeners, the list of connections and its caps, counters. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/http/server_internal.h"
#include "common/metrics/metrics.h"
#include "common/net/net.h"

static struct metric requests[] = {
    {.name = "bivouac_http_requests_total", .labels = "class=\"1xx\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
    {.name = "bivouac_http_requests_total", .labels = "class=\"2xx\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
    {.name = "bivouac_http_requests_total", .labels = "class=\"3xx\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
    {.name = "bivouac_http_requests_total", .labels = "class=\"4xx\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
    {.name = "bivouac_http_requests_total", .labels = "class=\"5xx\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
    {.name = "bivouac_http_requests_total", .labels = "class=\"gone\"", .help = "Requests by class of their answer", .kind = METRIC_COUNTER},
};
static struct metric request_time = {
    .name = "bivouac_http_request_duration", .help = "From a request's head to the end of its answer", .kind = METRIC_HISTOGRAM,
};
static struct metric connections = {
    .name = "bivouac_http_connections", .help = "Open connections, upgraded ones included", .kind = METRIC_GAUGE,
};
static struct metric refused = {
    .name = "bivouac_http_connections_refused_total", .help = "Connections closed at once because of a cap", .kind = METRIC_COUNTER,
};
static struct metric bytes_in = {
    .name = "bivouac_http_received_bytes_total", .help = "Bytes read from clients", .kind = METRIC_COUNTER,
};
static struct metric bytes_out = {
    .name = "bivouac_http_sent_bytes_total", .help = "Bytes written to clients", .kind = METRIC_COUNTER,
};

static void server_register_metrics(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        metrics_register(&requests[i]);
    metrics_register(&request_time);
    metrics_register(&connections);
    metrics_register(&refused);
    metrics_register(&bytes_in);
    metrics_register(&bytes_out);
}

void server_count_status(int status, uint64_t us)
{
    int class = status / 100;

    metric_add(&requests[class >= 1 && class <= 5 ? class - 1 : 5], 1);
    metric_observe_us(&request_time, us);
}

void server_count_bytes(uint64_t in, uint64_t out)
{
    metric_add(&bytes_in, (int64_t) in);
    metric_add(&bytes_out, (int64_t) out);
}

int http_server_new(struct http_server **out, struct loop *l, const struct http_server_conf *conf, http_request_fn *fn, void *arg)
{
    struct http_server *s = xnew(struct http_server);

    server_register_metrics();
    s->loop = l;
    s->limits = http_limits_fill(&conf->limits);
    s->tls = conf->tls;
    s->name = conf->name;
    s->on_done = conf->on_done;
    s->fn = fn;
    s->arg = arg;
    list_init(&s->conns);
    list_init(&s->idle);
    if (s->limits.conns_per_peer_max)
        s->peers = map_new();
    *out = s;
    return 0;
}

/* ---- connections ---- */

/* "1.2.3.4", "::1", "unix"; a v4-mapped address as the v4 one. */
static void peer_text(const struct sockaddr *sa, char out[PEER_TEXT_SIZE])
{
    char text[80];
    char *end;

    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6) {
        snprintf(out, PEER_TEXT_SIZE, "unix");
        return;
    }
    net_addr_format(sa, text, sizeof(text));
    end = strrchr(text, ':');
    if (end)
        *end = '\0';
    const char *s = text;

    if (*s == '[') {
        s++;
        if (end > text && end[-1] == ']')
            end[-1] = '\0';
    }
    if (strncmp(s, "::ffff:", 7) == 0 && strchr(s, '.'))
        s += 7;
    snprintf(out, PEER_TEXT_SIZE, "%.*s", PEER_TEXT_SIZE - 1, s);
}

struct peer_count {
    unsigned count;
};

static unsigned peer_conns(const struct http_server *s, const char *peer)
{
    const struct peer_count *p = s->peers ? map_get(s->peers, peer) : NULL;

    return p ? p->count : 0;
}

static void peer_add(struct http_server *s, const char *peer)
{
    struct peer_count *p;

    if (!s->peers)
        return;
    p = map_get(s->peers, peer);
    if (!p) {
        p = xnew(struct peer_count);
        map_put(s->peers, peer, p);
    }
    p->count++;
}

static void peer_remove(struct http_server *s, const char *peer)
{
    struct peer_count *p;

    if (!s->peers)
        return;
    p = map_get(s->peers, peer);
    if (--p->count)
        return;
    map_del(s->peers, peer);
    free(p);
}

/* Room for one more: at the cap, the connection that has been idle longest is closed for the new one. */
static bool server_has_room(struct http_server *s, const char *peer)
{
    if (s->limits.conns_per_peer_max && peer_conns(s, peer) >= s->limits.conns_per_peer_max)
        return false;
    if (s->conn_count >= s->limits.conns_max && !list_empty(&s->idle))
        conn_close_idle(LIST_ENTRY(s->idle.next, struct http_conn, idle_node));
    return s->conn_count < s->limits.conns_max;
}

static void server_turn_away(struct http_server *s, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
                                 "Content-Length: 66\r\nConnection: close\r\n\r\n"
                                 "{\"error\":\"too_many_connections\",\"message\":\"try again in a second\"}";

    _Static_assert(sizeof("{\"error\":\"too_many_connections\",\"message\":\"try again in a second\"}") - 1 == 66, "Content-Length");
    metric_add(&refused, 1);
    if (!s->tls) /* best effort: a full socket buffer is not worth waiting for */
        (void) !send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void server_take(struct http_server *s, int fd, const struct sockaddr *sa)
{
    char peer[PEER_TEXT_SIZE];
    struct http_conn *c;

    peer_text(sa, peer);
    if (s->draining || s->ended || !server_has_room(s, peer)) {
        server_turn_away(s, fd);
        return;
    }
    c = conn_new(s, fd, peer);
    list_append(&s->conns, &c->node);
    s->conn_count++;
    metric_add(&connections, 1);
    peer_add(s, peer);
}

static void server_on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    (void) peer_len;
    server_take(arg, fd, peer);
}

void http_server_adopt(struct http_server *s, int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    int on = 1;

    if (getpeername(fd, (struct sockaddr *) &sa, &len) < 0)
        sa.ss_family = AF_UNSPEC;
    if (sa.ss_family == AF_INET || sa.ss_family == AF_INET6)
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a slower answer is all that can happen */
    server_take(s, fd, (struct sockaddr *) &sa);
}

void server_conn_closed(struct http_server *s, struct http_conn *c)
{
    list_del(&c->node);
    list_del(&c->idle_node);
    peer_remove(s, c->peer);
    s->conn_count--;
    metric_add(&connections, -1);
}

void server_upgraded(struct http_server *s, struct http_conn *c)
{
    list_del(&c->node);
    list_del(&c->idle_node);
    peer_remove(s, c->peer);
    s->upgraded++;
}

static void server_free(void *p)
{
    struct http_server *s = p;

    map_free(s->peers);
    free(s);
}

void server_unref(struct http_server *s)
{
    if (s->ended && !s->upgraded)
        loop_reap(s->loop, s, server_free);
}

void http_upgraded_done(struct http_server *s)
{
    assert(s->upgraded);
    s->upgraded--;
    s->conn_count--;
    metric_add(&connections, -1);
    server_unref(s);
}

/* ---- listeners and the server's end ---- */

int http_server_listen(struct http_server *s, const char *host, uint16_t port, bool reuseport, struct err *e)
{
    int r;

    if (s->listener_count == SERVER_LISTENERS_MAX)
        return err_set(e, -EINVAL, "at most %d listeners", SERVER_LISTENERS_MAX);
    r = listener_open_tcp(&s->listeners[s->listener_count], s->loop, host, port, reuseport, server_on_accept, s, e);
    if (r == 0)
        s->listener_count++;
    return r;
}

int http_server_listen_unix(struct http_server *s, const char *path, unsigned mode, struct err *e)
{
    int r;

    if (s->listener_count == SERVER_LISTENERS_MAX)
        return err_set(e, -EINVAL, "at most %d listeners", SERVER_LISTENERS_MAX);
    r = listener_open_unix(&s->listeners[s->listener_count], s->loop, path, SOCK_STREAM, mode, server_on_accept, s, e);
    if (r == 0)
        s->listener_count++;
    return r;
}

uint16_t http_server_port(const struct http_server *s)
{
    for (unsigned i = 0; i < s->listener_count; i++) {
        if (listener_port(s->listeners[i]))
            return listener_port(s->listeners[i]);
    }
    return 0;
}

unsigned http_server_conns(const struct http_server *s)
{
    return s->conn_count;
}

static void server_close_listeners(struct http_server *s)
{
    for (unsigned i = 0; i < s->listener_count; i++)
        listener_close(s->listeners[i]);
    s->listener_count = 0;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    server_close_listeners(s);
    LIST_FOR_EACH_SAFE (node, next, &s->conns)
        conn_close_idle(LIST_ENTRY(node, struct http_conn, node));
}

void http_server_free(struct http_server *s)
{
    if (!s || s->ended)
        return;
    s->draining = s->ended = true;
    server_close_listeners(s);
    while (!list_empty(&s->conns))
        conn_fail(LIST_ENTRY(s->conns.next, struct http_conn, node), -ECANCELED);
    server_unref(s);
}
