/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_control_key - any text as an Authorization or X-API-Key header, and as a file of data keys.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "control/auth/apikey.h"
#include "control/auth/box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    struct boxes *boxes = NULL;
    struct apikey k;

    if (apikey_parse(APIKEY_PREFIX, text, &k)) {
        assert(strlen(text) == APIKEY_TEXT_SIZE - 1 && strlen(k.id) == APIKEY_ID_LEN);
        assert(!apikey_parse(HOST_TOKEN_PREFIX, text, &k));
    }
    if (apikey_parse_bearer(APIKEY_PREFIX, text, &k))
        assert(strlen(text) >= APIKEY_TEXT_SIZE - 1 + strlen("Bearer "));
    if (boxes_parse(&boxes, text, NULL) == 0)
        boxes_free(boxes);
    free(text);
    return 0;
}
