/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gw_label - any host name: what is taken for a sandbox's can be written again and is the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/gateway/routes/label.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[300], again[300] = "";
    struct label l;

    if (size >= sizeof(host))
        return 0;
    memcpy(host, data, size);
    host[size] = '\0';
    label_parse(host, "example.org", &l);
    if (l.kind == LABEL_SANDBOX)
        snprintf(again, sizeof(again), "%s.sandbox.example.org", l.rt);
    else if (l.kind == LABEL_PREVIEW)
        snprintf(again, sizeof(again), "p%u-%s.sandbox.example.org", l.port, l.rt);
    if (l.kind == LABEL_NONE ? (l.rt[0] != '\0' || l.port != 0) : strcmp(host, again) != 0)
        abort();
    return 0;
}
