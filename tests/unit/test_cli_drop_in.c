/* SPDX-License-Identifier: Apache-2.0 */
/* The drop-in that lets one key sign digests: what agent.conf takes, and for whom it was made. */
#include "client/cli/drop_in.h"

#include <string.h>

#include "unit.h"

static int setup(void **state)
{
    struct wire_writer *out = calloc(1, sizeof(*out));

    if (!out)
        return -1;
    wire_writer_init(out, 65536);
    *state = out;
    return 0;
}

static int teardown(void **state)
{
    wire_writer_deinit(*state);
    free(*state);
    return 0;
}

static const char *finish(struct wire_writer *out)
{
    wire_put_u8(out, '\0');
    assert_false(out->failed);
    return (const char *)out->data;
}

static void test_section_names_that_the_agent_takes(void **state)
{
    (void)state;
    assert_true(drop_in_is_section_name("work"));
    assert_true(drop_in_is_section_name("my key (2) \xc3\xa4"));
    assert_true(drop_in_is_section_name("12345678901234567890123456789012345678901234"));
    assert_false(drop_in_is_section_name("123456789012345678901234567890123456789012345"));
    assert_false(drop_in_is_section_name(""));
    assert_false(drop_in_is_section_name(" work"));
    assert_false(drop_in_is_section_name("work "));
    assert_false(drop_in_is_section_name("a]b"));
    assert_false(drop_in_is_section_name("a ;b"));
    assert_false(drop_in_is_section_name("a\nsign = digest"));
    assert_false(drop_in_is_section_name("a\x1b[2J"));
}

static void test_format(void **state)
{
    drop_in_format("work", "pkcs11:serial=1;id=%01", "ssh browser", *state);
    assert_string_equal(finish(*state),
                        "# made by mtls setup: this key may sign digests, which the agent cannot "
                        "check\n# for: ssh browser\n[key work]\nuri = pkcs11:serial=1;id=%01\n"
                        "sign = digest\n");
}

static void test_format_without_a_uri(void **state)
{
    drop_in_format("work", NULL, "ssh", *state);
    assert_non_null(strstr(finish(*state), "[key work]\nsign = digest\n"));
}

static void test_programs_come_and_go(void **state)
{
    static const struct {
        const char *text;
        const char *added;
        const char *removed;
        const char *programs;
    } cases[] = {
        {"", "ssh", NULL, "ssh"},
        {"x\n# for: ssh\ny\n", "browser", NULL, "ssh browser"},
        {"# for: ssh browser\n", "ssh", NULL, "ssh browser"},
        {"# for: ssh browser\n", NULL, "ssh", "browser"},
        {"# for: browser", NULL, "browser", ""},
        {"# for: git gnutls\n", NULL, "gnu", "git gnutls"},
        {"no such line\n", NULL, "ssh", ""},
    };
    char programs[DROP_IN_PROGRAMS_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(
            drop_in_programs(cases[i].text, cases[i].added, cases[i].removed, programs),
            cases[i].programs);
}

static void test_has_program(void **state)
{
    (void)state;
    assert_true(drop_in_has_program("a\n# for: ssh git\n", "git"));
    assert_false(drop_in_has_program("a\n# for: ssh git\n", "gi"));
    assert_false(drop_in_has_program("ssh\n# for: git\nssh\n", "ssh"));
}

static void test_change_programs_keeps_the_rest(void **state)
{
    drop_in_change_programs("# made\n# for: a b\n[key k]\nsign = digest\n", "b", *state);
    assert_string_equal(finish(*state), "# made\n# for: b\n[key k]\nsign = digest\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_names_that_the_agent_takes),
        cmocka_unit_test_setup_teardown(test_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format_without_a_uri, setup, teardown),
        cmocka_unit_test(test_programs_come_and_go),
        cmocka_unit_test(test_has_program),
        cmocka_unit_test_setup_teardown(test_change_programs_keeps_the_rest, setup, teardown),
    };
    return cmocka_run_group_tests_name("cli-drop-in", tests, NULL, NULL);
}
