/* SPDX-License-Identifier: Apache-2.0 */
/* ws_load - process streams over WebSockets: idle sockets, output, echo by stdin. */
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "tests/load/conn.h"

enum { MESSAGE_MAX = 1 << 20, ECHO_BYTES_MAX = 45000 };

static void conn_send(struct conn *c, const char *text, size_t len)
{
    c->out = xrealloc(c->out, LWS_PRE + len);
    memcpy(c->out + LWS_PRE, text, len);
    c->out_len = len;
    lws_callback_on_writable(c->wsi);
}

/* {"type":"stdin","data":...}: `bytes` letters, so that a guest's terminal would not mind them. */
static void send_round(struct conn *c)
{
    size_t bytes = c->load->o->bytes, encoded = (bytes + 2) / 3 * 4;
    char *text = xmalloc(encoded + 64), *p = text;

    /* "abcabc.." in base64 is "YWJj" repeated; the rest is chosen by hand. */
    p += sprintf(p, "{\"type\":\"stdin\",\"data\":\"");
    for (size_t i = 0; i + 3 <= bytes; i += 3, p += 4)
        memcpy(p, "YWJj", 4);
    if (bytes % 3)
        p += sprintf(p, "%s", bytes % 3 == 1 ? "YQ==" : "YWI=");
    p += sprintf(p, "\"}");
    c->round_bytes = 0;
    c->round_began_us = stats_now_us();
    conn_send(c, text, (size_t) (p - text));
    free(text);
}

static void echo_on_output(struct conn *c, uint64_t bytes)
{
    static const char end[] = "{\"type\":\"close_stdin\"}";

    c->round_bytes += bytes;
    if (c->round_bytes < c->load->o->bytes)
        return;
    stats_add(&c->load->round_time, stats_now_us() - c->round_began_us);
    if (++c->round < c->load->o->rounds)
        send_round(c);
    else
        conn_send(c, end, sizeof(end) - 1);
}

static void conn_on_message(struct conn *c)
{
    struct frame f;
    const char *wrong = frame_parse(&f, c->message, c->message_len);
    uint64_t bytes = c->checker.bytes;

    if (wrong) {
        if (!c->checker.trouble[0])
            snprintf(c->checker.trouble, sizeof(c->checker.trouble), "%s: %.100s", wrong, c->message_len ? c->message : "");
        return;
    }
    if (!c->first_us) {
        c->first_us = stats_now_us();
        stats_add(&c->load->first_time, c->first_us - c->opened_us);
    }
    frame_check(&c->checker, &f);
    if (c->load->o->mode != LOAD_WS_ECHO || c->checker.ended)
        return;
    if (strcmp(f.type, "started") == 0)
        send_round(c);
    else if (c->checker.bytes > bytes)
        echo_on_output(c, c->checker.bytes - bytes);
}

static int conn_on_receive(struct conn *c, struct lws *wsi, const void *p, size_t len)
{
    if (c->message_len + len > MESSAGE_MAX) {
        snprintf(c->checker.trouble, sizeof(c->checker.trouble), "a message of more than %d bytes", MESSAGE_MAX);
        return -1;
    }
    if (c->message_len + len + 1 > c->message_cap) {
        c->message_cap = c->message_len + len + 1;
        c->message = xrealloc(c->message, c->message_cap);
    }
    memcpy(c->message + c->message_len, p, len);
    c->message_len += len;
    c->message[c->message_len] = '\0';
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
        return 0;
    if (lws_frame_is_binary(wsi) && !c->checker.trouble[0])
        snprintf(c->checker.trouble, sizeof(c->checker.trouble), "a binary frame");
    conn_on_message(c);
    c->message_len = 0;
    return 0;
}

static int conn_on_writable(struct conn *c, struct lws *wsi)
{
    size_t len = c->out_len;

    if (!len)
        return 0;
    c->out_len = 0;
    return lws_write(wsi, (unsigned char *) c->out + LWS_PRE, len, LWS_WRITE_TEXT) < 0 ? -1 : 0;
}

static void on_hold_over(lws_sorted_usec_list_t *sul)
{
    struct load *l = lws_container_of(sul, struct load, hold);

    l->stop = true;
    lws_cancel_service(l->context);
}

