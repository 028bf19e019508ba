/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * label - what the Host header asks for: the first label under "sandbox.<domain>".
 *
 *     <route token>.sandbox.<domain>            the data plane of one sandbox
 *     p<port>-<route token>.sandbox.<domain>    a port inside it (preview)
 */
#include <stdint.h>
#include "common/base/attr.h"

enum { LABEL_TOKEN_MIN = 20, LABEL_TOKEN_MAX = 40 };

enum label_kind {
    LABEL_NONE,    /* not a name of ours */
    LABEL_SANDBOX, /* rt is set */
    LABEL_PREVIEW, /* rt and port are set */
};

struct label {
    enum label_kind kind;
    char rt[LABEL_TOKEN_MAX + 1];
    uint16_t port;
};

/* host: lower case, without port, as the head parser gives it; NULL is LABEL_NONE. domain: without "sandbox.". */
void label_parse(const char *host, const char *domain, struct label *out);
