/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64 - RFC 4648, declared in str.h. On the path of every process frame: the encoder looks up two characters for 12
 * bits at a time, the decoder adds up four shifted values and looks for a bad one only once a group.
 */
#include "common/base/str.h"
#include <errno.h>
#include <string.h>

#define CH(v)                                                                                      \
    ((char) ((v) < 26    ? 'A' + (v)                                                               \
             : (v) < 52  ? 'a' + (v) - 26                                                          \
             : (v) < 62  ? '0' + (v) - 52                                                          \
             : (v) == 62 ? '+'                                                                     \
                         : '/'))
#define P1(i) {CH((i) >> 6), CH((i) & 63)}
#define P4(i) P1(i), P1((i) + 1), P1((i) + 2), P1((i) + 3)
#define P16(i) P4(i), P4((i) + 4), P4((i) + 8), P4((i) + 12)
#define P64(i) P16(i), P16((i) + 16), P16((i) + 32), P16((i) + 48)
#define P256(i) P64(i), P64((i) + 64), P64((i) + 128), P64((i) + 192)
#define P1024(i) P256(i), P256((i) + 256), P256((i) + 512), P256((i) + 768)

static const char base64_pairs[4096][2] = {P1024(0), P1024(1024), P1024(2048), P1024(3072)};

static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { BASE64_BAD = 0x80 };

#define VALUE(c, c62, c63)                                                                         \
    ((unsigned char) ((c) >= 'A' && (c) <= 'Z'   ? (c) - 'A'                                       \
                      : (c) >= 'a' && (c) <= 'z' ? (c) - 'a' + 26                                  \
                      : (c) >= '0' && (c) <= '9' ? (c) - '0' + 52                                  \
                      : (c) == (c62)             ? 62                                              \
                      : (c) == (c63)             ? 63                                              \
                                                 : BASE64_BAD))
#define V4(i, a, b) VALUE(i, a, b), VALUE((i) + 1, a, b), VALUE((i) + 2, a, b), VALUE((i) + 3, a, b)
#define V16(i, a, b) V4(i, a, b), V4((i) + 4, a, b), V4((i) + 8, a, b), V4((i) + 12, a, b)
#define V64(i, a, b) V16(i, a, b), V16((i) + 16, a, b), V16((i) + 32, a, b), V16((i) + 48, a, b)

static const unsigned char base64_values[256] = {V64(0, '+', '/'), V64(64, '+', '/'), V64(128, '+', '/'), V64(192, '+', '/')};
static const unsigned char base64url_values[256] = {V64(0, '-', '_'), V64(64, '-', '_'), V64(128, '-', '_'), V64(192, '-', '_')};

void base64_encode(const void *p, size_t len, char *out)
{
    const unsigned char *from = p;

    for (; len >= 6; len -= 6, from += 6, out += 8) {
        uint64_t w = (uint64_t) from[0] << 40 | (uint64_t) from[1] << 32 | (uint64_t) from[2] << 24 |
                     (uint64_t) from[3] << 16 | (uint64_t) from[4] << 8 | from[5];

        memcpy(out, base64_pairs[w >> 36], 2);
        memcpy(out + 2, base64_pairs[w >> 24 & 0xfff], 2);
        memcpy(out + 4, base64_pairs[w >> 12 & 0xfff], 2);
        memcpy(out + 6, base64_pairs[w & 0xfff], 2);
    }
    if (len >= 3) {
        memcpy(out, base64_pairs[from[0] << 4 | from[1] >> 4], 2);
        memcpy(out + 2, base64_pairs[(from[1] & 15) << 8 | from[2]], 2);
        len -= 3;
        from += 3;
        out += 4;
    }
    if (len) {
        unsigned second = len == 2 ? from[1] : 0;

        memcpy(out, base64_pairs[from[0] << 4 | second >> 4], 2);
        out[2] = len == 2 ? base64_pairs[(second & 15) << 8][0] : '=';
        out[3] = '=';
        out += 4;
    }
    *out = '\0';
}

/* Decodes without padding; `values` says which alphabet. */
static ssize_t base64_decode_body(const unsigned char *s, size_t len, const unsigned char *values, unsigned char *out)
{
    unsigned char *to = out;

    for (; len >= 4; len -= 4, s += 4, to += 3) {
        unsigned a = values[s[0]], b = values[s[1]], c = values[s[2]], d = values[s[3]];

        if ((a | b | c | d) & BASE64_BAD)
            return -EINVAL;
        to[0] = (unsigned char) (a << 2 | b >> 4);
        to[1] = (unsigned char) (b << 4 | c >> 2);
        to[2] = (unsigned char) (c << 6 | d);
    }
    if (len == 0)
        return to - out;
    if (len == 1)
        return -EINVAL;
    unsigned a = values[s[0]], b = values[s[1]], c = len == 3 ? values[s[2]] : 0;

    /* The bits that belong to no byte are zero: one text for one value. */
    if (((a | b | c) & BASE64_BAD) || (len == 2 ? b & 15 : c & 3))
        return -EINVAL;
    *to++ = (unsigned char) (a << 2 | b >> 4);
    if (len == 3)
        *to++ = (unsigned char) (b << 4 | c >> 2);
    return to - out;
}

ssize_t base64_decode(const char *s, size_t len, bool lenient, void *out)
{
    size_t body = len;

    if (len % 4 == 0) {
        if (body && s[body - 1] == '=')
            body--;
        if (body && body < len && s[body - 1] == '=')
            body--;
    } else if (!lenient) {
        return -EINVAL;
    }
    return base64_decode_body((const unsigned char *) s, body, base64_values, out);
}

void base64url_encode(const void *p, size_t len, char *out)
{
    const unsigned char *from = p;
    unsigned bits = 0, have = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | from[i];
        for (have += 8; have >= 6; have -= 6)
            *out++ = base64url_alphabet[bits >> (have - 6) & 63];
    }
    if (have)
        *out++ = base64url_alphabet[bits << (6 - have) & 63];
    *out = '\0';
}

ssize_t base64url_decode(const char *s, size_t len, void *out)
{
    return base64_decode_body((const unsigned char *) s, len, base64url_values, out);
}
