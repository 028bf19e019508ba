/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c - see crc32c.h */
#include "dataplane/vmhost/image/crc32c.h"
#include <string.h>

static uint32_t crc32c_plain(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len; len--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t v = crc;

    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        v = __builtin_ia32_crc32di(v, word);
    }
    for (; len; len--, p++)
        v = __builtin_ia32_crc32qi((uint32_t) v, *p);
    return (uint32_t) v;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    return ~(__builtin_cpu_supports("sse4.2") ? crc32c_sse(~crc, p, len) : crc32c_plain(~crc, p, len));
}
