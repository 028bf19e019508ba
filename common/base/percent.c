/* SPDX-License-Identifier: Apache-2.0 */
/* percent - URL escapes, declared in str.h */
#include "common/base/str.h"
#include <errno.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

ssize_t percent_decode(const char *s, size_t len, bool form, char *out)
{
    char *to = out;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];

        if (c == '%') {
            int high = len - i > 2 ? hex_value(s[i + 1]) : -1;
            int low = high >= 0 ? hex_value(s[i + 2]) : -1;

            if (low < 0)
                return -EINVAL;
            c = (char) (high << 4 | low);
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        if (c == '\0')
            return -EINVAL;
        *to++ = c;
    }
    *to = '\0';
    return to - out;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

size_t percent_encode(const char *s, size_t len, bool keep_slash, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = out;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char) s[i];

        if (is_unreserved(s[i]) || (keep_slash && s[i] == '/')) {
            *to++ = s[i];
            continue;
        }
        *to++ = '%';
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    *to = '\0';
    return (size_t) (to - out);
}
