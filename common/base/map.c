/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map - see map.h
 * Chained buckets, a power of two of them; grows at load 1, never shrinks. The iterator holds the entry after the one it
 * returned, so the one it returned may go.
 */
#include "common/base/map.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_BUCKETS_MIN = 8 };

struct map_node {
    struct map_node *next;
    uint64_t hash;
    void *value; /* borrowed */
    size_t len;
    char key[]; /* len bytes and a NUL */
};

struct map {
    struct map_node **buckets; /* owned */
    size_t bucket_count;
    size_t count;
    uint64_t key[2]; /* of the hash */
};

static inline uint64_t rotl64(uint64_t v, int n)
{
    return (v << n) | (v >> (64 - n));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl64(v[1], 13) ^ v[0];
    v[0] = rotl64(v[0], 32);
    v[2] += v[3];
    v[3] = rotl64(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl64(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl64(v[1], 17) ^ v[2];
    v[2] = rotl64(v[2], 32);
}

/* SipHash-1-3. The word order of the machine is good enough: the value never leaves the process. */
static uint64_t map_hash(const struct map *m, const void *key, size_t len)
{
    uint64_t v[4] = {m->key[0] ^ 0x736f6d6570736575u, m->key[1] ^ 0x646f72616e646f6du,
                     m->key[0] ^ 0x6c7967656e657261u, m->key[1] ^ 0x7465646279746573u};
    const unsigned char *p = key;
    size_t rest = len;
    uint64_t word;

    for (; rest >= 8; rest -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t) len << 56;
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t) p[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
    struct map *m = xnew(struct map);

    m->bucket_count = MAP_BUCKETS_MIN;
    m->buckets = xcalloc(m->bucket_count, sizeof(struct map_node *));
    random_bytes(m->key, sizeof(m->key));
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct map_node *n = m->buckets[i], *next; n; n = next) {
            next = n->next;
            free(n);
        }
    }
    free(m->buckets);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

/* The link that points to the entry, or to the NULL at the end of its bucket. */
static struct map_node **map_link(const struct map *m, uint64_t hash, const void *key, size_t len)
{
    struct map_node **link = &m->buckets[hash & (m->bucket_count - 1)];

    while (*link) {
        struct map_node *n = *link;

        if (n->hash == hash && n->len == len && memcmp(n->key, key, len) == 0)
            break;
        link = &n->next;
    }
    return link;
}

static void map_grow(struct map *m)
{
    size_t count = m->bucket_count * 2;
    struct map_node **buckets = xcalloc(count, sizeof(struct map_node *));

    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct map_node *n = m->buckets[i], *next; n; n = next) {
            struct map_node **head = &buckets[n->hash & (count - 1)];

            next = n->next;
            n->next = *head;
            *head = n;
        }
    }
    free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
}

void *map_get_n(const struct map *m, const void *key, size_t len)
{
    struct map_node *n = *map_link(m, map_hash(m, key, len), key, len);

    return n ? n->value : NULL;
}

void *map_put_n(struct map *m, const void *key, size_t len, void *value)
{
    uint64_t hash = map_hash(m, key, len);
    struct map_node **link = map_link(m, hash, key, len);

    assert(value);
    if (*link) {
        void *old = (*link)->value;

        (*link)->value = value;
        return old;
    }
    if (m->count >= m->bucket_count) {
        map_grow(m);
        link = map_link(m, hash, key, len);
    }
    struct map_node *n = xmalloc(sizeof(*n) + len + 1);

    n->next = NULL;
    n->hash = hash;
    n->value = value;
    n->len = len;
    if (len)
        memcpy(n->key, key, len);
    n->key[len] = '\0';
    *link = n;
    m->count++;
    return NULL;
}

void *map_del_n(struct map *m, const void *key, size_t len)
{
    struct map_node **link = map_link(m, map_hash(m, key, len), key, len);
    struct map_node *n = *link;

    if (!n)
        return NULL;
    void *value = n->value;

    *link = n->next;
    m->count--;
    free(n);
    return value;
}

void *map_get(const struct map *m, const char *key)
{
    return map_get_n(m, key, strlen(key));
}

void *map_put(struct map *m, const char *key, void *value)
{
    return map_put_n(m, key, strlen(key), value);
}

void *map_del(struct map *m, const char *key)
{
    return map_del_n(m, key, strlen(key));
}

void *map_next(const struct map *m, struct map_iter *it, const char **key)
{
    struct map_node *n = it->node;

    while (!n && it->bucket < m->bucket_count)
        n = m->buckets[it->bucket++];
    if (!n)
        return NULL;
    it->node = n->next;
    if (key)
        *key = n->key;
    return n->value;
}
