/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting requests of many clients in front of one module: one line per client, and next is always
 * the line that was served longest ago. A flood makes only its own sender wait.
 */
#ifndef MTLS_AGENT_FAIR_QUEUE_H
#define MTLS_AGENT_FAIR_QUEUE_H

#include <stdint.h>

#include "agent/list.h"
#include "common/cleanup.h"

struct fair_line;

struct fair_item {
    struct list link;       /* in its line; unlinked when not queued */
    struct fair_line *line; /* NULL: its client is gone */
};

/* One client's waiting requests at one module. */
struct fair_line {
    struct list turn;     /* in fair_queue.turns while @items is not empty */
    struct list of_owner; /* in the client's list of lines */
    const void *module;   /* which queue this is, to find it again */
    struct list items;
    uint64_t served; /* the queue's clock when it was last served; 0: never */
};

struct fair_queue {
    struct list turns; /* lines with items, by `served` */
    uint64_t clock;    /* counts services */
    size_t count;
};

void fair_queue_init(struct fair_queue *queue);

/**
 * fair_line_get() - the client's line in front of a module
 * @lines:      the client's list of lines
 *
 * Return: the line, owned by @lines until fair_lines_free(); NULL when memory is short.
 */
struct fair_line *fair_line_get(struct list *lines, const void *module) _must_check_;

/** fair_lines_forget() - the module is gone. The client's line in front of it must be empty. */
void fair_lines_forget(struct list *lines, const void *module);

/** fair_lines_free() - the client is gone. Its lines must be empty. */
void fair_lines_free(struct list *lines);

void fair_item_init(struct fair_item *item);
bool fair_item_is_queued(const struct fair_item *item);

void fair_queue_append(struct fair_queue *queue, struct fair_line *line, struct fair_item *item);

/** fair_queue_put_back() - an item that was taken goes to the very front again. */
void fair_queue_put_back(struct fair_queue *queue, struct fair_item *item);

/** fair_queue_peek() - whose turn it is; NULL: nobody waits. */
struct fair_item *fair_queue_peek(const struct fair_queue *queue);

/** fair_queue_take() - remove the item that peek gave; its line goes to the end. */
void fair_queue_take(struct fair_queue *queue, struct fair_item *item);

/** fair_queue_remove() - remove any item, as if it had never waited. */
void fair_queue_remove(struct fair_queue *queue, struct fair_item *item);

#endif
