/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * buf - growable byte buffer with a limit; consumed from the front without moving on every call.
 * data()..data()+len are the valid bytes. Appends beyond `max` fail with -ENOBUFS and change nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>
#include "common/base/attr.h"

struct buf {
    uint8_t *base; /* owned */
    size_t off;    /* consumed bytes at the front */
    size_t len;    /* valid bytes after off */
    size_t cap;
    size_t max;    /* limit of len; 0 = 1 GiB */
};

#define BUF_INIT(limit) {.max = (limit)}

void buf_init(struct buf *b, size_t max);
void buf_deinit(struct buf *b); /* frees, back to empty; idempotent */
static inline uint8_t *buf_data(const struct buf *b)
{
    return b->base ? b->base + b->off : b->base; /* NULL while nothing was ever put in */
}
int buf_append(struct buf *b, const void *p, size_t len) must_check;
int buf_append_str(struct buf *b, const char *s) must_check;
int buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3) must_check;
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) printf_like(2, 0) must_check;
/* Makes room for `len` more bytes and returns the place; buf_commit() makes them valid. NULL beyond the limit. */
uint8_t *buf_reserve(struct buf *b, size_t len) must_check;
void buf_commit(struct buf *b, size_t len);
void buf_consume(struct buf *b, size_t len);
void buf_clear(struct buf *b);  /* len = 0, memory kept */
void buf_shrink(struct buf *b); /* gives memory back when empty */
/* NUL-terminates (not counted in len) and returns the bytes as a string; NULL beyond the limit. */
const char *buf_cstr(struct buf *b) must_check;
