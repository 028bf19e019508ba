/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-frame-agent - the other end of the agent link with nothing behind it: START {"cmd":"frames","args":["COUNT","BYTES"]} makes it
 * send COUNT frames of BYTES bytes as fast as the gateway takes them. So what is measured is gateway, Redis and client, not a guest.
 * Keeps the agent's rule: at most 16 MiB that are not acknowledged. One link at a time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/wire/agent_link.h"

enum { UNACKED_MAX = 16 * MIB, OUT_HIGH = 256 * KIB, READ_BYTES = 128 * KIB };

struct process { /* one at a time is enough */
    bool runs, ended;
    char pid[LINK_PID_MAX + 1];
    uint64_t count, sent, cursor, acked;
    size_t bytes;
};

struct session {
    int fd;
    struct buf in, out;
    struct process proc;
    bool upgraded;
    unsigned next_pid;
};

static no_return void fail(const char *what)
{
    fprintf(stderr, "bench-frame-agent: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void must(int r)
{
    if (r < 0) {
        errno = -r;
        fail("buffer");
    }
}

static void send_frame(struct session *s, enum link_kind kind, const void *data, size_t len)
{
    struct process *p = &s->proc;
    struct link_msg m = {.type = LINK_FRAME, .kind = kind, .cursor = p->cursor, .pid = p->pid, .pid_len = (uint8_t) strlen(p->pid),
                         .data = data, .data_len = len};

    must(link_encode(&s->out, &m));
    p->cursor += 2;
}

static void send_json_frame(struct session *s, enum link_kind kind)
{
    struct buf json = BUF_INIT(64 * KIB);
    struct link_started started = {.os_pid = 4242, .started_at_us = clock_real_ms() * 1000, .cmd = (char *) "frames",
                                   .cwd = (char *) "/", .user = (char *) "user"};
    struct link_exit ended = {.finished_at_us = clock_real_ms() * 1000};

    must(kind == LINK_STARTED ? link_write_started(&json, &started) : link_write_exit(&json, &ended));
    send_frame(s, kind, buf_data(&json), json.len);
    buf_deinit(&json);
}

static void on_start(struct session *s, const struct link_msg *m)
{
    struct process *p = &s->proc;
    struct arena *a = arena_new(MIB);
    struct link_start start;
    struct link_result result = {.os_pid = 4242};
    struct buf json = BUF_INIT(64 * KIB);
    uint64_t bytes = 64;

    *p = (struct process){.cursor = 1};
    if (json_decode(&link_start_table, m->data, m->data_len, a, &start, NULL) < 0 || start.args.count < 2 ||
        str_to_u64(start.args.items[0], &p->count) < 0 || str_to_u64(start.args.items[1], &bytes) < 0 || !bytes || bytes > LINK_DATA_MAX) {
        result.error = (char *) "command_not_found";
        result.message = (char *) "frames COUNT BYTES";
    } else {
        p->runs = true;
        p->bytes = bytes;
    }
    if (!start.id || !str_copy(p->pid, sizeof(p->pid), start.id))
        snprintf(p->pid, sizeof(p->pid), "proc-%u", ++s->next_pid);
    result.pid = p->runs ? p->pid : NULL;
    must(link_write_result(&json, &result));
    must(link_encode(&s->out, &(struct link_msg){.type = LINK_RESULT, .req = m->req, .data = buf_data(&json), .data_len = json.len}));
    if (p->runs)
        send_json_frame(s, LINK_STARTED);
    buf_deinit(&json);
    arena_free(a);
}

static void on_message(struct session *s, const struct link_msg *m)
{
    static const char ok[] = "{}";

    switch (m->type) {
    case LINK_START:
        on_start(s, m);
        break;
    case LINK_ACK:
        /* Late ones of the process before are none of ours. */
        if (m->pid_len == strlen(s->proc.pid) && memcmp(m->pid, s->proc.pid, m->pid_len) == 0 && m->cursor > s->proc.acked &&
            m->cursor < s->proc.cursor)
            s->proc.acked = m->cursor;
        break;
    case LINK_PING:
        must(link_encode(&s->out, &(struct link_msg){.type = LINK_PONG, .req = m->req}));
        break;
    case LINK_RESEND:
        break; /* everything is sent once; a measurement that loses its link is void */
    default:
        must(link_encode(&s->out, &(struct link_msg){.type = LINK_RESULT, .req = m->req, .data = (const uint8_t *) ok, .data_len = 2}));
    }
}

/* The request must be whole; it is the gateway's, so nothing more is checked than what it is for. */
static void on_request(struct session *s)
{
    static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " LINK_UPGRADE "\r\nConnection: Upgrade\r\n\r\n";
    static const char other[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"processes\":[]}";
    const char *end, *text = buf_cstr(&s->in);

    end = text ? strstr(text, "\r\n\r\n") : NULL;
    if (!end)
        return;
    s->upgraded = strncmp(text, "GET /agent/v1/link ", 19) == 0;
    must(buf_append_str(&s->out, s->upgraded ? upgrade : other));
    buf_consume(&s->in, (size_t) (end + 4 - text));
    if (s->upgraded)
        must(link_encode(&s->out, &(struct link_msg){.type = LINK_SYNCED}));
}

static void on_input(struct session *s)
{
    struct link_msg m;
    size_t used;
    int r;

    if (!s->upgraded)
        on_request(s);
    while (s->upgraded && (r = link_decode(buf_data(&s->in), s->in.len, &m, &used)) != LINK_E_MORE) {
        if (r == LINK_E_BAD) {
            errno = EPROTO;
            fail("the gateway's message");
        }
        on_message(s, &m);
        buf_consume(&s->in, used);
    }
}

static bool may_produce(const struct session *s)
{
    const struct process *p = &s->proc;

    return p->runs && s->out.len < OUT_HIGH && (p->cursor - p->acked) / 2 * p->bytes < UNACKED_MAX;
}

static void produce(struct session *s)
{
    static uint8_t bytes[LINK_DATA_MAX];
    struct process *p = &s->proc;

    if (!bytes[0]) {
        memset(bytes, 'x', sizeof(bytes));
        bytes[0] = 'b';
    }
    while (may_produce(s)) {
        if (p->sent == p->count) {
            send_json_frame(s, LINK_EXIT);
            p->runs = false;
            return;
        }
        send_frame(s, LINK_STDOUT, bytes, p->bytes);
        p->sent++;
    }
}

/* False when the peer has gone. */
static bool session_turn(struct session *s)
{
    struct pollfd p = {.fd = s->fd, .events = (short) (POLLIN | (s->out.len || may_produce(s) ? POLLOUT : 0))};
    ssize_t n;

    if (poll(&p, 1, -1) < 0)
        return errno == EINTR;
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
        uint8_t *to = buf_reserve(&s->in, READ_BYTES);

        n = to ? recv(s->fd, to, READ_BYTES, MSG_DONTWAIT) : -1;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        if (n > 0)
            buf_commit(&s->in, (size_t) n);
        on_input(s);
    }
    produce(s);
    if (s->out.len) {
        n = send(s->fd, buf_data(&s->out), s->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n > 0)
            buf_consume(&s->out, (size_t) n);
    }
    return true;
}

int main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    socklen_t len = sizeof(a);

    if (l < 0 || bind(l, (struct sockaddr *) &a, len) < 0 || listen(l, 64) < 0 || getsockname(l, (struct sockaddr *) &a, &len) < 0)
        fail("listen");
    printf("listening on 127.0.0.1:%u\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        struct session s = {.fd = accept4(l, NULL, NULL, SOCK_CLOEXEC), .in = BUF_INIT(16 * MIB), .out = BUF_INIT(16 * MIB)};

        if (s.fd < 0)
            fail("accept");
        /* Other requests come on connections of their own: one process for each keeps this simple. */
        signal(SIGCHLD, SIG_IGN);
        if (fork() == 0) {
            close(l);
            setsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            while (session_turn(&s))
                ;
            _exit(0);
        }
        close(s.fd);
    }
}
