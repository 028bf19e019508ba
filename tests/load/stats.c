/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/stats.h"
#include <stdlib.h>
#include <time.h>
#include "common/base/mem.h"

uint64_t stats_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

void stats_add(struct stats *s, uint64_t us)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1024;
        s->us = xrealloc(s->us, s->cap * sizeof(*s->us));
    }
    s->us[s->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t) us;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}

static double percentile_ms(const struct stats *s, double p)
{
    size_t at = (size_t) (p * (double) s->count);

    return s->count ? s->us[at < s->count ? at : s->count - 1] / 1000.0 : 0;
}

void stats_write(struct stats *s, FILE *out, const char *name)
{
    if (s->count)
        qsort(s->us, s->count, sizeof(*s->us), by_value);
    fprintf(out, "\"%s\":{\"count\":%zu,\"min_ms\":%.3f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", name,
            s->count, percentile_ms(s, 0), percentile_ms(s, 0.5), percentile_ms(s, 0.9), percentile_ms(s, 0.99), percentile_ms(s, 1));
}

void stats_deinit(struct stats *s)
{
    free(s->us);
    *s = (struct stats){0};
}
