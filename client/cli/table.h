/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people: aligned columns, cut to the width of the terminal. Pure: text in, text out.
 * Widths are counted in terminal columns, not in bytes.
 */
#ifndef MTLS_CLI_TABLE_H
#define MTLS_CLI_TABLE_H

#include "common/wire.h"

#define TABLE_COLUMNS_MAX 8
#define TABLE_NO_LIMIT ((size_t)-1)

struct table_column {
    const char *title;
    size_t width_min; /* may be cut down to this many columns, with "..."; 0: never cut */
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t column_count;                /* at most TABLE_COLUMNS_MAX */
    char **cells;                       /* row after row, owned */
    size_t row_count;
    size_t row_cap;
};

#define TABLE_INIT(columns_) \
    ((struct table){.columns = (columns_), .column_count = ARRAY_SIZE(columns_)})

void table_deinit(struct table *table);

/**
 * table_add_row() - one more row
 * @cells:      column_count texts, copied; valid UTF-8 without control characters: escaped before
 *
 * Return: 0, or -ENOMEM.
 */
int table_add_row(struct table *table, const char *const *cells) _must_check_;

/**
 * table_format() - titles and rows as lines
 * @width:      terminal columns that a line may have, if the columns can be cut so far;
 *              TABLE_NO_LIMIT: nothing is cut
 * @out:        appended to; sticky failure
 */
void table_format(const struct table *table, size_t width, struct wire_writer *out);

/** table_terminal_width() - of stdout; TABLE_NO_LIMIT when it is no terminal. */
size_t table_terminal_width(void);

/** table_text_width() - terminal columns of a text. */
size_t table_text_width(const char *text);

#define _cleanup_table_ _cleanup_(table_deinit)

#endif
