/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/memory.h"
#include <sys/sysinfo.h>
#include "common/base/attr.h"

enum { BUDGET_MIN = 16 * MIB, BUDGET_MAX = 256 * MIB, RESERVE_REST = 32 * MIB };

uint64_t memory_frames_budget(void)
{
    struct sysinfo si;
    uint64_t share;

    if (sysinfo(&si) < 0)
        return BUDGET_MIN;
    share = (uint64_t) si.totalram * si.mem_unit / 16;
    if (share < BUDGET_MIN)
        return BUDGET_MIN;
    return share > BUDGET_MAX ? BUDGET_MAX : share;
}

uint64_t memory_reserve(void)
{
    return memory_frames_budget() + RESERVE_REST;
}
