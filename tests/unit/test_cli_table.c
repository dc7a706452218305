/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: alignment, cutting to a width, characters that are wider than their bytes. */
#include "client/cli/table.h"

#include "unit.h"

static const struct table_column columns[] = {{"NAME", 6}, {"N", 0}, {"WHAT", 4}};

struct fixture {
    struct table table;
    struct wire_writer out;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    fixture->table = TABLE_INIT(columns);
    wire_writer_init(&fixture->out, 65536);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    table_deinit(&fixture->table);
    wire_writer_deinit(&fixture->out);
    free(fixture);
    return 0;
}

static void add(struct fixture *fixture, const char *a, const char *b, const char *c)
{
    const char *const cells[] = {a, b, c};

    assert_int_equal(table_add_row(&fixture->table, cells), 0);
}

static void expect(struct fixture *fixture, size_t width, const char *text)
{
    table_format(&fixture->table, width, &fixture->out);
    wire_put_u8(&fixture->out, '\0');
    assert_false(fixture->out.failed);
    assert_string_equal((const char *)fixture->out.data, text);
}

static void test_format_aligns_columns(void **state)
{
    add(*state, "work", "1", "EC");
    add(*state, "a-longer-name", "22", "RSA");
    expect(*state, TABLE_NO_LIMIT,
           "NAME           N   WHAT\n"
           "work           1   EC\n"
           "a-longer-name  22  RSA\n");
}

static void test_format_without_rows_gives_titles(void **state)
{
    expect(*state, 80, "NAME  N  WHAT\n");
}

static void test_format_cuts_the_widest_column(void **state)
{
    add(*state, "abcdefghijklmnopqrst", "1", "short");
    expect(*state, 20,
           "NAME        N  WHAT\n"
           "abcdefg...  1  short\n");
}

static void test_format_never_cuts_below_the_minimum(void **state)
{
    add(*state, "abcdefghij", "12345", "klmnop");
    expect(*state, 1,
           "NAME    N      WHAT\n"
           "abc...  12345  k...\n");
}

static void test_format_counts_characters_not_bytes(void **state)
{
    add(*state, "J\xc3\xbcrgen", "1", "x");
    add(*state, "Juergen", "1", "x");
    expect(*state, TABLE_NO_LIMIT,
           "NAME     N  WHAT\n"
           "J\xc3\xbcrgen   1  x\n"
           "Juergen  1  x\n");
}

static void test_format_cuts_between_characters(void **state)
{
    add(*state, "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", "1", "x");
    expect(*state, 15,
           "NAME    N  WHAT\n"
           "\xc3\xbc\xc3\xbc\xc3\xbc...  1  x\n");
}

static void test_many_rows_are_kept(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 1000; i++)
        add(fixture, "a", "b", "c");
    assert_int_equal(fixture->table.row_count, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_format_aligns_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_without_rows_gives_titles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_cuts_the_widest_column, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_never_cuts_below_the_minimum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_counts_characters_not_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_cuts_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_rows_are_kept, setup, teardown),
    };
    return cmocka_run_group_tests_name("cli-table", tests, NULL, NULL);
}
