/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * idset - which process ids clients have chosen so far, for the whole life of the machine. Keeps a 64-bit keyed fingerprint of each:
 * one in 10^13 new ids is taken for a used one, a used one is never taken for new.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

enum { IDSET_COUNT_MAX = 1000000 };

struct idset {
    uint64_t *slots; /* owned; 0 = free */
    size_t cap, count;
    uint64_t key[2];
};
void idset_init(struct idset *s);
void idset_deinit(struct idset *s);
bool idset_has(const struct idset *s, const char *id);
void idset_add(struct idset *s, const char *id);
static inline bool idset_full(const struct idset *s)
{
    return s->count >= IDSET_COUNT_MAX;
}
