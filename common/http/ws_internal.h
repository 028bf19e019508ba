/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* ws_internal - what ws.c, ws_codec.c and ws_accept.c share. */
#include <stdint.h>
#include "common/http/ws.h"

struct buf;
struct http_server;
struct loop;
struct stream;

enum { WS_OP_CONTINUATION = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8, WS_OP_PING = 9, WS_OP_PONG = 10 };
enum { WS_CONTROL_MAX = 125, WS_ACCEPT_LEN = 28 };

/* Takes the stream, the bytes in `first` and the server's count of the connection. */
struct ws *ws_new(struct loop *l, struct stream *s, struct buf *first, struct http_server *server, const struct ws_conf *conf,
                  const struct ws_ops *ops, void *arg);
/* RFC 6455 4.2.2: what proves that the key was read. */
void ws_accept_text(const char *key, char out[WS_ACCEPT_LEN + 1]);
