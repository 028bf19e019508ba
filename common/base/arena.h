/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * arena - memory that lives as long as one request: allocate often, free once.
 * Not thread safe. Allocation beyond the limit given at creation returns NULL (sizes come from outside), so that a
 * tenant cannot grow it without bound.
 */
#include <stddef.h>
#include "common/base/attr.h"

struct arena;

struct arena *arena_new(size_t bytes_max); /* 0 = 64 MiB */
void arena_free(struct arena *a);          /* NULL is fine */
void arena_freep(struct arena **a);
/* 16-byte aligned, zeroed. NULL when the limit is reached. */
void *arena_alloc(struct arena *a, size_t size) must_check;
char *arena_strdup(struct arena *a, const char *s) must_check;
char *arena_strndup(struct arena *a, const char *s, size_t len) must_check; /* copies len bytes, adds NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) printf_like(2, 3) must_check;
size_t arena_bytes(const struct arena *a);
