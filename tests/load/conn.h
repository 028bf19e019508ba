/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* conn - what both kinds of load share: one library context, connections opened a few at a time, one deadline. */
#include <libwebsockets.h>
#include <stdbool.h>
#include <stdint.h>
#include "tests/load/frame.h"
#include "tests/load/options.h"
#include "tests/load/stats.h"

struct load;

struct conn {
    struct load *load;
    unsigned index;
    struct lws *wsi;
    uint64_t began_us, opened_us, first_us, ended_us;
    bool opening, open, ended;
    bool finished;       /* the server closed it in order, or we were done */
    unsigned close_code; /* WebSocket; 0 = none seen */
    unsigned http_status;
    /* ws */
    struct frame_checker checker;
    char *message;       /* owned: the message that is being received */
    size_t message_len, message_cap;
    char *out;           /* owned: the message to send, behind LWS_PRE bytes */
    size_t out_len;
    unsigned round;
    uint64_t round_began_us, round_bytes;
    /* http */
    uint64_t sent;
    uint64_t received;
};

struct load {
    const struct options *o;
    struct lws_context *context;
    struct conn *conns; /* owned */
    unsigned next, opening, open, ended, failed, cut;
    uint64_t began_us, all_open_us, ended_us;
    struct stats open_time, first_time, round_time;
    bool stop, timed_out;
    lws_sorted_usec_list_t deadline, hold;
    char failure[400]; /* the first one */
};

int load_init(struct load *l, const struct options *o, const struct lws_protocols *protocols, unsigned conns);
void load_deinit(struct load *l);
/* Starts as many connections as --opening allows. method NULL = WebSocket. */
void load_pump(struct load *l, const char *method);
void load_run(struct load *l);
void load_failed(struct conn *c, const char *why);
/* Appends "Authorization: Bearer" to a handshake; false when there is no room. */
bool load_add_token(const struct options *o, struct lws *wsi, unsigned char **p, unsigned char *end);
void load_write_string(FILE *out, const char *s); /* as JSON */

int ws_load(const struct options *o);
int http_load(const struct options *o);
