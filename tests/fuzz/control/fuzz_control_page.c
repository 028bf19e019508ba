/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_control_page - any text as a next_token, and as JSON inside of one; what is accepted goes
 * round. Any text as ids and filters. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "control/api/list_query.h"
#include "control/sched/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const char *token)
{
    struct arena *a = arena_new(4 * MIB);
    struct page p, again;
    const char *states[STATES_COUNT];
    size_t count;

    if (page_decode(token, a, &p) == 0) {
        assert(p.before_id >= 1 && p.limit >= 1 && p.limit <= PAGE_LIMIT_MAX);
        assert(p.states.count <= PAGE_FILTERS_MAX && p.metadata.count <= PAGE_FILTERS_MAX);
        if (list_query_states(&p.states, states, &count) == 0)
            assert(count <= STATES_COUNT);
        const char *text = page_encode(&p, a);

        if (text) {
            assert(page_decode(text, a, &again) == 0);
            assert(again.before_id == p.before_id && again.limit == p.limit &&
                   str_eq(again.team, p.team));
            assert(again.states.count == p.states.count &&
                   again.metadata.count == p.metadata.count);
        }
    }
    arena_free(a);
}

static void check_member(const char *key, const char *value)
{
    struct arena *a = arena_new(4 * MIB);
    struct page p = {.before_id = 1, .limit = 1};

    p.states.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(char *));
    p.metadata.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(struct json_pair));
    assert(p.states.items && p.metadata.items);
    for (int i = 0; i < PAGE_FILTERS_MAX + 2; i++)
        (void)!list_query_member(&p, a, key, value); /* an outcome is fine */
    assert(p.states.count <= PAGE_FILTERS_MAX && p.metadata.count <= 1);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    char *token = xmalloc(base64_encoded_len(size) + 1);
    int64_t id = id_parse(text);

    assert(id == -1 || id > 0);
    assert(!(slug_valid(text) && id > 0)); /* a slug never looks like an id */
    check_token(text);
    base64url_encode(data, size, token);
    check_token(token);
    check_member(text, text);
    free(token);
    free(text);
    return 0;
}
