/* SPDX-License-Identifier: Apache-2.0 */
/* idset - open addressing, at most half full. */
#include "agent/procs/idset.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/id.h"
#include "common/base/mem.h"

enum { IDSET_CAP_MIN = 64 };

void idset_init(struct idset *s)
{
    memset(s, 0, sizeof(*s));
    random_bytes(s->key, sizeof(s->key));
}

void idset_deinit(struct idset *s)
{
    free(s->slots);
    memset(s, 0, sizeof(*s));
}

static uint64_t mix(uint64_t v)
{
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    v ^= v >> 32;
    v *= 0xd6e8feb86659fd93u;
    return v ^ (v >> 32);
}

static uint64_t idset_print(const struct idset *s, const char *id)
{
    uint64_t h = s->key[0];

    for (; *id; id++)
        h = mix(h ^ (uint8_t) *id) + s->key[1];
    return h ? h : 1;
}

/* The slot that holds it, or the free one where it belongs. */
static uint64_t *idset_slot(uint64_t *slots, size_t cap, uint64_t print)
{
    size_t i = (size_t) print & (cap - 1);

    while (slots[i] && slots[i] != print)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

bool idset_has(const struct idset *s, const char *id)
{
    return s->cap && *idset_slot(s->slots, s->cap, idset_print(s, id));
}

static void idset_grow(struct idset *s)
{
    size_t cap = s->cap ? s->cap * 2 : IDSET_CAP_MIN;
    uint64_t *slots = xcalloc(cap, sizeof(*slots));

    for (size_t i = 0; i < s->cap; i++) {
        if (s->slots[i])
            *idset_slot(slots, cap, s->slots[i]) = s->slots[i];
    }
    free(s->slots);
    s->slots = slots;
    s->cap = cap;
}

void idset_add(struct idset *s, const char *id)
{
    uint64_t print = idset_print(s, id);

    if ((s->count + 1) * 2 > s->cap)
        idset_grow(s);
    uint64_t *slot = idset_slot(s->slots, s->cap, print);

    if (!*slot)
        s->count++;
    *slot = print;
}
