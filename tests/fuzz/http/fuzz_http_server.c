/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole server on one end of a socket pair, the input on the other: heads, bodies, pipelining, routes of every kind, upgrades.
 * The first byte says in which pieces the input arrives and how the client leaves.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/loop/loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct ws *socket_open;
static unsigned owed; /* requests whose end has not been told */

static void on_gone(void *arg, struct http_req *r)
{
    (void) arg;
    (void) r;
    owed--;
}

static void on_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    owed--;
    http_reply(r, 200, "text/plain", p, len);
}

static void on_data(void *arg, struct http_req *r, const void *p, size_t len)
{
    (void) arg;
    if (len && ((const char *) p)[0] == 'p')
        http_req_pause(r, true);
    if (!http_reply_begun(r))
        http_reply_begin(r, 200, NULL, -1);
    http_reply_data(r, p, len);
}

static void on_end(void *arg, struct http_req *r, int result)
{
    (void) arg;
    owed--;
    if (result < 0)
        return;
    if (!http_reply_begun(r))
        http_reply_begin(r, 200, NULL, -1);
    http_reply_end(r);
}

static void on_message(void *arg, bool text, const void *p, size_t len)
{
    (void) arg;
    if (text)
        ws_send_text(socket_open, p, len);
    else
        ws_close(socket_open, 1000, "bye");
}

static void on_close(void *arg, int code)
{
    (void) arg;
    assert(code >= 1000 && code < 5000);
    socket_open = NULL;
}

static void on_request(void *arg, struct http_req *r)
{
    static const struct ws_ops ops = {on_message, on_close, NULL};
    static const struct ws_conf conf = {.message_bytes_max = 4096};
    const char *path = http_req_path(r);
    char c = path[0] ? path[1] : 0;

    (void) arg;
    (void) http_req_query(r, "x");
    if (c == 'w' && !socket_open) {
        if (ws_accept(r, &conf, &ops, NULL, &socket_open) != 0)
            socket_open = NULL;
        return;
    }
    owed++;
    http_req_on_gone(r, on_gone, NULL);
    if (c == 'b')
        http_req_body(r, 1000, on_body, NULL);
    else if (c == 's')
        http_req_stream(r, on_data, on_end, NULL);
    else if (c != 'k') { /* 'k' keeps it for ever */
        owed--;
        http_reply_error(r, 404, "not_found", "no");
    }
}

static void turn(int fd)
{
    char sink[4096];

    assert(loop_turn(loop, 0) == 0);
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_server_conf conf = {.name = "fuzz"};
    struct http_server *server;
    int fds[2];

    if (size < 1)
        return 0;
    if (!loop && loop_new(&loop) < 0)
        abort();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 || http_server_new(&server, loop, &conf, on_request, NULL) < 0)
        abort();
    http_server_adopt(server, fds[0]);
    size_t step = 1 + (data[0] & 0x3f) * (data[0] & 0x3f);

    turn(fds[1]);
    for (size_t at = 1; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;

        if (send(fds[1], data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        turn(fds[1]);
    }
    turn(fds[1]);
    if (data[0] & 0x80)
        shutdown(fds[1], SHUT_WR);
    turn(fds[1]);
    close(fds[1]);
    turn(-1);
    turn(-1);
    if (socket_open)
        ws_cut(socket_open);
    socket_open = NULL;
    http_server_free(server);
    turn(-1);
    turn(-1);
    assert(owed == 0); /* each request's end was told exactly once */
    return 0;
}
