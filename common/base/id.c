/* SPDX-License-Identifier: Apache-2.0 */
/* id - see id.h. Nothing is buffered: a copy of this process' memory (fork, snapshot) must not repeat what was drawn. */
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *p, size_t len)
{
    unsigned char *to = p;

    while (len) {
        ssize_t n = getrandom(to, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        to += n;
        len -= (size_t) n;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

/* n characters drawn evenly from the first `count` of the alphabet: bytes above the last full multiple are thrown away. */
static void id_draw(char *out, size_t n, unsigned count)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned limit = 256 - 256 % count;
    unsigned char pool[64];

    for (size_t done = 0; done < n;) {
        size_t want = n - done + (n - done) / 8 + 1;

        if (want > sizeof(pool))
            want = sizeof(pool);
        random_bytes(pool, want);
        for (size_t i = 0; i < want && done < n; i++) {
            if (pool[i] < limit)
                out[done++] = alphabet[pool[i] % count];
        }
    }
    mem_wipe(pool, sizeof(pool));
}

void id_random(char *out, size_t n)
{
    id_draw(out, n, 36);
    out[n] = '\0';
}

void id_route_token(char out[ROUTE_TOKEN_LEN + 1])
{
    id_draw(out, 1, 26);
    id_random(out + 1, ROUTE_TOKEN_LEN - 1);
}

void id_request(char out[REQUEST_ID_LEN + 1])
{
    static const char prefix[] = "req_";
    size_t len = sizeof(prefix) - 1;

    memcpy(out, prefix, sizeof(prefix));
    id_random(out + len, REQUEST_ID_LEN - len);
}

void id_random_hex(char *out, size_t n)
{
    unsigned char pool[64];

    out[0] = '\0';
    for (size_t done = 0; done < n;) {
        size_t part = n - done < sizeof(pool) ? n - done : sizeof(pool);

        random_bytes(pool, part);
        hex_encode(pool, part, out + 2 * done);
        done += part;
    }
    mem_wipe(pool, sizeof(pool));
}
