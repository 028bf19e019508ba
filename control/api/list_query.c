/* SPDX-License-Identifier: Apache-2.0 */
/* list_query - see list_query.h. */
#include "control/api/list_query.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/http/server.h"

#define METADATA_PREFIX "query[metadata]["

static const struct {
    const char *name;
    enum sandbox_state states[5];
    size_t count;
} state_aliases[] = {
    {"running",
     {STATE_CREATING, STATE_READY, STATE_RESTORING, STATE_CHECKPOINTING, STATE_STOPPING},
     5},
    {"paused", {STATE_STOPPED}, 1},
};

static void states_add(const char *out[STATES_COUNT], size_t *count, enum sandbox_state s)
{
    for (size_t i = 0; i < *count; i++) {
        if (str_eq(out[i], state_name(s)))
            return;
    }
    out[(*count)++] = state_name(s);
}

int list_query_states(const struct json_strings *asked, const char *out[STATES_COUNT],
                      size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < asked->count; i++) {
        enum sandbox_state s;
        bool alias = false;

        for (size_t k = 0; k < ARRAY_LEN(state_aliases); k++) {
            if (!str_eq(state_aliases[k].name, asked->items[i]))
                continue;
            alias = true;
            for (size_t n = 0; n < state_aliases[k].count; n++)
                states_add(out, count, state_aliases[k].states[n]);
        }
        if (alias)
            continue;
        if (state_parse(asked->items[i], &s) < 0)
            return -EINVAL;
        states_add(out, count, s);
    }
    return 0;
}

static int add_state(struct page *p, struct arena *a, const char *value)
{
    if (p->states.count == PAGE_FILTERS_MAX)
        return LIST_E_FILTERS;
    p->states.items[p->states.count] = arena_strdup(a, value);
    if (!p->states.items[p->states.count])
        return LIST_E_FILTERS;
    p->states.count++;
    return LIST_OK;
}

/* "query[metadata][<name>]"; of several with one name the last one counts. */
static int add_metadata(struct page *p, struct arena *a, const char *key, const char *value)
{
    const char *name = key + strlen(METADATA_PREFIX);
    size_t len = strlen(name), i = 0;

    if (len < 2 || name[len - 1] != ']')
        return LIST_E_FILTERS;
    char *copy = arena_strndup(a, name, len - 1), *text = arena_strdup(a, value);

    if (!copy || !text)
        return LIST_E_FILTERS;
    while (i < p->metadata.count && !str_eq(p->metadata.items[i].key, copy))
        i++;
    if (i == PAGE_FILTERS_MAX)
        return LIST_E_FILTERS;
    p->metadata.items[i] = (struct json_pair){.key = copy, .value = text};
    if (i == p->metadata.count)
        p->metadata.count++;
    return LIST_OK;
}

int list_query_member(struct page *p, struct arena *a, const char *key, const char *value)
{
    if (str_eq(key, "query[state][]") || str_eq(key, "query[state]"))
        return add_state(p, a, value);
    if (str_starts(key, METADATA_PREFIX))
        return add_metadata(p, a, key, value);
    if (str_eq(key, "team") && *value) {
        p->team = arena_strdup(a, value);
        return p->team ? LIST_OK : LIST_E_FILTERS;
    }
    return LIST_OK; /* unknown members are ignored */
}

struct list_reader {
    struct page *page;
    struct arena *arena;
    int result;
};

static void on_member(void *arg, const char *key, const char *value)
{
    struct list_reader *l = arg;

    if (l->result == LIST_OK)
        l->result = list_query_member(l->page, l->arena, key, value);
}

static int read_limit(const struct http_req *r, struct page *out)
{
    const char *text = http_req_query(r, "limit");
    uint64_t n;

    if (!text)
        return LIST_OK;
    if (str_to_u64(text, &n) < 0 || n < 1 || n > PAGE_LIMIT_MAX)
        return LIST_E_LIMIT;
    out->limit = (int64_t)n;
    return LIST_OK;
}

int list_query_read(const struct http_req *r, struct arena *a, struct page *out)
{
    const char *token;
    struct list_reader l = {.page = out, .arena = a};

    if (http_req_query_check(r) < 0)
        return LIST_E_ESCAPES;
    *out = (struct page){.before_id = INT64_MAX, .limit = PAGE_LIMIT_DEFAULT};
    token = http_req_query(r, "next_token");
    if (token && *token)
        return page_decode(token, a, out) < 0 ? LIST_E_TOKEN : read_limit(r, out);
    out->states.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(char *));
    out->metadata.items = arena_alloc(a, PAGE_FILTERS_MAX * sizeof(struct json_pair));
    if (!out->states.items || !out->metadata.items || http_req_query_each(r, on_member, &l) < 0)
        return LIST_E_ESCAPES;
    return l.result == LIST_OK ? read_limit(r, out) : l.result;
}
