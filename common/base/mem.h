/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* mem - allocation of fixed-size objects; out of memory aborts the process (sizes from outside go through struct buf). */
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define xnew(type) ((type *) xcalloc(1, sizeof(type)))

/* Overwrites a secret so that the compiler cannot drop it. */
void mem_wipe(void *p, size_t size);
/* Constant time in the contents. */
int mem_equal_ct(const void *a, const void *b, size_t size);
