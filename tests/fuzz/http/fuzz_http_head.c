/* SPDX-License-Identifier: Apache-2.0 */
/* Request and response heads. What is taken must stay what it was when it is parsed again, alone and cut short. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
    assert(s && !strpbrk(s, "\r\n"));
}

static int parse(bool response, const uint8_t *p, size_t len, struct http_head *h, size_t *used, struct arena *a)
{
    static const struct http_limits lim;
    const char *reason = NULL;
    int r = response ? http_parse_response(p, len, &lim, false, a, h, used, &reason) : http_parse_request(p, len, &lim, a, h, used, &reason);

    assert(r >= 0 && (r <= HTTP_E_MORE || reason));
    return r;
}

static void one(bool response, const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct http_head h, again;
    size_t used = 0, used_again = 0;

    if (parse(response, data, size, &h, &used, a) == HTTP_E_OK) {
        assert(used && used <= size);
        if (!response) {
            check_text(h.target);
            check_text(h.method_text);
            assert(h.http10 || h.host);
            assert(!(h.upgrade && h.body));
        }
        assert(h.body >= (response ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_CHUNKED));
        for (size_t i = 0; i < h.headers.count; i++) {
            check_text(h.headers.items[i].name);
            check_text(h.headers.items[i].value);
        }
        assert(parse(response, data, used, &again, &used_again, a) == HTTP_E_OK && used_again == used && again.body == h.body);
        assert(parse(response, data, used - 1, &again, &used_again, a) != HTTP_E_OK);
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    one(false, data, size);
    one(true, data, size);
    return 0;
}
