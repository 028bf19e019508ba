/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* crc32c - Castagnoli's polynomial, with the CPU's instruction where it has it. */
#include <stddef.h>
#include <stdint.h>

/* crc: 0 to begin, else the value so far. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);
