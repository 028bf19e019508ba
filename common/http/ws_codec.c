/* SPDX-License-Identifier: Apache-2.0 */
/* ws_codec - frame heads and masks of RFC 6455 section 5; no I/O. */
#include <string.h>
#include "common/http/ws.h"
#include "common/http/ws_internal.h"

int ws_parse_head(const void *p, size_t len, bool want_mask, uint64_t bytes_max, struct ws_frame_head *out)
{
    const uint8_t *s = p;
    struct ws_frame_head h = {.head_len = 2};
    unsigned extra = 0;

    if (len < 1)
        return WS_E_MORE;
    h.fin = s[0] & 0x80;
    h.opcode = s[0] & 0x0f;
    if ((s[0] & 0x70) || (h.opcode > WS_OP_BINARY && h.opcode < WS_OP_CLOSE) || h.opcode > WS_OP_PONG)
        return WS_E_PROTOCOL; /* extension bits without an extension, or an opcode without a meaning */
    if (len < 2)
        return WS_E_MORE;
    h.masked = s[1] & 0x80;
    h.len = s[1] & 0x7f;
    if (h.masked != want_mask || (h.opcode >= WS_OP_CLOSE && (!h.fin || h.len > WS_CONTROL_MAX)))
        return WS_E_PROTOCOL;
    if (h.len >= 126)
        extra = h.len == 126 ? 2 : 8;
    h.head_len += extra + (h.masked ? 4 : 0);
    if (len < h.head_len)
        return WS_E_MORE;
    if (extra) {
        h.len = 0;
        for (unsigned i = 0; i < extra; i++)
            h.len = h.len << 8 | s[2 + i];
        if (h.len < (extra == 2 ? 126 : 65536) || h.len >> 63)
            return WS_E_PROTOCOL; /* not the shortest form */
    }
    if (h.masked)
        memcpy(h.mask, s + 2 + extra, 4);
    if (h.len > bytes_max)
        return WS_E_TOO_LARGE;
    *out = h;
    return WS_E_OK;
}

unsigned ws_write_head(uint8_t out[14], bool fin, uint8_t opcode, uint64_t len)
{
    unsigned extra = len < 126 ? 0 : len < 65536 ? 2 : 8;

    out[0] = (uint8_t) ((fin ? 0x80 : 0) | opcode);
    out[1] = (uint8_t) (extra == 0 ? len : extra == 2 ? 126 : 127);
    for (unsigned i = 0; i < extra; i++)
        out[2 + i] = (uint8_t) (len >> (8 * (extra - 1 - i)));
    return 2 + extra;
}

void ws_unmask(uint8_t *p, size_t len, const uint8_t mask[4], size_t offset)
{
    uint8_t turned[8];
    uint64_t wide, v[4];

    for (int i = 0; i < 8; i++)
        turned[i] = mask[(offset + (size_t) i) & 3];
    memcpy(&wide, turned, 8);
    for (; len >= sizeof(v); p += sizeof(v), len -= sizeof(v)) {
        memcpy(v, p, sizeof(v));
        v[0] ^= wide;
        v[1] ^= wide;
        v[2] ^= wide;
        v[3] ^= wide;
        memcpy(p, v, sizeof(v));
    }
    for (size_t i = 0; i < len; i++)
        p[i] ^= turned[i & 3];
}
