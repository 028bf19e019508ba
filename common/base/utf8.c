/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - validation, declared in str.h. ASCII runs are checked 32 bytes at a time. */
#include "common/base/str.h"
#include <string.h>

/* How long a character that starts with `lead` is, and the range of its second byte; 0 when it starts none. */
static unsigned utf8_lead(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if ((lead & 0xf0) == 0xe0) {
        if (lead == 0xe0)
            *low = 0xa0; /* no overlong form */
        if (lead == 0xed)
            *high = 0x9f; /* no surrogate */
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *low = 0x90;
        if (lead == 0xf4)
            *high = 0x8f; /* nothing above U+10FFFF */
        return 4;
    }
    return 0;
}

static size_t ascii_run(const unsigned char *p, size_t len)
{
    const uint64_t high = 0x8080808080808080u;
    size_t i = 0;

    for (; len - i >= 32; i += 32) {
        uint64_t w[4];

        memcpy(w, p + i, 32);
        if ((w[0] | w[1] | w[2] | w[3]) & high)
            break;
    }
    for (; len - i >= 8; i += 8) {
        uint64_t w;

        memcpy(&w, p + i, 8);
        if (w & high)
            break;
    }
    while (i < len && p[i] < 0x80)
        i++;
    return i;
}

/* Bytes of the valid character at p, or 0. Its first byte is not ASCII. */
static unsigned utf8_char(const unsigned char *p, size_t len)
{
    unsigned char low, high;
    unsigned n = utf8_lead(p[0], &low, &high);

    if (n == 0 || n > len || p[1] < low || p[1] > high)
        return 0;
    for (unsigned i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

size_t utf8_valid_prefix(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    size_t i = 0;

    while (i < len) {
        if (p[i] < 0x80) {
            i += ascii_run(p + i, len - i);
            continue;
        }
        unsigned n = utf8_char(p + i, len - i);

        if (n == 0)
            break;
        i += n;
    }
    return i;
}

bool utf8_valid(const void *p, size_t len)
{
    return utf8_valid_prefix(p, len) == len;
}

size_t utf8_incomplete_tail(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    unsigned char low, high;

    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = p[len - back];

        if ((c & 0xc0) == 0x80)
            continue;
        unsigned n = utf8_lead(c, &low, &high);

        if (n <= back) /* complete, or no lead byte at all */
            return 0;
        if (back > 1 && (p[len - back + 1] < low || p[len - back + 1] > high))
            return 0;
        return back;
    }
    return 0;
}