static void conn_on_open(struct conn *c)
{
    struct load *l = c->load;

    c->opening = false;
    c->open = true;
    l->opening--;
    l->open++;
    c->opened_us = stats_now_us();
    stats_add(&l->open_time, c->opened_us - c->began_us);
    if (l->o->start)
        conn_send(c, l->o->start, strlen(l->o->start));
    if (l->open + l->failed == l->o->conns) {
        l->all_open_us = c->opened_us;
        printf("{\"event\":\"open\",\"conns\":%u,\"failed\":%u,\"ms\":%.1f}\n", l->open, l->failed,
               (double) (l->all_open_us - l->began_us) / 1000);
        fflush(stdout);
        if (l->o->mode == LOAD_WS_IDLE)
            lws_sul_schedule(l->context, 0, &l->hold, on_hold_over, (lws_usec_t) (l->o->hold_s * 1e6));
    }
    load_pump(l, NULL);
}

static void conn_on_closed(struct conn *c)
{
    struct load *l = c->load;

    if (c->ended || l->stop)
        return;
    c->ended = true;
    c->wsi = NULL;
    c->ended_us = stats_now_us();
    c->finished = c->close_code == 1000 && (c->checker.ended || l->o->mode == LOAD_WS_IDLE);
    l->ended++;
    if (l->o->mode == LOAD_WS_IDLE || !c->finished)
        l->cut++;
    if (l->ended == l->o->conns)
        l->stop = true;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = user;

    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return load_add_token(c->load->o, wsi, in, *(unsigned char **) in + len) ? 0 : -1;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        load_failed(c, in);
        if (c->load->ended == c->load->o->conns)
            c->load->stop = true;
        load_pump(c->load, NULL);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        c->wsi = wsi;
        conn_on_open(c);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return conn_on_receive(c, wsi, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return conn_on_writable(c, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (len >= 2)
            c->close_code = (unsigned) ((unsigned char *) in)[0] << 8 | ((unsigned char *) in)[1];
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        conn_on_closed(c);
        return 0;
    default:
        return 0;
    }
}

/* Sums up; the number of sockets with a fault of their own. */
static unsigned write_summary(struct load *l)
{
    uint64_t frames = 0, bytes = 0, first = UINT64_MAX, last = 0;
    unsigned troubled = 0, finished = 0;
    const char *trouble = l->failure;

    for (unsigned i = 0; i < l->next; i++) {
        struct conn *c = &l->conns[i];

        frames += c->checker.frames;
        bytes += c->checker.bytes;
        finished += c->finished;
        if (c->checker.trouble[0]) {
            troubled++;
            trouble = c->checker.trouble;
        }
        if (c->first_us && c->first_us < first)
            first = c->first_us;
        if (c->ended_us > last)
            last = c->ended_us;
    }
    double seconds = last > first ? (double) (last - first) / 1e6 : 0;

    printf("{\"event\":\"summary\",\"conns\":%u,\"opened\":%u,\"failed\":%u,\"cut\":%u,\"finished\":%u,\"troubled\":%u,\"timed_out\":%s,"
           "\"frames\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"frames_per_s\":%.0f,\"mb_per_s\":%.2f,\"exit_code\":%lld,\"trouble\":",
           l->o->conns, l->open, l->failed, l->cut, finished, troubled, l->timed_out ? "true" : "false", (unsigned long long) frames,
           (unsigned long long) bytes, seconds, seconds > 0 ? (double) frames / seconds : 0, seconds > 0 ? (double) bytes / 1e6 / seconds : 0,
           (long long) l->conns[0].checker.exit_code);
    load_write_string(stdout, trouble);
    printf(",");
    stats_write(&l->open_time, stdout, "open");
    printf(",");
    stats_write(&l->first_time, stdout, "first_frame");
    printf(",");
    stats_write(&l->round_time, stdout, "round");
    printf("}\n");
    return troubled;
}

int ws_load(const struct options *o)
{
    static const struct lws_protocols protocols[] = {
        {.name = "load", .callback = on_event, .rx_buffer_size = 128 * 1024},
        {0},
    };
    struct load l;
    bool bad;

    if (o->mode == LOAD_WS_ECHO && (o->bytes == 0 || o->bytes > ECHO_BYTES_MAX)) {
        fprintf(stderr, "bivouac-load: echo takes 1 to %d bytes a round\n", ECHO_BYTES_MAX);
        return 2;
    }
    if (load_init(&l, o, protocols, o->conns) < 0)
        return 2;
    load_pump(&l, NULL);
    load_run(&l);
    bad = write_summary(&l) > 0 || l.failed || l.cut || l.timed_out;
    lws_context_destroy(l.context);
    load_deinit(&l);
    return bad;
}
