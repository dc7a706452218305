/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a person is told to write: where a section is, where none is, and odd names. */
#include "agent/remedy.h"

#include <string.h>

#include "unit.h"

#define REASON "refused to sign"

static char config_path[] = "/home/alice/.config/mtls-agent/agent.conf";
static struct config config = {.file = config_path};
static const struct keyring keyring = {.config = &config};

static const struct worker_token token = {.label = WIRE_SPAN_LITERAL("my token"),
                                          .serial = WIRE_SPAN_LITERAL("0123")};

static void format_for_label(const char *label, char text[static PROTOCOL_TEXT_MAX])
{
    const struct inventory_key info = {
        .info = {.label = wire_span_from_text(label), .ck_id = WIRE_SPAN_LITERAL("\x01")}};
    const struct keyring_key key = {
        .name = (char *)(uintptr_t)(*label ? label : "sha256:0123456789abcdef"),
        .key = &info,
        .token = &token,
    };

    remedy_for_digest(&keyring, &key, REASON, text);
}

static void test_for_digest_with_a_section_names_its_place(void **state)
{
    struct config_key section = {.name = (char *)(uintptr_t) "work",
                                 .origin = (char *)(uintptr_t) "/etc/x.conf:12"};
    const struct keyring_key key = {.config = &section};
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    remedy_for_digest(&keyring, &key, REASON, text);
    assert_non_null(strstr(text, REASON "; "));
    assert_non_null(strstr(text, "write `sign = digest` below [key work] (/etc/x.conf:12)"));
}

static void test_for_digest_without_a_section_gives_its_lines(void **state)
{
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    format_for_label("work", text);
    assert_non_null(strstr(text, config_path));
    assert_non_null(strstr(text, "`[key work]`, `uri = pkcs11:"));
    assert_non_null(strstr(text, "token=my%20token"));
    assert_non_null(strstr(text, "`, `sign = digest`"));
}

static void test_for_digest_says_how_it_takes_effect_and_what_follows(void **state)
{
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    format_for_label("work", text);
    assert_non_null(strstr(text, "systemctl --user reload mtls-agent"));
    assert_non_null(strstr(text, "mtls setup browser"));
    assert_non_null(strstr(text, "anything signed"));
}

static void test_for_digest_offers_a_name_where_the_label_is_none(void **state)
{
    static const char *const labels[] = {"", " a", "a]b", "a\nb", "a ;b"};
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
        format_for_label(labels[i], text);
        assert_non_null(strstr(text, "`[key my-key]`"));
    }
}

static void test_for_digest_with_longest_names_still_has_the_lines(void **state)
{
    char label[PROTOCOL_NAME_MAX + 1] = {0};
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    memset(label, '%', sizeof(label) - 1);
    format_for_label(label, text);
    assert_non_null(strstr(text, "`uri = URI` (see `mtls list --json`)"));
    assert_non_null(strstr(text, "`sign = digest`"));
}

static void test_for_digest_without_room_is_the_reason(void **state)
{
    char path[PROTOCOL_TEXT_MAX] = {0};
    struct config far = {.file = path};
    const struct keyring elsewhere = {.config = &far};
    const struct inventory_key info = {.info = {.label = WIRE_SPAN_LITERAL("work")}};
    const struct keyring_key key = {
        .name = (char *)(uintptr_t) "work", .key = &info, .token = &token};
    char text[PROTOCOL_TEXT_MAX];

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    remedy_for_digest(&elsewhere, &key, REASON, text);
    assert_string_equal(text, REASON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_digest_with_a_section_names_its_place),
        cmocka_unit_test(test_for_digest_without_a_section_gives_its_lines),
        cmocka_unit_test(test_for_digest_says_how_it_takes_effect_and_what_follows),
        cmocka_unit_test(test_for_digest_offers_a_name_where_the_label_is_none),
        cmocka_unit_test(test_for_digest_with_longest_names_still_has_the_lines),
        cmocka_unit_test(test_for_digest_without_room_is_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
