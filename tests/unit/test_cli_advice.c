/* SPDX-License-Identifier: Apache-2.0 */
/* What `mtls status` tells people to do: one line for each problem, none without one. */
#include "client/cli/advice.h"

#include <string.h>

#include "common/escape.h"
#include "unit.h"

static void collect(void *context, const char *line)
{
    escape_put_raw(context, line);
    wire_put_u8(context, '\n');
}

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

static const struct mtls_agent_module_status ready_module = {
    .name = "m", .path = "/m.so", .state = MTLS_AGENT_MODULE_READY, .text = ""};

static const char *advice_on(struct wire_writer *out, const struct mtls_agent_status *status)
{
    advice_give(status, collect, out);
    wire_put_u8(out, '\0');
    assert_false(out->failed);
    return (const char *)out->data;
}

static struct mtls_agent_status status_with(const struct mtls_agent_token_status *tokens,
                                            size_t count)
{
    return (struct mtls_agent_status){
        .config_text = "",
        .readers_text = "",
        .module_count = 1,
        .modules = &ready_module,
        .token_count = count,
        .tokens = tokens,
    };
}

static void test_a_healthy_agent_needs_nothing(void **state)
{
    const struct mtls_agent_token_status token = {
        .label = "demo", .serial = "1", .state = MTLS_AGENT_TOKEN_READY, .text = ""};
    struct mtls_agent_status status = status_with(&token, 1);

    assert_string_equal(advice_on(*state, &status), "");
}

static void test_a_locked_token_names_the_command(void **state)
{
    const struct mtls_agent_token_status token = {
        .label = "my token", .serial = "1", .state = MTLS_AGENT_TOKEN_LOCKED, .text = ""};
    struct mtls_agent_status status = status_with(&token, 1);

    assert_string_equal(advice_on(*state, &status),
                        "Token my token waits for its PIN. Run: mtls unlock 'my token'\n");
}

static void test_tokens_of_one_label_are_named_by_serial(void **state)
{
    const struct mtls_agent_token_status tokens[] = {
        {.label = "card", .serial = "11", .state = MTLS_AGENT_TOKEN_LOCKED, .text = ""},
        {.label = "card", .serial = "22", .state = MTLS_AGENT_TOKEN_READY, .text = ""},
    };
    struct mtls_agent_status status = status_with(tokens, 2);

    assert_string_equal(advice_on(*state, &status),
                        "Token card waits for its PIN. Run: mtls unlock 11\n");
}

static void test_a_refused_pin_shows_the_agents_words_once_stopped(void **state)
{
    const struct mtls_agent_token_status token = {.label = "demo",
                                                  .serial = "1",
                                                  .state = MTLS_AGENT_TOKEN_PIN_BAD,
                                                  .text = "the PIN of file:/p was refused."};
    struct mtls_agent_status status = status_with(&token, 1);

    assert_non_null(strstr(advice_on(*state, &status),
                           "refused the configured PIN: the PIN of file:/p was refused. Correct"));
}

static void test_every_module_state_but_ready_and_starting_is_a_problem(void **state)
{
    struct mtls_agent_module_status modules[] = {ready_module, ready_module, ready_module};
    struct mtls_agent_status status = status_with(NULL, 0);

    modules[0].state = MTLS_AGENT_MODULE_STARTING;
    modules[1].state = MTLS_AGENT_MODULE_FAILED;
    modules[1].text = "no such file";
    modules[2].state = MTLS_AGENT_MODULE_BACKOFF;
    modules[2].text = "it crashed";
    status.modules = modules;
    status.module_count = ARRAY_SIZE(modules);
    const char *text = advice_on(*state, &status);
    assert_non_null(strstr(text, "does not work: no such file."));
    assert_non_null(strstr(text, "fails again and again: it crashed."));
    assert_null(strstr(text, "No token"));
}

static void test_no_module_no_token_and_a_bad_reload_are_problems(void **state)
{
    struct mtls_agent_status status = {.config_text = "agent.conf:3: unknown key",
                                       .readers_text = ""};

    const char *text = advice_on(*state, &status);
    assert_non_null(strstr(text, "stays in force: agent.conf:3: unknown key. Correct it"));
    assert_non_null(strstr(text, "No PKCS#11 module is known."));
}

static void test_no_token_on_a_ready_module_is_a_problem(void **state)
{
    struct mtls_agent_status status = status_with(NULL, 0);

    assert_non_null(strstr(advice_on(*state, &status), "No token is there."));
}

static void test_a_card_that_cannot_be_had_names_who_has_it(void **state)
{
    const struct mtls_agent_reader_status reader = {
        .name = "Reader A", .state = MTLS_AGENT_READER_EXCLUSIVE, .text = "scdaemon (pid 7)"};
    struct mtls_agent_status status = status_with(NULL, 0);

    status.readers = &reader;
    status.reader_count = 1;
    status.readers_text = "pcscd is not there";
    const char *text = advice_on(*state, &status);
    assert_non_null(strstr(text, "There are no smart card readers: pcscd is not there"));
    assert_non_null(strstr(text, "in reader Reader A is held by another program for itself: "
                                 "scdaemon (pid 7)."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_healthy_agent_needs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_locked_token_names_the_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens_of_one_label_are_named_by_serial, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_refused_pin_shows_the_agents_words_once_stopped,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_module_state_but_ready_and_starting_is_a_problem,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_module_no_token_and_a_bad_reload_are_problems,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_token_on_a_ready_module_is_a_problem, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_card_that_cannot_be_had_names_who_has_it, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("cli-advice", tests, NULL, NULL);
}
