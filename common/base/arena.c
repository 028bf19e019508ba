/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - see arena.h
 * A list of chunks; the newest one is filled from the front. Chunks start at 1 KiB and double up to 64 KiB, bigger
 * allocations get a chunk of their own. Under AddressSanitizer each allocation is a chunk, so that its end is guarded.
 */
#include "common/base/arena.h"
#include "common/base/mem.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, ARENA_CHUNK_MIN = KIB, ARENA_CHUNK_MAX = 64 * KIB, ARENA_BYTES_DEFAULT = 64 * MIB };

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_EXACT 1
#endif
#endif
#ifndef ARENA_EXACT
#define ARENA_EXACT 0
#endif

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    _Alignas(ARENA_ALIGN) unsigned char bytes[];
};

struct arena {
    struct arena_chunk *chunks; /* owned; the first one is being filled */
    size_t bytes;               /* handed out, rounded to the alignment */
    size_t bytes_max;
    size_t chunk_next; /* size of the next ordinary chunk */
};

struct arena *arena_new(size_t bytes_max)
{
    struct arena *a = xnew(struct arena);

    a->bytes_max = bytes_max ? bytes_max : ARENA_BYTES_DEFAULT;
    a->chunk_next = ARENA_CHUNK_MIN;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void arena_freep(struct arena **a)
{
    arena_free(*a);
    *a = NULL;
}

/* A chunk with room for `size`; NULL when the system has no memory. */
static struct arena_chunk *arena_chunk_add(struct arena *a, size_t size)
{
    bool own = ARENA_EXACT || size > ARENA_CHUNK_MAX / 4;
    size_t room = size;

    if (!own) {
        while (a->chunk_next < size)
            a->chunk_next *= 2;
        room = a->chunk_next;
        if (a->chunk_next < ARENA_CHUNK_MAX)
            a->chunk_next *= 2;
    }
    struct arena_chunk *c = calloc(1, sizeof(*c) + room);

    if (!c)
        return NULL;
    c->size = room;
    if (own && a->chunks && !ARENA_EXACT) { /* the one being filled stays in front */
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        c->next = a->chunks;
        a->chunks = c;
    }
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t) (ARENA_ALIGN - 1);
    struct arena_chunk *c = a->chunks;

    if (!rounded && !size)
        rounded = ARENA_ALIGN;
    if (rounded < size || rounded > a->bytes_max - a->bytes)
        return NULL;
    if (ARENA_EXACT || !c || c->size - c->used < rounded)
        c = arena_chunk_add(a, ARENA_EXACT ? size : rounded);
    if (!c)
        return NULL;
    void *p = c->bytes + c->used;

    c->used += ARENA_EXACT ? size : rounded;
    a->bytes += rounded;
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

    if (p && len)
        memcpy(p, s, len);
    return p; /* the terminator is there: memory is zeroed */
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p = NULL;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);

    if (n >= 0)
        p = arena_alloc(a, (size_t) n + 1);
    if (p)
        vsnprintf(p, (size_t) n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

size_t arena_bytes(const struct arena *a)
{
    return a->bytes;
}
