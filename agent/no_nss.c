/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_nss - stands in for the library's name service. The event library refers to these functions (we call none of them); were the C
 * library's own linked, the agent would carry code that loads the guest's NSS libraries into a root process.
 * check_static.cmake sees to it that nothing else brings them in.
 */
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    (void) node;
    (void) service;
    (void) hints;
    *res = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *res)
{
    (void) res;
}

const char *gai_strerror(int code)
{
    (void) code;
    return "names are not looked up here";
}

struct servent *getservbyname(const char *name, const char *proto)
{
    (void) name;
    (void) proto;
    return NULL;
}

struct protoent *getprotobynumber(int proto)
{
    (void) proto;
    return NULL;
}
