/* SPDX-License-Identifier: Apache-2.0 */
/* ws_accept - the opening handshake of RFC 6455 section 4.2. SHA-1 is no protection here, only the protocol's way to say "I have read your key". */
#include <string.h>
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/http/http_internal.h"
#include "common/http/server.h"
#include "common/http/ws_internal.h"

/* ---- SHA-1 (FIPS 180-4) of a short text ---- */

static uint32_t rol(uint32_t v, int n)
{
    return v << n | v >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t) p[4 * i] << 24 | (uint32_t) p[4 * i + 1] << 16 | (uint32_t) p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k, t;

        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        t = rol(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* len < 120 */
static void sha1_short(const void *p, size_t len, uint8_t out[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t blocks[128] = {0};
    size_t total = len < 56 ? 64 : 128;

    memcpy(blocks, p, len);
    blocks[len] = 0x80;
    blocks[total - 2] = (uint8_t) (len * 8 >> 8);
    blocks[total - 1] = (uint8_t) (len * 8);
    for (size_t i = 0; i < total; i += 64)
        sha1_block(h, blocks + i);
    for (int i = 0; i < 20; i++)
        out[i] = (uint8_t) (h[i / 4] >> (24 - 8 * (i % 4)));
}

void ws_accept_text(const char *key, char out[WS_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[64 + sizeof(guid)];
    uint8_t digest[20];
    size_t len = strnlen(key, 64);

    memcpy(text, key, len);
    memcpy(text + len, guid, sizeof(guid));
    sha1_short(text, len + sizeof(guid) - 1, digest);
    base64_encode(digest, sizeof(digest), out);
}

/* ---- the handshake ---- */

bool ws_wanted(const struct http_req *r)
{
    return http_req_head(r)->upgrade && http_headers_has_token(&http_req_head(r)->headers, "upgrade", "websocket");
}

/* A key is 16 bytes in base64. */
static bool key_is_good(const char *key)
{
    uint8_t bytes[32];

    return key && strlen(key) == 24 && base64_decode(key, 24, false, bytes) == 16;
}

int ws_accept(struct http_req *r, const struct ws_conf *conf, const struct ws_ops *ops, void *arg, struct ws **out)
{
    const char *key = http_req_header(r, "Sec-WebSocket-Key"), *version = http_req_header(r, "Sec-WebSocket-Version");
    struct loop *loop = http_req_loop(r);
    struct buf first = BUF_INIT(0);
    char accept[WS_ACCEPT_LEN + 1];
    struct http_server *server;
    struct stream *s;

    if (http_req_method(r) != HTTP_GET || !ws_wanted(r)) {
        http_reply_header(r, "Upgrade", "websocket");
        http_reply_error(r, 426, "upgrade_required", "this route speaks WebSocket: GET with Connection: Upgrade and Upgrade: websocket");
        return 1;
    }
    if (!str_eq(version, "13")) {
        http_reply_header(r, "Sec-WebSocket-Version", "13");
        http_reply_error(r, 426, "upgrade_required", "only WebSocket version 13 is spoken here");
        return 1;
    }
    if (!key_is_good(key)) {
        http_reply_error(r, 400, "bad_request", "Sec-WebSocket-Key is absent or malformed");
        return 1;
    }
    ws_accept_text(key, accept);
    struct http_header items[] = {
        {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", accept}, {"Sec-WebSocket-Protocol", conf->protocol},
    };
    const struct http_headers headers = {items, conf->protocol ? 4 : 3};

    s = http_req_upgrade(r, &headers, &first, &server);
    *out = ws_new(loop, s, &first, server, conf, ops, arg);
    return 0;
}
