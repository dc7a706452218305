/* SPDX-License-Identifier: Apache-2.0 */
/* Least recently served client first; see fair_queue.h. */
#include "agent/fair_queue.h"

void fair_queue_init(struct fair_queue *queue)
{
    list_init(&queue->turns);
    queue->clock = 0;
    queue->count = 0;
}

struct fair_line *fair_line_get(struct list *lines, const void *module)
{
    list_for_each (link, lines) {
        struct fair_line *line = list_entry(link, struct fair_line, of_owner);
        if (line->module == module)
            return line;
    }
    struct fair_line *line = calloc(1, sizeof(*line));
    if (!line)
        return NULL;
    line->module = module;
    list_init(&line->turn);
    list_init(&line->items);
    list_append(lines, &line->of_owner);
    return line;
}

static void fair_line_free(struct fair_line *line)
{
    list_remove(&line->turn);
    list_remove(&line->of_owner);
    free(line);
}

void fair_lines_forget(struct list *lines, const void *module)
{
    list_for_each_safe (link, lines) {
        struct fair_line *line = list_entry(link, struct fair_line, of_owner);
        if (line->module == module)
            fair_line_free(line);
    }
}

void fair_lines_free(struct list *lines)
{
    list_for_each_safe (link, lines)
        fair_line_free(list_entry(link, struct fair_line, of_owner));
}

void fair_item_init(struct fair_item *item)
{
    list_init(&item->link);
    item->line = NULL;
}

bool fair_item_is_queued(const struct fair_item *item)
{
    return !list_is_empty(&item->link);
}

/* Into the order of turns. A line that was idle mostly belongs near the front. */
static void fair_line_queue(struct fair_queue *queue, struct fair_line *line)
{
    list_for_each (link, &queue->turns) {
        if (list_entry(link, struct fair_line, turn)->served > line->served) {
            list_insert_before(&line->turn, link);
            return;
        }
    }
    list_append(&queue->turns, &line->turn);
}

void fair_queue_append(struct fair_queue *queue, struct fair_line *line, struct fair_item *item)
{
    item->line = line;
    list_append(&line->items, &item->link);
    if (list_is_empty(&line->turn))
        fair_line_queue(queue, line);
    queue->count++;
}

void fair_queue_put_back(struct fair_queue *queue, struct fair_item *item)
{
    struct fair_line *line = item->line;

    list_prepend(&line->items, &item->link);
    list_remove(&line->turn);
    list_prepend(&queue->turns, &line->turn);
    queue->count++;
}

struct fair_item *fair_queue_peek(const struct fair_queue *queue)
{
    if (list_is_empty(&queue->turns))
        return NULL;
    struct fair_line *line = list_entry(queue->turns.next, struct fair_line, turn);
    return list_entry(line->items.next, struct fair_item, link);
}

void fair_queue_take(struct fair_queue *queue, struct fair_item *item)
{
    struct fair_line *line = item->line;

    list_remove(&item->link);
    list_remove(&line->turn);
    line->served = ++queue->clock;
    if (!list_is_empty(&line->items))
        list_append(&queue->turns, &line->turn);
    queue->count--;
}

void fair_queue_remove(struct fair_queue *queue, struct fair_item *item)
{
    struct fair_line *line = item->line;

    list_remove(&item->link);
    if (list_is_empty(&line->items))
        list_remove(&line->turn);
    queue->count--;
}
