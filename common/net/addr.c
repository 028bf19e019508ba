/* SPDX-License-Identifier: Apache-2.0 */
/* addr - socket addresses from and to text, numbers only: no name is ever looked up here. */
#include "common/net/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/net_internal.h"

int net_addr_make(struct net_addr *out, const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        *out = (struct net_addr){.len = sizeof(v4)};
        memcpy(&out->sa, &v4, sizeof(v4));
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        *out = (struct net_addr){.len = sizeof(v6)};
        memcpy(&out->sa, &v6, sizeof(v6));
        return 0;
    }
    return -EINVAL;
}

/* Splits "[v6]:port" or "host:port"; a bare v6 address has no unambiguous port and is refused. */
static int addr_split(const char *s, char *host, size_t size, const char **port)
{
    const char *begin = s, *end;

    if (*s == '[') {
        begin = s + 1;
        end = strchr(s, ']');
        if (!end || end[1] != ':' || !memchr(begin, ':', (size_t) (end - begin)))
            return -EINVAL;
        *port = end + 2;
    } else {
        end = strchr(s, ':');
        if (!end || strchr(end + 1, ':'))
            return -EINVAL;
        *port = end + 1;
    }
    if (end == begin || (size_t) (end - begin) >= size)
        return -EINVAL;
    memcpy(host, begin, (size_t) (end - begin));
    host[end - begin] = '\0';
    return 0;
}

int net_addr_parse(struct net_addr *out, const char *s, struct err *e)
{
    char host[INET6_ADDRSTRLEN];
    const char *port_text;
    uint64_t port;

    if (addr_split(s, host, sizeof(host), &port_text) < 0)
        return err_set(e, -EINVAL, "'%s' is not of the form ADDRESS:PORT or [V6ADDRESS]:PORT", s);
    if (str_to_u64(port_text, &port) < 0 || port > UINT16_MAX)
        return err_set(e, -EINVAL, "'%s': the port must be 0..65535", s);
    if (net_addr_make(out, str_eq_nocase(host, "localhost") ? "127.0.0.1" : host, (uint16_t) port) < 0)
        return err_set(e, -EINVAL, "'%s': '%s' is not an IP address (names are not looked up)", s, host);
    return 0;
}

void net_addr_format(const struct sockaddr *sa, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    switch (sa->sa_family) {
    case AF_INET:
        memcpy(&v4, sa, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, ntohs(v4.sin_port));
        break;
    case AF_INET6:
        memcpy(&v6, sa, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, ntohs(v6.sin6_port));
        break;
    case AF_UNIX:
        snprintf(out, size, "unix");
        break;
    default:
        snprintf(out, size, "?");
    }
}
