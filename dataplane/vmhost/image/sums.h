/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sums - the file "sums" of a snapshot: CRC32C of each 2 MiB of the memory file and of the whole state and disk files, little-endian:
 *
 *     "BIVSUMS1" | u64 memory bytes | u64 state bytes | u64 disk bytes | u32 state crc | u32 disk crc | u32 count | u32 crc * count |
 *     u32 crc of all that
 *
 * All of it blocks: for worker threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct buf;
struct err;

enum { SUMS_CHUNK = 2 * MIB, SUMS_BYTES_MAX = 8 * MIB };

struct sums_fds {
    int memory, state, disk;
};
/*
 * Reads all three files and appends the table to out. punch: makes holes of the zero pages of the memory file (writable then, and nobody
 * else has it open). Checks too that the device state is a complete stream. allocated (may be NULL): bytes of the memory file that
 * are not zero.
 */
int sums_make(const struct sums_fds *f, bool punch, struct buf *out, uint64_t *allocated, struct err *e) must_check;
/* -EBADMSG when a file differs from its table. */
int sums_verify(const struct sums_fds *f, const void *table, size_t len, struct err *e) must_check;
