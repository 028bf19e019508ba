/* SPDX-License-Identifier: Apache-2.0 */
/* addr - the form of an address in a configuration: "host:port", "[v6]:port", or the path of a unix socket. */
#include "common/base/str.h"
#include "common/config/config_internal.h"
#include <string.h>

static const char addr_form[] = "must be host:port, [address]:port or an absolute path";

static const char *addr_check_one(const char *s, size_t len)
{
    const char *colon = memrchr(s, ':', len);
    uint64_t port;

    if (len && s[0] == '/')
        return NULL;
    if (!colon || colon == s)
        return addr_form;
    size_t host_len = (size_t) (colon - s), port_len = len - host_len - 1;

    if (s[0] == '[' ? s[host_len - 1] != ']' || host_len < 4 : memchr(s, ':', host_len) != NULL)
        return addr_form;
    if (port_len > 5 || str_to_u64_n(colon + 1, port_len, 10, &port) < 0 || port > 65535)
        return "the port must be 0..65535";
    return NULL;
}

const char *config_addr_check(const char *s, bool list)
{
    const char *wrong = NULL;

    if (!list)
        return strpbrk(s, " \t\r\n") ? addr_form : addr_check_one(s, strlen(s));
    while (!wrong && *s) {
        size_t len = strcspn(s, " ");

        if (len)
            wrong = addr_check_one(s, len);
        s += len + strspn(s + len, " ");
    }
    return wrong;
}
