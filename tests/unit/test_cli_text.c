/* SPDX-License-Identifier: Apache-2.0 */
/* The small text producers of the command: JSON, shell words, URIs, guesses at mistyped words. */
#include "client/cli/json.h"
#include "client/cli/nearest.h"
#include "client/cli/pem.h"
#include "client/cli/pkcs11_uri.h"
#include "client/cli/shell_quote.h"

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

static void expect(struct wire_writer *out, const char *text)
{
    wire_put_u8(out, '\0');
    assert_false(out->failed);
    assert_string_equal((const char *)out->data, text);
}

static void test_json_nests_objects_and_arrays(void **state)
{
    struct json json = JSON_INIT(*state);

    json_begin_object(&json, NULL);
    json_put_text(&json, "a", "x");
    json_begin_array(&json, "b");
    json_put_uint(&json, NULL, UINT64_MAX);
    json_put_bool(&json, NULL, true);
    json_end_array(&json);
    json_put_ms(&json, "c", 1002003);
    json_put_text(&json, "d", NULL);
    json_end_object(&json);
    json_finish(&json);
    expect(*state, "{\n"
                   "  \"a\": \"x\",\n"
                   "  \"b\": [\n"
                   "    18446744073709551615,\n"
                   "    true\n"
                   "  ],\n"
                   "  \"c\": 1002.003,\n"
                   "  \"d\": null\n"
                   "}\n");
}

static void test_json_of_nothing_is_an_empty_array(void **state)
{
    struct json json = JSON_INIT(*state);

    json_begin_array(&json, NULL);
    json_end_array(&json);
    json_finish(&json);
    expect(*state, "[]\n");
}

static void test_json_escapes_what_is_untrusted(void **state)
{
    struct json json = JSON_INIT(*state);

    json_put_text(&json, NULL, "a\"\\\n\x1b\xff");
    expect(*state, "\"a\\\"\\\\\\u000a\\u001b\xef\xbf\xbd\"");
}

static const struct {
    const char *text;
    const char *quoted;
} shell_words[] = {
    {"plain-1.0_/a:b@c", "plain-1.0_/a:b@c"},
    {"", "''"},
    {"two words", "'two words'"},
    {"it's", "'it'\\''s'"},
    {"$(rm -rf ~)", "'$(rm -rf ~)'"},
    {"a\nb", "'a\nb'"},
    {"~", "'~'"},
};

static void test_shell_quote_gives_one_word(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(shell_words); i++) {
        wire_writer_reset(*state);
        shell_quote(*state, shell_words[i].text);
        expect(*state, shell_words[i].quoted);
    }
}

static void test_pkcs11_uri_encodes_what_rfc7512_wants(void **state)
{
    static const uint8_t id[] = {0x01, 'A'};
    const struct mtls_agent_key key = {
        .token_label = "My Token;1",
        .token_serial = "0123",
        .label = "w\xc3\xb6rk",
        .id = {id, sizeof(id)},
    };

    pkcs11_uri_format(&key, *state);
    expect(*state, "pkcs11:token=My%20Token%3B1;serial=0123;id=%01%41;object=w%C3%B6rk;"
                   "type=private");
}

static void test_pkcs11_uri_leaves_out_what_is_unknown(void **state)
{
    const struct mtls_agent_key key = {.token_label = "", .token_serial = "9", .label = ""};

    pkcs11_uri_format(&key, *state);
    expect(*state, "pkcs11:serial=9;type=private");
}

static void test_pem_has_lines_of_64(void **state)
{
    static const uint8_t der[49] = {0};
    const struct mtls_agent_key key = {.cert_count = 1, .certs = {{der, sizeof(der)}}};

    pem_put_certificates(&key, *state);
    expect(*state, "-----BEGIN CERTIFICATE-----\n"
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                   "AA==\n"
                   "-----END CERTIFICATE-----\n");
}

static const char *const words[] = {"list", "status", "cert", "key-ref", "run", "check-config"};

static const struct {
    const char *typed;
    const char *meant;
} typos[] = {
    {"lsit", "list"},
    {"lst", "list"},
    {"state", "status"},
    {"stat", "status"},
    {"keyref", "key-ref"},
    {"check", "check-config"},
    {"rn", "run"},
    {"x", NULL},
    {"frobnicate", NULL},
    {"", NULL},
    {"a-word-that-is-longer-than-any-command-there-is", NULL},
};

static void test_nearest_finds_what_was_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(typos); i++) {
        const char *found = nearest_find(typos[i].typed, words, ARRAY_SIZE(words));
        if (typos[i].meant)
            assert_string_equal(found ? found : "(none)", typos[i].meant);
        else
            assert_null(found);
    }
}

static void test_nearest_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("list", "list"), 0);
    assert_int_equal(nearest_distance("list", "lits"), 1);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_nests_objects_and_arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_of_nothing_is_an_empty_array, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_escapes_what_is_untrusted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shell_quote_gives_one_word, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pkcs11_uri_encodes_what_rfc7512_wants, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pkcs11_uri_leaves_out_what_is_unknown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pem_has_lines_of_64, setup, teardown),
        cmocka_unit_test(test_nearest_finds_what_was_meant),
        cmocka_unit_test(test_nearest_distance_counts_edits),
    };
    return cmocka_run_group_tests_name("cli-text", tests, NULL, NULL);
}
