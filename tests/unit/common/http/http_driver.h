/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* http_driver - a loop, a server on loopback and raw clients, driven in one thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/http/parse.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

struct driver {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
};
void driver_open(struct driver *d, const struct http_limits *lim, http_request_fn *fn, void *arg);
void driver_close(struct driver *d);
/* Turns the loop for a while. */
void driver_run(struct driver *d, uint32_t ms);
/* Turns until *flag; fails the test after 10 s. */
void driver_until(struct driver *d, const volatile int *flag);

struct raw {
    struct driver *d;
    int fd;
    struct buf in;
    bool ended; /* end of file or reset */
    int error;  /* errno of the end */
};
struct answer {
    struct arena *arena;
    struct http_head head;
    struct buf body;
    unsigned interim; /* 1xx before it */
    bool whole;       /* ended as its framing says */
};
void raw_open(struct raw *c, struct driver *d);
void raw_open_port(struct raw *c, struct driver *d, uint16_t port);
void raw_close(struct raw *c);
void raw_reset(struct raw *c); /* close with RST */
void raw_send(struct raw *c, const void *p, size_t len); /* turns the loop while the socket is full */
void raw_text(struct raw *c, const char *s);
/* Reads what is there without waiting. */
void raw_poll(struct raw *c);
/* Waits for a whole answer (or the end). */
void raw_answer(struct raw *c, bool head_request, struct answer *out);
void answer_free(struct answer *a);
/* Waits for the end of the connection; fails after `ms`. */
void raw_wait_end(struct raw *c, uint32_t ms);
/* Sends, reads the answer, checks the status. */
void raw_ask(struct raw *c, const char *text, int status, struct answer *out);
void raw_wait_bytes(struct raw *c, size_t n); /* at least n bytes in c->in */

/* A scripted upstream: a listening socket and what connects to it. */
int listen_raw(uint16_t *port);
void raw_accept(struct raw *c, struct driver *d, int listener);
