/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* list - intrusive doubly linked list. A node that is not linked has next == NULL after list_del(). */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l || !l->next;
}
static inline bool list_linked(const struct list *n)
{
    return n->next && n->next != n;
}
static inline void list_insert_(struct list *n, struct list *prev, struct list *next)
{
    next->prev = n;
    n->next = next;
    n->prev = prev;
    prev->next = n;
}
static inline void list_append(struct list *head, struct list *n)
{
    list_insert_(n, head->prev, head);
}
static inline void list_prepend(struct list *head, struct list *n)
{
    list_insert_(n, head, head->next);
}
/* Fine on a node that is not linked. */
static inline void list_del(struct list *n)
{
    if (n->next) {
        n->next->prev = n->prev;
        n->prev->next = n->next;
    }
    n->next = n->prev = NULL;
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FOR_EACH(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* The current node may be removed. */
#define LIST_FOR_EACH_SAFE(pos, tmp, head)                                                         \
    for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)
