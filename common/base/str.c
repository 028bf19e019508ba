/* SPDX-License-Identifier: Apache-2.0 */
/* str - comparison, numbers and hex; see str.h. UTF-8, base64 and percent escapes have their own files. */
#include "common/base/str.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* ASCII only, whatever the locale. */
static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

bool str_eq_nocase(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    while (*a && ascii_lower(*a) == ascii_lower(*b)) {
        a++;
        b++;
    }
    return ascii_lower(*a) == ascii_lower(*b);
}

bool str_starts(const char *s, const char *prefix)
{
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t len = s ? strlen(s) : 0, tail = strlen(suffix);

    return s && len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
    size_t len = strlen(src);

    if (len >= size) {
        if (size)
            dst[0] = '\0';
        return false;
    }
    memcpy(dst, src, len + 1);
    return true;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

int str_to_u64_n(const char *s, size_t len, unsigned base, uint64_t *out)
{
    uint64_t v = 0;
    bool overflow = false;

    if (!s || len == 0 || base < 2 || base > 36)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        unsigned d = (unsigned) digit_value(s[i]);

        if (d >= base)
            return -EINVAL;
        if (__builtin_mul_overflow(v, (uint64_t) base, &v) || __builtin_add_overflow(v, (uint64_t) d, &v))
            overflow = true;
    }
    if (overflow)
        return -ERANGE;
    *out = v;
    return 0;
}

int str_to_u64(const char *s, uint64_t *out)
{
    return str_to_u64_n(s, s ? strlen(s) : 0, 10, out);
}

int str_to_i64(const char *s, int64_t *out)
{
    bool negative = s && *s == '-';
    uint64_t v;
    int r = str_to_u64(negative ? s + 1 : s, &v);

    if (r < 0)
        return r;
    if (v > (uint64_t) INT64_MAX + (negative ? 1 : 0))
        return -ERANGE;
    *out = negative ? (int64_t) (0 - v) : (int64_t) v;
    return 0;
}

void hex_encode(const void *p, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = p;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[from[i] >> 4];
        *out++ = digits[from[i] & 15];
    }
    *out = '\0';
}

ssize_t hex_decode(const char *s, size_t len, void *out)
{
    unsigned char *to = out;

    if (len % 2)
        return -EINVAL;
    for (size_t i = 0; i < len; i += 2) {
        unsigned high = (unsigned) digit_value(s[i]), low = (unsigned) digit_value(s[i + 1]);

        if (high > 15 || low > 15)
            return -EINVAL;
        *to++ = (unsigned char) (high << 4 | low);
    }
    return (ssize_t) (len / 2);
}
