/* SPDX-License-Identifier: Apache-2.0 */
/* Frame heads, and whole sockets: the input are the client's frames, behind a handshake, in pieces whose size the first byte gives. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/http/ws.h"
#include "common/loop/loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 2000 };

static struct loop *loop;
static struct ws *ws;
static int closes;

static void on_message(void *arg, bool text, const void *p, size_t len)
{
    (void) arg;
    assert(len <= MESSAGE_MAX && (!text || utf8_valid(p, len)));
    ws_send_binary(ws, p, len);
    if (len == 3)
        ws_pause(ws, true);
    if (len == 4)
        ws_close(ws, 1001, "four");
}

static void on_close(void *arg, int code)
{
    (void) arg;
    assert(code >= 1000 && code < 5000);
    closes++;
    ws = NULL;
}

static void on_request(void *arg, struct http_req *r)
{
    static const struct ws_ops ops = {on_message, on_close, NULL};
    static const struct ws_conf conf = {.message_bytes_max = MESSAGE_MAX};

    (void) arg;
    if (ws_accept(r, &conf, &ops, NULL, &ws) != 0)
        abort();
}

static void turn(int fd)
{
    char sink[4096];

    assert(loop_turn(loop, 0) == 0);
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
        ;
}

static void heads(const uint8_t *data, size_t size)
{
    struct ws_frame_head h;
    uint8_t out[14];

    for (int mask = 0; mask < 2; mask++) {
        if (ws_parse_head(data, size, mask, UINT64_MAX, &h) != WS_E_OK)
            continue;
        assert(h.head_len <= size && h.masked == mask);
        assert(ws_write_head(out, h.fin, h.opcode, h.len) == h.head_len - (mask ? 4 : 0));
        assert(out[0] == data[0] && (out[1] & 0x7f) == (data[1] & 0x7f));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const struct http_server_conf conf = {.name = "fuzz"};
    struct http_server *server;
    int fds[2];

    if (size < 1)
        return 0;
    heads(data + 1, size - 1);
    if (!loop && loop_new(&loop) < 0)
        abort();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 || http_server_new(&server, loop, &conf, on_request, NULL) < 0)
        abort();
    http_server_adopt(server, fds[0]);
    closes = 0;
    if (send(fds[1], hello, sizeof(hello) - 1, MSG_NOSIGNAL) < 0)
        abort();
    for (int i = 0; i < 3 && !ws; i++)
        turn(fds[1]);
    assert(ws);
    for (size_t at = 1, step = 1 + data[0] * 4u; at < size; at += step) {
        if (send(fds[1], data + at, size - at < step ? size - at : step, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        turn(fds[1]);
    }
    turn(fds[1]);
    if (ws)
        ws_pause(ws, false);
    close(fds[1]);
    for (int i = 0; i < 4; i++)
        turn(-1);
    if (ws)
        ws_cut(ws);
    else
        assert(closes == 1);
    ws = NULL;
    http_server_free(server);
    turn(-1);
    turn(-1);
    return 0;
}
