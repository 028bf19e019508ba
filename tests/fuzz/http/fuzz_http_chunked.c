/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked decoder: the same bytes and the same verdict, in one piece and in pieces whose size the first byte gives. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sum of the body's bytes, a count, and how it ended. */
struct verdict {
    uint64_t sum;
    size_t bytes, used;
    bool done, bad;
};

static struct verdict decode(const uint8_t *p, size_t len, size_t step)
{
    struct verdict v = {0};
    struct http_chunked c;

    http_chunked_init(&c);
    while (v.used < len && !v.done) {
        size_t n = len - v.used < step ? len - v.used : step, data_len;
        const uint8_t *data = NULL;
        ssize_t r = http_chunked_next(&c, p + v.used, n, &data, &data_len, &v.done);

        if (r < 0) {
            v.bad = true;
            break;
        }
        assert(r > 0 && (size_t) r <= n && data_len <= (size_t) r);
        for (size_t i = 0; i < data_len; i++)
            v.sum = v.sum * 31 + data[i];
        v.bytes += data_len;
        v.used += (size_t) r;
    }
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct verdict whole = decode(data + 1, size - 1, size), parts = decode(data + 1, size - 1, 1 + data[0] % 16);

    assert(whole.bad == parts.bad && whole.done == parts.done && whole.bytes == parts.bytes && whole.sum == parts.sum);
    assert(whole.bad || whole.used == parts.used);
    return 0;
}
