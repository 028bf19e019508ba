/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* link_internal - what link.c (connections, input) and link_send.c (output) share. */
#include <stdint.h>
#include "agent/procs/frames.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/loop/loop.h"

struct http_server;
struct proc;
struct stream;

enum {
    LINK_OUT_BYTES_MAX = 4 * MIB,    /* of control messages; a gateway that reads none of its results is cut */
    LINK_OUT_BYTES_HIGH = 256 * KIB, /* beyond it no more requests are read */
};

struct links {
    struct loop *loop;
    struct procs *procs;
    struct list all;
    unsigned count;
    uint64_t next_id;
};

/* One link's place in one process' frames. */
struct link_view {
    struct list link_node;  /* link.views */
    struct list proc_node;  /* proc.readers */
    struct list ready_node; /* link.ready, when there is something to send */
    struct link *link;
    struct proc *proc;
    struct frames_reader at;
    uint64_t rewind;        /* RESEND while a frame was under way: where to go on after it; 0 = none */
    uint64_t sync_to;       /* counted in link.unsynced until everything before this cursor is sent; 0 = not */
};

struct link {
    struct links *owner;
    struct list node; /* links.all */
    uint64_t id;
    struct stream *stream;      /* NULL once closed */
    struct http_server *server; /* told when it is over */
    struct buf in, out;         /* out: control messages */
    struct list views, ready;
    struct link_view *partial;  /* its frame is half sent: nothing else may come between */
    unsigned unsynced;
    bool synced;                /* SYNCED has been queued */
    bool blocked;               /* the socket is full */
    struct defer turn;
};

void link_close(struct link *l);
void link_go_on(struct link *l); /* answers have left: acts on requests that had to wait for that */

/* ---- link_send.c ---- */
int link_put(struct link *l, const struct link_msg *m) must_check; /* queues a control message */
struct link_view *link_view_get(struct link *l, struct proc *p, uint64_t next); /* finds, or makes one that begins there */
void link_view_ready(struct link_view *v);
void link_view_resend(struct link_view *v, uint64_t since);
void link_view_free(struct link_view *v);
void link_sync_check(struct link *l);
void link_kick(struct link *l); /* sends at the end of this turn */
void link_send(struct link *l);
