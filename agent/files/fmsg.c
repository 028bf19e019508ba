/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/fmsg.h"
#include <string.h>

const char *fmsg_get(const char *pairs, size_t len, const char *name)
{
    const char *p = pairs, *end = pairs + len;

    while (p < end) {
        const char *key = p, *nul = memchr(p, '\0', (size_t) (end - p));
        const char *value = nul ? nul + 1 : end, *stop;

        if (value >= end)
            return NULL;
        stop = memchr(value, '\0', (size_t) (end - value));
        if (!stop)
            return NULL;
        if (strcmp(key, name) == 0)
            return value;
        p = stop + 1;
    }
    return NULL;
}
