/* SPDX-License-Identifier: Apache-2.0 */
/* apikey - see apikey.h. */
#include "control/auth/apikey.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"

static const char apikey_alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

void apikey_make(const char *prefix, struct apikey *out, char text[APIKEY_TEXT_SIZE])
{
    char secret[APIKEY_SECRET_LEN + 1];

    id_random(out->id, APIKEY_ID_LEN);
    id_random(secret, APIKEY_SECRET_LEN);
    crypto_sha256(secret, APIKEY_SECRET_LEN, out->hash);
    snprintf(text, APIKEY_TEXT_SIZE, "%s_%s_%s", prefix, out->id, secret);
    mem_wipe(secret, sizeof(secret));
}

bool apikey_parse(const char *prefix, const char *text, struct apikey *out)
{
    size_t prefix_len = strlen(prefix);

    if (!text || !str_starts(text, prefix) || text[prefix_len] != '_')
        return false;
    const char *id = text + prefix_len + 1;

    if (strspn(id, apikey_alphabet) != APIKEY_ID_LEN || id[APIKEY_ID_LEN] != '_')
        return false;
    const char *secret = id + APIKEY_ID_LEN + 1;

    if (strspn(secret, apikey_alphabet) != APIKEY_SECRET_LEN || secret[APIKEY_SECRET_LEN] != '\0')
        return false;
    memcpy(out->id, id, APIKEY_ID_LEN);
    out->id[APIKEY_ID_LEN] = '\0';
    crypto_sha256(secret, APIKEY_SECRET_LEN, out->hash);
    return true;
}

bool apikey_parse_bearer(const char *prefix, const char *header, struct apikey *out)
{
    if (!header || strncasecmp(header, "bearer ", 7) != 0)
        return false;
    header += 7;
    header += strspn(header, " ");
    return apikey_parse(prefix, header, out);
}

bool apikey_hash_equal(const struct apikey *k, const uint8_t hash[SHA256_LEN])
{
    return mem_equal_ct(k->hash, hash, SHA256_LEN);
}
