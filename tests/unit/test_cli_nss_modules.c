/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11.txt: ours in and out, everything else byte for byte as it was. */
#include "client/cli/nss_modules.h"

#include <string.h>

#include "unit.h"

#define INTERNAL "library=\nname=NSS Internal PKCS #11 Module\nNSS=Flags=internal,critical\n\n"
#define OPENSC "library=/usr/lib/opensc-pkcs11.so\nname=OpenSC\n\n"
#define OURS "library=/usr/lib/pkcs11/mtls-agent-pkcs11.so\nname=mtls-agent\n\n"
#define OURS_PATH "/usr/lib/pkcs11/mtls-agent-pkcs11.so"
#define OURS_ELSEWHERE "library=/opt/lib/mtls-agent-pkcs11.so\nname=mtls-agent\n\n"
#define OURS_RENAMED "library=/opt/lib/mtls-agent-pkcs11.so\nname=My Keys\nNSS=trustOrder=100\n\n"

static void expect_set(const char *before, const char *path, const char *after)
{
    struct wire_writer out;

    wire_writer_init(&out, 65536);
    nss_modules_set(wire_span_from_text(before), path, &out);
    wire_put_u8(&out, '\0');
    assert_false(out.failed);
    assert_string_equal((const char *)out.data, after);
    wire_writer_deinit(&out);
}

static void test_set_adds_to_what_is_there(void **state)
{
    (void)state;
    expect_set(INTERNAL OPENSC, OURS_PATH, INTERNAL OPENSC OURS);
    expect_set("", OURS_PATH, OURS);
}

static void test_set_ends_the_last_block(void **state)
{
    (void)state;
    expect_set("library=/a.so\nname=A", OURS_PATH, "library=/a.so\nname=A\n\n" OURS);
    expect_set("library=/a.so\nname=A\n", OURS_PATH, "library=/a.so\nname=A\n\n" OURS);
}

static void test_set_replaces_ours_in_its_place(void **state)
{
    (void)state;
    expect_set(INTERNAL OURS_ELSEWHERE OPENSC, OURS_PATH, INTERNAL OURS OPENSC);
    expect_set(OURS_RENAMED OPENSC OURS_ELSEWHERE, OURS_PATH, OURS_RENAMED OPENSC OURS);
}

static void test_set_without_a_path_takes_ours_out(void **state)
{
    (void)state;
    expect_set(INTERNAL OURS OPENSC, NULL, INTERNAL OPENSC);
    expect_set(OURS_RENAMED OURS, NULL, OURS_RENAMED);
    expect_set(INTERNAL OPENSC, NULL, INTERNAL OPENSC);
}

static void test_set_leaves_what_only_looks_like_ours(void **state)
{
    const char *other = "library=/opt/not-mtls-agent-pkcs11.so\nname=mtls-agent2\n\n";
    char with_ours[512];

    (void)state;
    (void)snprintf(with_ours, sizeof(with_ours), "%s%s", other, OURS);
    expect_set(other, NULL, other);
    expect_set(other, OURS_PATH, with_ours);
}

static void test_look(void **state)
{
    static const struct {
        const char *text;
        const char *path;
        enum nss_modules_state state;
    } cases[] = {
        {"", OURS_PATH, NSS_MODULES_ABSENT},
        {INTERNAL OPENSC, OURS_PATH, NSS_MODULES_ABSENT},
        {INTERNAL OPENSC, NULL, NSS_MODULES_ABSENT},
        {INTERNAL OURS, OURS_PATH, NSS_MODULES_PRESENT},
        {INTERNAL OURS, NULL, NSS_MODULES_PRESENT},
        {OURS_ELSEWHERE, OURS_PATH, NSS_MODULES_OTHER_PATH},
        {OURS_RENAMED, OURS_PATH, NSS_MODULES_ABSENT},
        {OURS_RENAMED, "/opt/lib/mtls-agent-pkcs11.so", NSS_MODULES_PRESENT},
        {OURS_RENAMED, NULL, NSS_MODULES_ABSENT},
        {OURS OURS, OURS_PATH, NSS_MODULES_OTHER_PATH},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(nss_modules_look(wire_span_from_text(cases[i].text), cases[i].path),
                         cases[i].state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_adds_to_what_is_there),
        cmocka_unit_test(test_set_ends_the_last_block),
        cmocka_unit_test(test_set_replaces_ours_in_its_place),
        cmocka_unit_test(test_set_without_a_path_takes_ours_out),
        cmocka_unit_test(test_set_leaves_what_only_looks_like_ours),
        cmocka_unit_test(test_look),
    };
    return cmocka_run_group_tests_name("cli-nss-modules", tests, NULL, NULL);
}
