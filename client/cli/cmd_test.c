/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls test`: has a key sign a message that is of no use, verifies the signature, says how long it
 * took. What it finds out holds for TLS 1.3. */
#include "client/cli/cli.h"

#include <string.h>

#include "client/cli/json.h"
#include "client/cli/key_view.h"
#include "client/cli/patience.h"
#include "client/cli/self_test.h"
#include "common/clock.h"

enum {
    TEST_ALL,
    TEST_JSON,
};

static const struct cli_option test_options[] = {
    [TEST_ALL] = {"all", 'a', NULL, "test every TLS 1.3 scheme of the key, not only the first"},
    [TEST_JSON] = {"json", 0, NULL, "print a JSON object"},
};

struct test_result {
    const struct scheme *scheme;
    enum mtls_agent_code code; /* of the signing */
    bool verified;
    uint64_t us;
    int exit;
};

static int test_fail(const struct test_result *result, const struct mtls_agent_error *error)
{
    if (result->code == MTLS_AGENT_OK)
        return cli_fail(CLI_FAILURE,
                        "%s: the signature is wrong: it does not fit the public key. Do not use "
                        "this token; see the log of the agent",
                        result->scheme->name);
    return cli_fail_agent(error);
}

static struct test_result test_sign(struct mtls_agent *agent, const struct mtls_agent_key *key,
                                    const struct scheme *scheme)
{
    struct test_result result = {.scheme = scheme};
    struct mtls_agent_error error = {0};
    uint8_t content[SELF_TEST_CONTENT_LEN];
    uint8_t signature[MTLS_AGENT_SIGNATURE_MAX];
    size_t len = 0;

    if (self_test_content(content)) {
        result.code = MTLS_AGENT_E_MEMORY;
        result.exit = cli_fail_errno("cannot make the message", ENOMEM);
        return result;
    }
    uint64_t start_us = clock_monotonic_us();
    patience_begin("waiting for token %s: touch it if it blinks, enter its PIN if it asks...",
                   key->token_label);
    int r = mtls_agent_sign(agent, key->hash, scheme->code, MTLS_AGENT_TLS13, content,
                            sizeof(content), signature, sizeof(signature), &len, &error);
    patience_end();
    result.us = clock_monotonic_us() - start_us;
    result.code = (enum mtls_agent_code)r;
    result.verified = r == 0 && self_test_verify(key->spki, scheme,
                                                 (struct mtls_agent_bytes){signature, len}) == 0;
    if (!result.verified)
        result.exit = test_fail(&result, &error);
    return result;
}

static void test_put_text(const struct test_result *result, struct wire_writer *out)
{
    if (result->verified)
        cli_put_line(out, "%s: signed and verified in %.1f ms", result->scheme->name,
                     (double)result->us / 1000.0);
}

static void test_put_json(const struct test_result *result, struct json *json)
{
    bool signed_wrong = !result->verified && result->code == MTLS_AGENT_OK;

    json_begin_object(json, NULL);
    json_put_text(json, "scheme", result->scheme->name);
    json_put_bool(json, "ok", result->verified);
    json_put_text(json, "result",
                  signed_wrong ? "wrong-signature" : mtls_agent_code_name(result->code));
    json_put_ms(json, "ms", result->us);
    json_end_object(json);
}

/* Without --all the first scheme that works is enough. A module that fails in one may do another;
 * any other answer would be the same for all. */
static bool test_is_enough(const struct test_result *result, bool all)
{
    return !all && (result->verified || result->code != MTLS_AGENT_E_INTERNAL);
}

static int test_schemes(struct mtls_agent *agent, const struct mtls_agent_key *key, bool all,
                        struct json *json, struct wire_writer *out)
{
    int failure = CLI_OK;
    bool works = false;
    bool tested = false;

    for (size_t i = 0; i < key->scheme_count; i++) {
        const struct scheme *scheme = scheme_find(key->schemes[i]);
        if (!scheme || !scheme_fits_tls13(scheme, (enum key_type)key->type, key->bits))
            continue;
        struct test_result result = test_sign(agent, key, scheme);
        tested = true;
        works = works || result.verified;
        failure = failure ? failure : result.exit;
        if (json)
            test_put_json(&result, json);
        else
            test_put_text(&result, out);
        if (test_is_enough(&result, all))
            break;
    }
    if (key_view_is_tls12_only(key))
        return cli_fail(CLI_FAILURE,
                        "key %s is for TLS 1.2 only: token %s can do neither RSA-PSS nor raw RSA. "
                        "Limit the program to TLS 1.2 (`mtls run` does it), or use another key",
                        key->name, key->token_label);
    if (!tested)
        return cli_fail(CLI_FAILURE,
                        "key %s can do no scheme of TLS 1.3. Use it with TLS 1.2, or "
                        "use another key",
                        key->name);
    return works && !all ? CLI_OK : failure;
}

static int test_with_json(struct mtls_agent *agent, const struct mtls_agent_key *key, bool all,
                          struct wire_writer *out)
{
    struct json json = JSON_INIT(out);
    char hash[KEY_VIEW_HASH_MAX];

    json_begin_object(&json, NULL);
    json_put_text(&json, "name", key->name);
    json_put_text(&json, "hash", key_view_hash(key->hash, hash));
    json_begin_array(&json, "schemes");
    int r = test_schemes(agent, key, all, &json, out);
    json_end_array(&json);
    json_put_bool(&json, "ok", r == CLI_OK);
    json_end_object(&json);
    json_finish(&json);
    return r;
}

static int test_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    _cleanup_wire_writer_ struct wire_writer out = {0};
    const struct mtls_agent_key *key = NULL;
    bool all = args->values[TEST_ALL] != NULL;

    if (!agent)
        return CLI_FAILURE;
    int r = key_view_find(agent, cli_operand(args, 0), &keys, &key);
    if (r)
        return r;
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    r = args->values[TEST_JSON] ? test_with_json(agent, key, all, &out)
                                : test_schemes(agent, key, all, NULL, &out);
    int printed = cli_print(&out);
    return r ? r : printed;
}

const struct cli_command cmd_test = {
    .name = "test",
    .operands = "KEY",
    .summary = "Sign a message of no use, verify the signature, show the time",
    .details = "",
    .options = test_options,
    .option_count = ARRAY_SIZE(test_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = test_run,
};
