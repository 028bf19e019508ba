/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * map - hash map from byte strings to pointers, SipHash-1-3 with a random key (keys come from outside).
 * Keys are copied; values are borrowed. One may remove the current entry while iterating, nothing else.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m); /* NULL is fine; values are not touched */
size_t map_count(const struct map *m);
void *map_get(const struct map *m, const char *key);
void *map_get_n(const struct map *m, const void *key, size_t len);
/* Inserts or replaces; returns the value that was there, or NULL. value is not NULL. */
void *map_put(struct map *m, const char *key, void *value);
void *map_put_n(struct map *m, const void *key, size_t len, void *value);
void *map_del(struct map *m, const char *key); /* the value that was there, or NULL */
void *map_del_n(struct map *m, const void *key, size_t len);

struct map_iter {
    size_t bucket;
    void *node;
};
#define MAP_ITER_INIT {0}
/* Returns the next value or NULL; *key (may be NULL) borrows until the entry is removed. */
void *map_next(const struct map *m, struct map_iter *it, const char **key);
