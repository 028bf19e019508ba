/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* str - text: parsing of numbers, UTF-8, form and percent decoding, base64, hex. Nothing here allocates unless it says so. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

static inline bool str_empty(const char *s)
{
    return !s || !*s;
}
bool str_eq(const char *a, const char *b); /* NULLs are equal to each other only */
bool str_eq_nocase(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Copies with termination; false when it did not fit (then dst is empty). */
bool str_copy(char *dst, size_t size, const char *src);

/* Whole string, decimal, no sign for u64, no spaces; -EINVAL or -ERANGE. */
int str_to_u64(const char *s, uint64_t *out) must_check;
int str_to_i64(const char *s, int64_t *out) must_check;
int str_to_u64_n(const char *s, size_t len, unsigned base, uint64_t *out) must_check;

/* Length of the longest prefix that is complete, valid UTF-8 (no surrogates, no overlong forms). */
size_t utf8_valid_prefix(const void *p, size_t len);
bool utf8_valid(const void *p, size_t len);
/* How many bytes at the end (0..3) begin a character that is not complete yet; 0 when the tail is invalid anyway. */
size_t utf8_incomplete_tail(const void *p, size_t len);

/* RFC 4648 with padding. Encoding writes base64_encoded_len(len) characters and a NUL. */
static inline size_t base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}
void base64_encode(const void *p, size_t len, char *out);
/* Decodes strictly (no white space; missing padding is accepted when `lenient`); returns bytes or -EINVAL. out holds len/4*3+3. */
ssize_t base64_decode(const char *s, size_t len, bool lenient, void *out) must_check;
/* Without padding, URL alphabet. out holds base64_encoded_len(len)+1. */
void base64url_encode(const void *p, size_t len, char *out);
ssize_t base64url_decode(const char *s, size_t len, void *out) must_check;
void hex_encode(const void *p, size_t len, char *out /* 2*len+1 */);
ssize_t hex_decode(const char *s, size_t len, void *out) must_check;

/* Percent-decodes [s,len) to out (size len+1, NUL added); '+' becomes a space when `form`. Bytes or -EINVAL (bad escape or NUL). */
ssize_t percent_decode(const char *s, size_t len, bool form, char *out) must_check;
/* Percent-encodes all but unreserved characters (and '/' when keep_slash); out holds 3*len+1. */
size_t percent_encode(const char *s, size_t len, bool keep_slash, char *out);
