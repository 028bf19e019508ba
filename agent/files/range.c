/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/range.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include "common/base/str.h"

/* Digits up to the end; an empty text is no number. Numbers beyond 64 bits are as good as the largest. */
static bool range_number(const char *s, size_t len, uint64_t *out)
{
    if (!len || len != strspn(s, "0123456789") || len > 19)
        return false;
    return str_to_u64_n(s, len, 10, out) == 0;
}

int range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *last)
{
    const char *p, *dash;
    uint64_t a, b = UINT64_MAX;

    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return RANGE_E_WHOLE;
    p = header + 6;
    dash = strchr(p, '-');
    if (!dash || strlen(p) > 48)
        return RANGE_E_WHOLE;
    char end[64];

    memcpy(end, dash + 1, strlen(dash + 1) + 1);
    if (dash == p) { /* the last b bytes */
        if (!range_number(end, strlen(end), &b))
            return RANGE_E_WHOLE;
        if (b == 0 || size == 0)
            return RANGE_E_UNSATISFIABLE;
        *first = b < size ? size - b : 0;
        *last = size - 1;
        return RANGE_E_PART;
    }
    char begin[64];

    memcpy(begin, p, (size_t) (dash - p));
    begin[dash - p] = '\0';
    if (!range_number(begin, strlen(begin), &a) || (*end && !range_number(end, strlen(end), &b)) || b < a)
        return RANGE_E_WHOLE;
    if (a >= size)
        return RANGE_E_UNSATISFIABLE;
    *first = a;
    *last = b < size - 1 ? b : size - 1;
    return RANGE_E_PART;
}
