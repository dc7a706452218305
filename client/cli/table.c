/* SPDX-License-Identifier: Apache-2.0 */
/* Aligned columns; see table.h. */
#include "client/cli/table.h"

#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "common/escape.h"
#include "common/utf8.h"

#define TABLE_GAP 2u
#define TABLE_CUT "..."

void table_deinit(struct table *table)
{
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->row_count = table->row_cap = 0;
}

static int table_reserve_row(struct table *table)
{
    if (table->row_count < table->row_cap)
        return 0;
    size_t cap = table->row_cap ? table->row_cap * 2 : 16;
    char **cells = reallocarray(table->cells, cap, table->column_count * sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    table->cells = cells;
    table->row_cap = cap;
    return 0;
}

int table_add_row(struct table *table, const char *const *cells)
{
    int r = table_reserve_row(table);

    if (r)
        return r;
    char **row = table->cells + table->row_count * table->column_count;
    for (size_t i = 0; i < table->column_count; i++) {
        row[i] = strdup(cells[i]);
        if (row[i])
            continue;
        while (i > 0)
            free(row[--i]);
        return -ENOMEM;
    }
    table->row_count++;
    return 0;
}

/* Terminal columns of the first code point; what the locale does not know counts as one. */
static size_t table_char_width(const char *text, size_t left, size_t *ret_used)
{
    uint32_t code = 0;
    size_t used = utf8_decode((const uint8_t *)text, left, &code);
    int width = used ? wcwidth((wchar_t)code) : 1;

    *ret_used = used ? used : 1;
    return width < 0 ? 1 : (size_t)width;
}

static size_t table_width_of(const char *text, size_t left)
{
    size_t width = 0;

    while (left > 0) {
        size_t used = 0;
        width += table_char_width(text, left, &used);
        text += used;
        left -= used;
    }
    return width;
}

size_t table_text_width(const char *text)
{
    return table_width_of(text, strlen(text));
}

/* Bytes of @text that fit into @width columns. */
static size_t table_fitting_len(const char *text, size_t width)
{
    size_t len = strlen(text);
    size_t at = 0;

    while (at < len) {
        size_t used = 0;
        size_t columns = table_char_width(text + at, len - at, &used);
        if (columns > width)
            break;
        width -= columns;
        at += used;
    }
    return at;
}

static void table_put(struct wire_writer *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        wire_put_u8(out, (uint8_t)text[i]);
}

static void table_put_cell(struct wire_writer *out, const char *text, size_t width, bool is_last)
{
    size_t text_width = table_text_width(text);
    size_t cut_len = width < sizeof(TABLE_CUT) - 1 ? width : sizeof(TABLE_CUT) - 1;

    if (text_width > width) {
        size_t len = table_fitting_len(text, width - cut_len);
        table_put(out, text, len);
        table_put(out, TABLE_CUT, cut_len);
        /* A wide character at the border may leave a column free. */
        text_width = table_width_of(text, len) + cut_len;
    } else {
        escape_put_raw(out, text);
    }
    for (size_t i = text_width; !is_last && i < width + TABLE_GAP; i++)
        wire_put_u8(out, ' ');
}

static void table_put_row(struct wire_writer *out, const struct table *table,
                          const char *const *cells, const size_t *widths)
{
    for (size_t i = 0; i < table->column_count; i++)
        table_put_cell(out, cells[i], widths[i], i + 1 == table->column_count);
    wire_put_u8(out, '\n');
}

static void table_measure(const struct table *table, size_t *widths)
{
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = table_text_width(table->columns[i].title);
        for (size_t row = 0; row < table->row_count; row++) {
            size_t width = table_text_width(table->cells[row * table->column_count + i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
}

/* Takes one column after the other from the widest, as long as the line is too long. */
static void table_shrink(const struct table *table, size_t *widths, size_t limit)
{
    size_t total = TABLE_GAP * (table->column_count - 1);

    for (size_t i = 0; i < table->column_count; i++)
        total += widths[i];
    while (total > limit) {
        size_t widest = table->column_count;
        for (size_t i = 0; i < table->column_count; i++) {
            size_t min = table->columns[i].width_min;
            if (min > 0 && widths[i] > min &&
                (widest == table->column_count || widths[i] > widths[widest]))
                widest = i;
        }
        if (widest == table->column_count)
            break;
        widths[widest]--;
        total--;
    }
}

void table_format(const struct table *table, size_t width, struct wire_writer *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    const char *titles[TABLE_COLUMNS_MAX];

    for (size_t i = 0; i < table->column_count; i++)
        titles[i] = table->columns[i].title;
    table_measure(table, widths);
    table_shrink(table, widths, width);
    table_put_row(out, table, titles, widths);
    for (size_t row = 0; row < table->row_count; row++)
        table_put_row(out, table, (const char *const *)table->cells + row * table->column_count,
                      widths);
}

size_t table_terminal_width(void)
{
    struct winsize size = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return TABLE_NO_LIMIT;
    return size.ws_col;
}
