/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/routes/label.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/str.h"

static bool label_token(const char *s, size_t len)
{
    if (len < LABEL_TOKEN_MIN || len > LABEL_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9')))
            return false;
    }
    return true;
}

/* Length of the first label, or 0 when host is not exactly one label below "sandbox.<domain>". */
static size_t label_first(const char *host, const char *domain)
{
    static const char infix[] = ".sandbox.";
    const char *dot = strchr(host, '.');

    if (!dot || strncmp(dot, infix, sizeof(infix) - 1) != 0)
        return 0;
    return strcmp(dot + sizeof(infix) - 1, domain) == 0 ? (size_t) (dot - host) : 0;
}

/* "p<port>-": its length and the port, or 0. */
static size_t label_port(const char *s, size_t len, uint16_t *port)
{
    const char *dash = memchr(s, '-', len);
    uint64_t v;

    if (!dash || s[0] != 'p' || dash - s < 2 || dash - s > 6 || s[1] == '0')
        return 0;
    if (str_to_u64_n(s + 1, (size_t) (dash - s) - 1, 10, &v) < 0 || v > UINT16_MAX)
        return 0;
    *port = (uint16_t) v;
    return (size_t) (dash - s) + 1;
}

void label_parse(const char *host, const char *domain, struct label *out)
{
    size_t len, skip = 0;

    memset(out, 0, sizeof(*out));
    if (!host)
        return;
    len = label_first(host, domain);
    if (len == 0)
        return;
    if (!label_token(host, len)) {
        skip = label_port(host, len, &out->port);
        if (skip == 0 || !label_token(host + skip, len - skip)) {
            out->port = 0;
            return;
        }
    }
    out->kind = skip ? LABEL_PREVIEW : LABEL_SANDBOX;
    memcpy(out->rt, host + skip, len - skip);
}
