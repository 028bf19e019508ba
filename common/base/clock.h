/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* clock - monotonic and wall time, RFC 3339. Tests may replace the source with clock_fake(). */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
uint64_t clock_real_ns(void); /* since 1970 */
int64_t clock_real_ms(void);

enum { CLOCK_RFC3339_SIZE = 32 };
/* "2026-01-02T03:04:05Z"; fraction digits 0, 3 or 6. */
void clock_rfc3339(int64_t real_us, int digits, char out[CLOCK_RFC3339_SIZE]);
/* Accepts any RFC 3339 time with Z or an offset; microseconds since 1970. */
int clock_parse_rfc3339(const char *s, int64_t *real_us) must_check;

/* For tests: both clocks return these until called with NULL. */
void clock_fake(const uint64_t *mono_ns, const uint64_t *real_ns);
