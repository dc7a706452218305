/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list with a head that is itself a link. An unlinked link points to
 * itself, so that list_remove() may be called at any time, also twice.
 */
#ifndef MTLS_AGENT_LIST_H
#define MTLS_AGENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *previous;
};

#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define list_for_each(link, head) \
    for (struct list *link = (head)->next; link != (head); link = link->next)

/* The current entry may be removed in the body. */
#define list_for_each_safe(link, head)                                                \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)

static inline void list_init(struct list *list)
{
    list->next = list;
    list->previous = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_insert_before(struct list *link, struct list *at)
{
    link->next = at;
    link->previous = at->previous;
    at->previous->next = link;
    at->previous = link;
}

static inline void list_append(struct list *head, struct list *link)
{
    list_insert_before(link, head);
}

static inline void list_prepend(struct list *head, struct list *link)
{
    list_insert_before(link, head->next);
}

static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

#endif
