/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/conn.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "common/base/mem.h"

static void on_deadline(lws_sorted_usec_list_t *sul)
{
    struct load *l = lws_container_of(sul, struct load, deadline);

    l->timed_out = true;
    l->stop = true;
    lws_cancel_service(l->context);
}

static void raise_descriptor_limit(unsigned conns)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= conns + 64)
        return;
    limit.rlim_cur = conns + 64;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    (void) setrlimit(RLIMIT_NOFILE, &limit); /* where it fails, opening fails and says so */
}

int load_init(struct load *l, const struct options *o, const struct lws_protocols *protocols, unsigned conns)
{
    struct lws_context_creation_info info = {0};

    lws_set_log_level(LLL_ERR, NULL);
    raise_descriptor_limit(conns);
    *l = (struct load){.o = o};
    l->conns = xcalloc(conns, sizeof(*l->conns));
    for (unsigned i = 0; i < conns; i++) {
        l->conns[i].load = l;
        l->conns[i].index = i;
        l->conns[i].checker.check_lines = o->check_lines;
        l->conns[i].checker.since = o->since;
    }
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.options = o->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0;
    info.fd_limit_per_thread = conns + 32;
    info.timeout_secs = (unsigned) o->timeout_s + 1;
    l->context = lws_create_context(&info);
    if (!l->context) {
        fprintf(stderr, "bivouac-load: the WebSocket library does not start\n");
        free(l->conns);
        return -1;
    }
    l->began_us = stats_now_us();
    lws_sul_schedule(l->context, 0, &l->deadline, on_deadline, (lws_usec_t) (o->timeout_s * 1e6));
    return 0;
}

void load_deinit(struct load *l)
{
    for (unsigned i = 0; i < l->next; i++) {
        free(l->conns[i].message);
        free(l->conns[i].out);
    }
    free(l->conns);
    stats_deinit(&l->open_time);
    stats_deinit(&l->first_time);
    stats_deinit(&l->round_time);
}

void load_failed(struct conn *c, const char *why)
{
    struct load *l = c->load;

    if (c->ended)
        return;
    c->ended = true;
    c->wsi = NULL;
    c->ended_us = stats_now_us();
    if (c->opening) {
        c->opening = false;
        l->opening--;
    }
    l->failed++;
    l->ended++;
    if (!l->failure[0])
        snprintf(l->failure, sizeof(l->failure), "%s", why ? why : "no reason given");
}

static void conn_start(struct conn *c, const char *method)
{
    const struct options *o = c->load->o;
    struct lws_client_connect_info i = {0};
    char host[300];

    snprintf(host, sizeof(host), "%s:%d", o->address, o->port);
    i.context = c->load->context;
    i.address = o->address;
    i.port = o->port;
    i.path = o->path;
    i.host = o->host_header ? o->host_header : host;
    i.origin = NULL;
    i.method = method;
    i.ssl_connection = o->tls ? LCCSCF_USE_SSL : 0;
    if (o->tls && o->insecure)
        i.ssl_connection |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_INSECURE;
    i.local_protocol_name = "load";
    i.userdata = c;
    i.pwsi = &c->wsi;
    c->opening = true;
    c->load->opening++;
    c->began_us = stats_now_us();
    if (!lws_client_connect_via_info(&i))
        load_failed(c, "connection refused by the library");
}

void load_pump(struct load *l, const char *method)
{
    unsigned all = l->o->mode == LOAD_HTTP ? l->o->requests : l->o->conns;
    unsigned at_once = l->o->mode == LOAD_HTTP ? l->o->conns : l->o->opening_max;

    while (!l->stop && l->next < all && (l->o->mode == LOAD_HTTP ? l->next - l->ended : l->opening) < at_once)
        conn_start(&l->conns[l->next++], method);
}

void load_run(struct load *l)
{
    while (!l->stop && lws_service(l->context, 0) >= 0)
        ;
    l->ended_us = stats_now_us();
}

bool load_add_token(const struct options *o, struct lws *wsi, unsigned char **p, unsigned char *end)
{
    char value[4200];
    int n;

    if (!o->token)
        return true;
    n = snprintf(value, sizeof(value), "Bearer %s", o->token);
    return n < (int) sizeof(value) &&
           lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *) value, n, p, end) == 0;
}

void load_write_string(FILE *out, const char *s)
{
    putc('"', out);
    for (; *s; s++) {
        unsigned char c = (unsigned char) *s;

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ' || c > '~')
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}
