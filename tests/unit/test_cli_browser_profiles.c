/* SPDX-License-Identifier: Apache-2.0 */
/* profiles.ini as Firefox writes it, and as it must not be taken. */
#include "client/cli/browser_profiles.h"

#include <string.h>

#include "unit.h"

struct found {
    char text[512];
    int answer;
};

static int on_found(void *userdata, const char *path, bool is_relative)
{
    struct found *found = userdata;
    size_t len = strlen(found->text);

    (void)snprintf(found->text + len, sizeof(found->text) - len, "%s%s;", is_relative ? "~" : "",
                   path);
    return found->answer;
}

static void expect(const char *text, const char *profiles)
{
    struct found found = {0};

    assert_int_equal(browser_profiles_parse_ini(text, on_found, &found), 0);
    assert_string_equal(found.text, profiles);
}

static void test_parse_as_firefox_writes_it(void **state)
{
    (void)state;
    expect("[Install4F96D1932A9F858E]\nDefault=abc.default-esr\nLocked=1\n\n"
           "[Profile1]\nName=default\nIsRelative=1\nPath=xyz.default\nDefault=1\n\n"
           "[Profile0]\nName=default-esr\nIsRelative=1\nPath=abc.default-esr\n\n"
           "[General]\nStartWithLastProfile=1\nVersion=2\n\n",
           "~xyz.default;~abc.default-esr;");
}

static void test_parse_absolute_paths_and_other_line_ends(void **state)
{
    (void)state;
    expect("[Profile0]\r\nName=x\r\nIsRelative=0\r\nPath=/srv/my profile\r\n", "/srv/my profile;");
    expect("[Profile0]\nPath=first\nIsRelative=0\n[Profile1]\nPath=second", "first;~second;");
}

static void test_parse_nothing(void **state)
{
    (void)state;
    expect("", "");
    expect("[Profile0]", "");
    expect("[Profile0]\nPath=\n", "");
    expect("Pathological=1\n", "");
}

static void test_parse_stops_when_told(void **state)
{
    struct found found = {.answer = -ENOMEM};

    (void)state;
    assert_int_equal(browser_profiles_parse_ini("[A]\nPath=a\n[B]\nPath=b\n", on_found, &found),
                     -ENOMEM);
    assert_string_equal(found.text, "~a;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_as_firefox_writes_it),
        cmocka_unit_test(test_parse_absolute_paths_and_other_line_ends),
        cmocka_unit_test(test_parse_nothing),
        cmocka_unit_test(test_parse_stops_when_told),
    };
    return cmocka_run_group_tests_name("cli-browser-profiles", tests, NULL, NULL);
}
