/* SPDX-License-Identifier: Apache-2.0 */
/* sha256 - see sha256.h; uses the CPU's SHA instructions where it has them */
#include "dataplane/vmhost/image/sha256.h"
#include "common/base/str.h"
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha256_blocks_plain(uint32_t h[8], const uint8_t *p, size_t count)
{
    for (; count; count--, p += 64) {
        uint32_t w[64], v[8];

        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t) p[4 * i] << 24 | (uint32_t) p[4 * i + 1] << 16 | (uint32_t) p[4 * i + 2] << 8 | p[4 * i + 3];
        for (int i = 16; i < 64; i++) {
            uint32_t a = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t b = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;

            w[i] = w[i - 16] + a + w[i - 7] + b;
        }
        memcpy(v, h, sizeof(v));
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha256_k[i] + w[i];
            uint32_t t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

            memmove(v + 1, v, 7 * sizeof(v[0]));
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++)
            h[i] += v[i];
    }
}

/* Four rounds each turn; the message schedule runs along. State is kept as ABEF and CDGH, as the instructions want it. */
__attribute__((target("sha,sse4.1,ssse3"))) static void sha256_blocks_ni(uint32_t h[8], const uint8_t *p, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i tmp = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *) &h[0]), 0xb1);
    __m128i cdgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *) &h[4]), 0x1b);
    __m128i abef = _mm_alignr_epi8(tmp, cdgh, 8);

    cdgh = _mm_blend_epi16(cdgh, tmp, 0xf0);
    for (; count; count--, p += 64) {
        const __m128i abef0 = abef, cdgh0 = cdgh;
        __m128i w[4];

        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *) (p + 16 * i)), swap);
        for (int i = 0; i < 16; i++) {
            __m128i m = _mm_add_epi32(w[0], _mm_loadu_si128((const __m128i *) &sha256_k[4 * i]));
            __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));

            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, m);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(m, 0x0e));
            next = _mm_sha256msg2_epu32(next, w[3]);
            w[0] = w[1];
            w[1] = w[2];
            w[2] = w[3];
            w[3] = next;
        }
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    tmp = _mm_shuffle_epi32(abef, 0x1b);
    cdgh = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *) &h[0], _mm_blend_epi16(tmp, cdgh, 0xf0));
    _mm_storeu_si128((__m128i *) &h[4], _mm_alignr_epi8(cdgh, tmp, 8));
}

static void sha256_blocks(uint32_t h[8], const uint8_t *p, size_t count)
{
    static int has_ni = -1;

    if (has_ni < 0) {
        unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

        (void) __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx); /* zeros when the CPU has no such leaf */
        has_ni = (ebx >> 29) & 1 && __builtin_cpu_supports("sse4.1");
    }
    if (has_ni)
        sha256_blocks_ni(h, p, count);
    else
        sha256_blocks_plain(h, p, count);
}

void sha256_init(struct sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memset(s, 0, sizeof(*s));
    memcpy(s->h, start, sizeof(start));
}

void sha256_update(struct sha256 *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t have = s->bytes % 64;

    s->bytes += len;
    if (have) {
        size_t part = 64 - have < len ? 64 - have : len;

        memcpy(s->block + have, p, part);
        p += part;
        len -= part;
        if (have + part < 64)
            return;
        sha256_blocks(s->h, s->block, 1);
    }
    sha256_blocks(s->h, p, len / 64);
    memcpy(s->block, p + len / 64 * 64, len % 64);
}

void sha256_final_hex(struct sha256 *s, char out[65])
{
    uint64_t bits = s->bytes * 8;
    uint8_t pad[72] = {0x80}, digest[32];
    size_t len = 64 - (s->bytes + 8) % 64;

    for (int i = 0; i < 8; i++)
        pad[len + (size_t) i] = (uint8_t) (bits >> (56 - 8 * i));
    sha256_update(s, pad, len + 8);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t) (s->h[i / 4] >> (24 - 8 * (i % 4)));
    hex_encode(digest, sizeof(digest), out);
}
