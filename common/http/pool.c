/* SPDX-License-Identifier: Apache-2.0 */
/* pool - see client.h: keep-alive connections to one origin, and the line before them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/http/client_internal.h"

int http_pool_new(struct http_pool **out, struct loop *l, const struct http_pool_conf *conf)
{
    struct http_pool *p;

    if (!conf->host || !http_header_sendable("Host", conf->host) || (!conf->connect && !conf->addr) || (conf->tls && !conf->tls_name))
        return -EINVAL;
    p = xnew(struct http_pool);
    p->loop = l;
    p->limits = http_limits_fill(&conf->limits);
    p->body_idle_ms = conf->limits.body_idle_ms;
    p->connect = conf->connect;
    p->connect_ctx = conf->connect_ctx;
    if (conf->addr)
        p->addr = *conf->addr;
    p->tls = conf->tls;
    p->tls_name = conf->tls_name ? xstrdup(conf->tls_name) : NULL;
    p->host = xstrdup(conf->host);
    p->idle_max = conf->idle_max ? conf->idle_max : 4;
    p->conns_max = conf->conns_max ? conf->conns_max : 64;
    p->idle_ms = conf->idle_ms ? conf->idle_ms : 30000;
    list_init(&p->links);
    list_init(&p->idle);
    list_init(&p->waiting);
    *out = p;
    return 0;
}

static void pool_free(void *arg)
{
    struct http_pool *p = arg;

    free(p->tls_name);
    free(p->host);
    free(p);
}

void http_pool_free(struct http_pool *p)
{
    if (!p || p->ended)
        return;
    p->ended = true;
    while (!list_empty(&p->waiting))
        exchange_fail(LIST_ENTRY(p->waiting.next, struct http_exchange, wait_node), -ECANCELED);
    while (!list_empty(&p->links)) {
        struct http_link *k = LIST_ENTRY(p->links.next, struct http_link, node);

        if (k->x)
            exchange_fail(k->x, -ECANCELED);
        else
            link_close(k, false);
    }
    loop_reap(p->loop, p, pool_free);
}

/* ---- the line ---- */

static void pool_on_line_deadline(void *arg)
{
    exchange_fail(arg, -ETIMEDOUT);
}

static void pool_enter_line(struct http_pool *p, struct http_exchange *x)
{
    x->state = X_WAITING;
    list_append(&p->waiting, &x->wait_node);
    if (!x->head_ms)
        return;
    x->line_timer = timer_new(p->loop, pool_on_line_deadline, x);
    timer_set(x->line_timer, x->head_ms);
}

static void pool_connect(struct http_pool *p, struct http_exchange *x)
{
    struct http_link *k = link_new(p);

    list_append(&p->links, &k->node);
    p->link_count++;
    link_attach(k, x);
    link_begin(k);
}

static struct http_link *pool_take_idle(struct http_pool *p)
{
    struct http_link *k = LIST_ENTRY(p->idle.next, struct http_link, idle_node);

    list_del(&k->idle_node);
    p->idle_count--;
    return k;
}

int pool_acquire(struct http_pool *p, struct http_exchange *x, bool fresh)
{
    if (p->ended)
        return -ECANCELED;
    while (!fresh && !list_empty(&p->idle)) {
        struct http_link *k = pool_take_idle(p);

        /* One that the peer has left takes no request; bytes that wait in it are no answer to this one. */
        if (link_is_stale(k)) {
            link_close(k, false);
            continue;
        }
        link_attach(k, x);
        return 0;
    }
    if (p->link_count >= p->conns_max && !list_empty(&p->idle))
        link_close(pool_take_idle(p), false);
    if (p->link_count < p->conns_max)
        pool_connect(p, x);
    else
        pool_enter_line(p, x);
    return 0;
}

static struct http_exchange *pool_next_in_line(struct http_pool *p)
{
    struct http_exchange *x = LIST_ENTRY(p->waiting.next, struct http_exchange, wait_node);

    list_del(&x->wait_node);
    timer_free(take_ptr(&x->line_timer));
    return x;
}

void pool_link_closed(struct http_pool *p, struct http_link *k)
{
    if (list_linked(&k->idle_node))
        p->idle_count--;
    list_del(&k->idle_node);
    list_del(&k->node);
    p->link_count--;
    if (!p->ended && !list_empty(&p->waiting) && p->link_count < p->conns_max)
        pool_connect(p, pool_next_in_line(p));
}

void pool_link_free(struct http_pool *p, struct http_link *k)
{
    k->used = true;
    if (!list_empty(&p->waiting) && link_is_stale(k)) {
        link_close(k, false); /* the next in line connects */
    } else if (!list_empty(&p->waiting)) {
        link_attach(k, pool_next_in_line(p));
    } else if (p->idle_count < p->idle_max) {
        list_prepend(&p->idle, &k->idle_node);
        p->idle_count++;
        link_park(k);
    } else {
        link_close(k, false);
    }
}
