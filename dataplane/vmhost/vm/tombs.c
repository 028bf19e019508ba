/* SPDX-License-Identifier: Apache-2.0 */
/* tombs - see tombs.h */
#include "dataplane/vmhost/vm/tombs.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include <stdlib.h>

struct tomb {
    struct list node;
    uint64_t generation;
    char id[48];
};

struct tombs {
    struct map *by_id; /* owned */
    struct list order; /* oldest first */
    unsigned limit;
};

struct tombs *tombs_new(unsigned limit)
{
    struct tombs *t = xnew(struct tombs);

    t->by_id = map_new();
    list_init(&t->order);
    t->limit = limit;
    return t;
}

static void tomb_drop(struct tombs *t, struct tomb *b)
{
    map_del(t->by_id, b->id);
    list_del(&b->node);
    free(b);
}

void tombs_free(struct tombs *t)
{
    if (!t)
        return;
    while (!list_empty(&t->order))
        tomb_drop(t, LIST_ENTRY(t->order.next, struct tomb, node));
    map_free(t->by_id);
    free(t);
}

void tombs_put(struct tombs *t, const char *id, uint64_t generation)
{
    struct tomb *b = map_get(t->by_id, id);

    if (b) {
        if (generation > b->generation)
            b->generation = generation;
        list_del(&b->node);
        list_append(&t->order, &b->node);
        return;
    }
    b = xnew(struct tomb);
    if (!str_copy(b->id, sizeof(b->id), id)) {
        free(b);
        return;
    }
    b->generation = generation;
    map_put(t->by_id, b->id, b);
    list_append(&t->order, &b->node);
    if (map_count(t->by_id) > t->limit)
        tomb_drop(t, LIST_ENTRY(t->order.next, struct tomb, node));
}

bool tombs_covers(const struct tombs *t, const char *id, uint64_t generation)
{
    const struct tomb *b = map_get(t->by_id, id);

    return b && generation <= b->generation;
}
