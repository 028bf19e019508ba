/* SPDX-License-Identifier: Apache-2.0 */
/* http_load - requests on connections of their own, some at a time: what a crowd of short-lived clients does. */
#include <stdlib.h>
#include <string.h>
#include "tests/load/conn.h"

enum { BLOCK = 16384 };

static bool has_body(const struct options *o)
{
    return o->bytes > 0 && strcmp(o->method, "GET") != 0;
}

static int add_headers(struct conn *c, struct lws *wsi, unsigned char **p, unsigned char *end)
{
    const struct options *o = c->load->o;
    char length[24];
    int n = snprintf(length, sizeof(length), "%zu", o->bytes);

    if (!load_add_token(o, wsi, p, end))
        return -1;
    if (!has_body(o))
        return 0;
    if (lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, (unsigned char *) length, n, p, end))
        return -1;
    lws_client_http_body_pending(wsi, 1);
    lws_callback_on_writable(wsi);
    return 0;
}

static int send_body(struct conn *c, struct lws *wsi)
{
    static unsigned char block[LWS_PRE + BLOCK];
    uint64_t rest = c->load->o->bytes - c->sent;
    size_t n = rest < BLOCK ? (size_t) rest : BLOCK;
    bool last = n == rest;

    if (!rest)
        return 0;
    if (lws_write(wsi, block + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) != (int) n)
        return -1;
    c->sent += n;
    if (last)
        lws_client_http_body_pending(wsi, 0);
    else
        lws_callback_on_writable(wsi);
    return 0;
}

static int read_some(struct lws *wsi)
{
    char block[LWS_PRE + BLOCK], *p = block + LWS_PRE;
    int len = BLOCK;

    return lws_http_client_read(wsi, &p, &len) < 0 ? -1 : 0;
}

static void request_ended(struct conn *c)
{
    struct load *l = c->load;

    if (!c->ended) {
        c->ended = true;
        c->ended_us = stats_now_us();
        l->ended++;
        if (c->finished)
            stats_add(&l->round_time, c->ended_us - c->began_us);
        else
            l->cut++;
    }
    if (l->ended == l->o->requests)
        l->stop = true;
    load_pump(l, l->o->method);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = user;

    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_headers(c, wsi, in, *(unsigned char **) in + len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        load_failed(c, in);
        request_ended(c);
        return 0;
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        c->opening = false;
        c->load->opening--;
        c->load->open++;
        c->http_status = lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
        return send_body(c, wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
        return read_some(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
        c->received += len;
        return 0;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
        c->finished = true;
        return -1; /* closes it */
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        request_ended(c);
        return 0;
    default:
        return 0;
    }
}

static unsigned write_summary(struct load *l)
{
    double seconds = (double) (l->ended_us - l->began_us) / 1e6;
    unsigned classes[6] = {0}, done = 0;
    uint64_t received = 0;

    for (unsigned i = 0; i < l->next; i++) {
        const struct conn *c = &l->conns[i];

        received += c->received;
        done += c->finished;
        if (c->finished)
            classes[c->http_status / 100 < 6 ? c->http_status / 100 : 0]++;
    }
    printf("{\"event\":\"summary\",\"requests\":%u,\"finished\":%u,\"failed\":%u,\"cut\":%u,\"timed_out\":%s,\"2xx\":%u,\"3xx\":%u,\"4xx\":%u,"
           "\"5xx\":%u,\"received_bytes\":%llu,\"seconds\":%.6f,\"requests_per_s\":%.1f,\"trouble\":",
           l->o->requests, done, l->failed, l->cut, l->timed_out ? "true" : "false", classes[2], classes[3], classes[4], classes[5],
           (unsigned long long) received, seconds, seconds > 0 ? done / seconds : 0);
    load_write_string(stdout, l->failure);
    printf(",");
    stats_write(&l->round_time, stdout, "request");
    printf("}\n");
    return l->o->requests - done;
}

int http_load(const struct options *o)
{
    static const struct lws_protocols protocols[] = {
        {.name = "load", .callback = on_event, .rx_buffer_size = BLOCK},
        {0},
    };
    struct load l;
    bool bad;

    if (load_init(&l, o, protocols, o->requests) < 0)
        return 2;
    load_pump(&l, o->method);
    load_run(&l);
    bad = write_summary(&l) > 0;
    l.stop = true;
    lws_context_destroy(l.context);
    load_deinit(&l);
    return bad;
}
