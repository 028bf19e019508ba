/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_nss - for statically linked programs only. The event library refers to the C library's name look-ups, which would load the
 * machine's own shared libraries into a static program. Nothing of ours asks for a name, so these stand in for them and refuse.
 */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints, /* tidy: allow banned */
                struct addrinfo **restrict out)
{
    (void) node;
    (void) service;
    (void) hints;
    *out = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void) list;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    (void) name;
    (void) protocol;
    return NULL;
}

struct protoent *getprotobynumber(int number)
{
    (void) number;
    return NULL;
}
