/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade - gives a request's connection away with a 101. */
#include <assert.h>
#include <sys/socket.h>
#include "common/http/server_internal.h"
#include "common/net/stream.h"

/* Until the new owner sets its own. */
static void upgrade_on_nothing(void *arg, unsigned events)
{
    (void) arg;
    (void) events;
}

static int upgrade_write_head(struct http_req *r, const struct http_headers *h)
{
    struct buf *out = &r->conn->out.b;
    int e = buf_printf(out, "HTTP/1.1 101 Switching Protocols\r\nX-Request-Id: %s\r\n", r->id);

    for (size_t i = 0; h && i < h->count && e == 0; i++) {
        assert(http_header_sendable(h->items[i].name, h->items[i].value));
        e = buf_printf(out, "%s: %s\r\n", h->items[i].name, h->items[i].value);
    }
    return e ? e : buf_append(out, "\r\n", 2);
}

struct stream *http_req_upgrade(struct http_req *r, const struct http_headers *h, struct buf *leftover, struct http_server **server)
{
    struct http_conn *c = r->conn;
    struct stream *s = c->stream;
    size_t sent = 0, rest_len = c->handing ? c->rest_len : c->in.len;
    const uint8_t *rest = c->handing || !rest_len ? c->rest : buf_data(&c->in);
    int e;

    assert(!r->dead && r->reply == REPLY_NONE && r->head.body == HTTP_BODY_NONE);
    e = upgrade_write_head(r, h);
    e = e ? e : sendq_flush(&c->out, s, &sent);
    if (e == 0 && rest_len)
        e = buf_append(leftover, rest, rest_len);
    /* A client that does not even take the 101 is as good as gone: the new owner reads an end. */
    if (e < 0 || sendq_len(&c->out))
        (void) shutdown(stream_fd(s), SHUT_RDWR);
    server_count_bytes(0, sent);
    *server = c->server;
    stream_want(s, 0);
    stream_set_fn(s, upgrade_on_nothing, NULL);
    req_upgraded(r);
    conn_release(c);
    return s;
}
