/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* stats - samples in microseconds and their percentiles. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct stats {
    uint32_t *us; /* owned */
    size_t count, cap;
};

void stats_add(struct stats *s, uint64_t us);
/* "name":{"count":..,"min_ms":..,"p50_ms":..,"p90_ms":..,"p99_ms":..,"max_ms":..}; sorts. */
void stats_write(struct stats *s, FILE *out, const char *name);
void stats_deinit(struct stats *s);
uint64_t stats_now_us(void);
