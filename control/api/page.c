/* SPDX-License-Identifier: Apache-2.0 */
/* page - see page.h. */
#include "control/api/page.h"
#include <errno.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"

enum { PAGE_VERSION = 1 };

struct page_wire {
    int64_t version;
    struct page page;
};

#define AT(member) offsetof(struct page_wire, member)

static const struct json_field page_fields[] = {
    {.name = "v",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = AT(version),
     .present = JSON_NO_PRESENT,
     .min = PAGE_VERSION,
     .max = PAGE_VERSION},
    {.name = "b",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = AT(page.before_id),
     .present = JSON_NO_PRESENT,
     .min = 1,
     .max = INT64_MAX},
    {.name = "l",
     .kind = JSON_F_INT,
     .flags = JSON_REQUIRED,
     .offset = AT(page.limit),
     .present = JSON_NO_PRESENT,
     .min = 1,
     .max = PAGE_LIMIT_MAX},
    {.name = "t",
     .kind = JSON_F_STRING,
     .offset = AT(page.team),
     .present = JSON_NO_PRESENT,
     .min = 1,
     .max = 63},
    {.name = "s",
     .kind = JSON_F_STRINGS,
     .offset = AT(page.states),
     .present = JSON_NO_PRESENT,
     .min = 0,
     .max = PAGE_FILTERS_MAX},
    {.name = "m",
     .kind = JSON_F_MAP,
     .offset = AT(page.metadata),
     .present = JSON_NO_PRESENT,
     .min = 0,
     .max = PAGE_FILTERS_MAX},
    {0},
};
static const struct json_table page_table = {
    .fields = page_fields, .size = sizeof(struct page_wire), .refuse_unknown = true};

char *page_encode(const struct page *p, struct arena *a)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(PAGE_TOKEN_MAX / 4 * 3);
    struct json_writer w;

    json_writer_init(&w, &text);
    jw_object(&w);
    jw_kint(&w, "v", PAGE_VERSION);
    jw_kint(&w, "b", p->before_id);
    jw_kint(&w, "l", p->limit);
    if (p->team)
        jw_kstr(&w, "t", p->team);
    if (p->states.count) {
        jw_karray(&w, "s");
        for (size_t i = 0; i < p->states.count; i++)
            jw_str(&w, p->states.items[i]);
        jw_array_end(&w);
    }
    if (p->metadata.count)
        jw_kmap(&w, "m", &p->metadata);
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        return NULL;
    char *token = arena_alloc(a, base64_encoded_len(text.len) + 1);

    if (token)
        base64url_encode(buf_data(&text), text.len, token);
    return token;
}

int page_decode(const char *token, struct arena *a, struct page *out)
{
    size_t len = strlen(token);
    struct page_wire wire;
    uint8_t *text;

    if (len == 0 || len > PAGE_TOKEN_MAX)
        return -EINVAL;
    text = arena_alloc(a, len / 4 * 3 + 4);
    if (!text)
        return -EINVAL;
    ssize_t n = base64url_decode(token, len, text);

    if (n <= 0 || json_decode(&page_table, text, (size_t)n, a, &wire, NULL) < 0)
        return -EINVAL;
    *out = wire.page;
    return 0;
}
