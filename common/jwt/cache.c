/* SPDX-License-Identifier: Apache-2.0 */
/* cache - claims of verified tokens by the token's digest. Bounded; entries are wiped when they go. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/jwt/jwt_internal.h"

struct cache_entry {
    struct list node; /* in `used`, the most recent first */
    uint8_t digest[JWT_DIGEST_LEN];
    struct session_claims claims;
};

struct jwt_cache {
    struct map *entries; /* digest -> struct cache_entry, owned */
    struct list used;
    unsigned entries_max;
};

struct jwt_cache *jwt_cache_new(unsigned entries_max)
{
    struct jwt_cache *c = xnew(struct jwt_cache);

    assert(entries_max > 0);
    c->entries = map_new();
    c->entries_max = entries_max;
    list_init(&c->used);
    return c;
}

static void entry_remove(struct jwt_cache *c, struct cache_entry *x)
{
    map_del_n(c->entries, x->digest, sizeof(x->digest));
    list_del(&x->node);
    mem_wipe(x, sizeof(*x));
    free(x);
}

const struct session_claims *jwt_cache_find(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN])
{
    struct cache_entry *x = map_get_n(c->entries, digest, JWT_DIGEST_LEN);

    if (!x)
        return NULL;
    list_del(&x->node);
    list_prepend(&c->used, &x->node);
    return &x->claims;
}

void jwt_cache_put(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN], const struct session_claims *claims)
{
    struct cache_entry *x;

    jwt_cache_drop(c, digest);
    if (map_count(c->entries) >= c->entries_max)
        entry_remove(c, LIST_ENTRY(c->used.prev, struct cache_entry, node));
    x = xnew(struct cache_entry);
    memcpy(x->digest, digest, JWT_DIGEST_LEN);
    x->claims = *claims;
    map_put_n(c->entries, x->digest, sizeof(x->digest), x);
    list_prepend(&c->used, &x->node);
}

void jwt_cache_drop(struct jwt_cache *c, const uint8_t digest[JWT_DIGEST_LEN])
{
    struct cache_entry *x = map_get_n(c->entries, digest, JWT_DIGEST_LEN);

    if (x)
        entry_remove(c, x);
}

void jwt_cache_clear(struct jwt_cache *c)
{
    while (!list_empty(&c->used))
        entry_remove(c, LIST_ENTRY(c->used.next, struct cache_entry, node));
}

unsigned jwt_cache_count(const struct jwt_cache *c)
{
    return (unsigned) map_count(c->entries);
}

void jwt_cache_free(struct jwt_cache *c)
{
    if (!c)
        return;
    jwt_cache_clear(c);
    map_free(c->entries);
    free(c);
}
