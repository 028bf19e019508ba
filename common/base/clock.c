/* SPDX-License-Identifier: Apache-2.0 */
/* clock - see clock.h; text forms are in rfc3339.c */
#include "common/base/clock.h"
#include <assert.h>
#include <time.h>

static const uint64_t *clock_fake_mono; /* NULL: the system's */
static const uint64_t *clock_fake_real;

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);

    assert(r == 0);
    return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return clock_fake_mono ? *clock_fake_mono : clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

uint64_t clock_real_ns(void)
{
    return clock_fake_real ? *clock_fake_real : clock_read_ns(CLOCK_REALTIME);
}

int64_t clock_real_ms(void)
{
    return (int64_t) (clock_real_ns() / 1000000u);
}

void clock_fake(const uint64_t *mono_ns, const uint64_t *real_ns)
{
    clock_fake_mono = mono_ns;
    clock_fake_real = real_ns;
}
