/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sha256 - FIPS 180-4, for image checksums and fingerprints. */
#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
};
void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *p, size_t len);
void sha256_final_hex(struct sha256 *s, char out[65]);
