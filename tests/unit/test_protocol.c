/* SPDX-License-Identifier: Apache-2.0 */
/* Client protocol messages: what holds for all of them, then the values that each refuses. */
#include "common/protocol.h"

#include <string.h>

#include "message_checks.h"

static struct message_set messages = {client_messages, &client_message_count};

static void test_hello_with_crossed_versions_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_hello msg;

    assert_int_equal(protocol_hello_encode(writer, &(struct protocol_hello){2, 1, {0}}), 0);
    assert_int_equal(protocol_hello_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static const struct {
    uint32_t mask;
    int answer;
} masks[] = {
    {0, WIRE_E_MALFORMED}, {EVENT_KEYS_CHANGED, 0},     {EVENT_TOKEN_CHANGED, 0},
    {EVENT_ALL, 0},        {1u << 4, WIRE_E_MALFORMED}, {EVENT_ALL | 1u << 31, WIRE_E_MALFORMED},
};

static void test_event_that_is_not_of_one_kind_is_refused(void **state)
{
    static const uint32_t kinds[] = {0, EVENT_ALL, 1u << 4, 1u << 31};
    struct wire_writer *writer = *state;
    struct protocol_event msg;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        wire_writer_reset(writer);
        assert_int_equal(protocol_event_encode(writer, &(struct protocol_event){1, kinds[i]}), 0);
        assert_int_equal(protocol_event_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    }
}

static void test_subscribe_with_unknown_or_no_events_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_subscribe msg;

    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        wire_writer_reset(writer);
        assert_int_equal(
            protocol_subscribe_encode(writer, &(struct protocol_subscribe){1, masks[i].mask}), 0);
        assert_int_equal(protocol_subscribe_parse(message_body(writer), &msg), masks[i].answer);
    }
}

static void test_sign_with_key_hash_of_other_length_is_refused(void **state)
{
    static const size_t lengths[] = {0, 1, 31, 33, 64};
    struct wire_writer *writer = *state;
    struct protocol_sign msg;

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        wire_writer_reset(writer);
        assert_int_equal(
            protocol_sign_encode(writer,
                                 &(struct protocol_sign){.key_hash = message_filler(lengths[i])}),
            0);
        assert_int_equal(protocol_sign_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    }
}

static void test_sign_with_unknown_kind_is_parsed_so_that_the_error_can_name_it(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_sign msg;

    assert_int_equal(
        protocol_sign_encode(
            writer, &(struct protocol_sign){.id = 5, .key_hash = message_filler(32), .kind = 200}),
        0);
    assert_int_equal(protocol_sign_parse(message_body(writer), &msg), 0);
    assert_int_equal(msg.kind, 200);
}

static void test_sign_encode_with_content_over_a_frame_fails(void **state)
{
    struct wire_writer *writer = *state;
    _cleanup_free_ uint8_t *content = calloc(1, WIRE_FRAME_MAX);
    struct protocol_sign msg = {.key_hash = message_filler(32),
                                .content = {content, WIRE_FRAME_MAX}};

    assert_non_null(content);
    assert_int_equal(protocol_sign_encode(writer, &msg), WIRE_E_MALFORMED);
    assert_int_equal(writer->len, 0);
}

/* Texts of each message at their limit and one byte over it. */
static int parse_hello_name(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_hello msg;

    return protocol_hello_encode(writer, &(struct protocol_hello){1, 1, text}) ||
           protocol_hello_parse(message_body(writer), &msg);
}

static int parse_hello_reply_version(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_hello_reply msg;

    return protocol_hello_reply_encode(writer, &(struct protocol_hello_reply){1, text}) ||
           protocol_hello_reply_parse(message_body(writer), &msg);
}

static int parse_list_selector(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_list msg;

    return protocol_list_encode(writer, &(struct protocol_list){1, 0, text}) ||
           protocol_list_parse(message_body(writer), &msg);
}

static int parse_unlock_selector(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_token_request msg = {1, text};

    return protocol_token_request_encode(writer, PROTOCOL_UNLOCK, &msg) ||
           protocol_token_request_parse(message_body(writer), &msg);
}

static int parse_event_subject(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_event msg = {1, EVENT_KEYS_CHANGED, text, {0}};

    return protocol_event_encode(writer, &msg) || protocol_event_parse(message_body(writer), &msg);
}

static int parse_event_text(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_event msg = {1, EVENT_KEYS_CHANGED, {0}, text};

    return protocol_event_encode(writer, &msg) || protocol_event_parse(message_body(writer), &msg);
}

static int parse_error_text(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_error msg = {1, PROTOCOL_E_PROTO, text};

    return protocol_error_encode(writer, &msg) || protocol_error_parse(message_body(writer), &msg);
}

static int parse_status_text(struct wire_writer *writer, struct wire_span text)
{
    struct protocol_status_reply msg = {.config_text = text};
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);

    protocol_status_reply_begin_tokens(writer, &mark);
    protocol_status_reply_begin_refusals(writer, &mark);
    protocol_status_reply_begin_readers(writer, &mark, (struct wire_span){0});
    return protocol_status_reply_end(writer, &mark) ||
           protocol_status_reply_parse(message_body(writer), &msg);
}

static int parse_status_refusal(struct wire_writer *writer,
                                const struct protocol_status_refusal *refusal)
{
    struct protocol_status_reply msg = {0};
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);

    protocol_status_reply_begin_tokens(writer, &mark);
    protocol_status_reply_begin_refusals(writer, &mark);
    protocol_status_reply_add_refusal(writer, refusal);
    protocol_status_reply_begin_readers(writer, &mark, (struct wire_span){0});
    return protocol_status_reply_end(writer, &mark) ||
           protocol_status_reply_parse(message_body(writer), &msg);
}

static int parse_refusal_program(struct wire_writer *writer, struct wire_span text)
{
    return parse_status_refusal(writer, &(struct protocol_status_refusal){.program = text});
}

static int parse_refusal_key(struct wire_writer *writer, struct wire_span text)
{
    return parse_status_refusal(writer, &(struct protocol_status_refusal){.key = text});
}

static int parse_refusal_text(struct wire_writer *writer, struct wire_span text)
{
    return parse_status_refusal(writer, &(struct protocol_status_refusal){.text = text});
}

static const struct {
    const char *name;
    size_t max;
    int (*parse)(struct wire_writer *writer, struct wire_span text);
} text_fields[] = {
    {"hello client_name", PROTOCOL_NAME_MAX, parse_hello_name},
    {"hello-reply agent_version", PROTOCOL_NAME_MAX, parse_hello_reply_version},
    {"list selector", PROTOCOL_SELECTOR_MAX, parse_list_selector},
    {"unlock selector", PROTOCOL_SELECTOR_MAX, parse_unlock_selector},
    {"event subject", PROTOCOL_NAME_MAX, parse_event_subject},
    {"event text", PROTOCOL_TEXT_MAX, parse_event_text},
    {"error text", PROTOCOL_TEXT_MAX, parse_error_text},
    {"status config_text", PROTOCOL_TEXT_MAX, parse_status_text},
    {"status refusal program", PROTOCOL_SELECTOR_MAX, parse_refusal_program},
    {"status refusal key", PROTOCOL_NAME_MAX, parse_refusal_key},
    {"status refusal text", PROTOCOL_TEXT_MAX, parse_refusal_text},
};

static void test_text_at_its_limit_is_accepted(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(text_fields); i++) {
        wire_writer_reset(*state);
        if (text_fields[i].parse(*state, message_filler(text_fields[i].max)))
            fail_msg("%s: refused", text_fields[i].name);
    }
}

static void test_text_over_its_limit_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(text_fields); i++) {
        wire_writer_reset(*state);
        if (!text_fields[i].parse(*state, message_filler(text_fields[i].max + 1)))
            fail_msg("%s: accepted", text_fields[i].name);
    }
}

static void test_text_with_nul_or_invalid_utf8_is_refused(void **state)
{
    static const struct wire_span bad[] = {
        {(const uint8_t *)"a\0b", 3},
        {(const uint8_t *)"a\xff", 2},
        {(const uint8_t *)"\xc0\x80", 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(text_fields); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
            wire_writer_reset(*state);
            if (!text_fields[i].parse(*state, bad[j]))
                fail_msg("%s: text %zu accepted", text_fields[i].name, j);
        }
    }
}

/* A key that every parser takes; tests change one thing of it. */
static struct protocol_key good_key(void)
{
    return (struct protocol_key){
        .name = WIRE_SPAN_LITERAL("work"),
        .key_hash = message_filler(PROTOCOL_KEY_HASH_LEN),
        .type = KEY_TYPE_EC,
        .bits = 256,
        .state = KEY_STATE_READY,
        .policy = KEY_POLICY_TLS,
    };
}

static int parse_list_of(struct wire_writer *writer, const struct protocol_key *key)
{
    struct protocol_list_reply msg;
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 1);

    assert_true(protocol_list_reply_add(writer, &mark, key));
    assert_int_equal(protocol_list_reply_end(writer, &mark, 1, 0), 0);
    return protocol_list_reply_parse(message_body(writer), &msg);
}

static void test_list_reply_with_good_key_is_accepted(void **state)
{
    struct protocol_key key = good_key();

    assert_int_equal(parse_list_of(*state, &key), 0);
}

static void test_list_reply_with_type_outside_the_enum_is_refused(void **state)
{
    static const unsigned int types[] = {0, KEY_TYPE_ED25519 + 1, UINT32_MAX};
    struct protocol_key key = good_key();

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        wire_writer_reset(*state);
        key.type = (enum key_type)types[i];
        assert_int_equal(parse_list_of(*state, &key), WIRE_E_MALFORMED);
    }
}

static void test_list_reply_with_state_outside_the_enum_is_refused(void **state)
{
    static const unsigned int states[] = {0, KEY_STATE_ABSENT + 1, UINT32_MAX};
    struct protocol_key key = good_key();

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        wire_writer_reset(*state);
        key.state = (enum key_state)states[i];
        assert_int_equal(parse_list_of(*state, &key), WIRE_E_MALFORMED);
    }
}

static void test_list_reply_with_policy_outside_the_enum_is_refused(void **state)
{
    static const unsigned int policies[] = {0, KEY_POLICY_DIGEST + 1, UINT32_MAX};
    struct protocol_key key = good_key();

    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        wire_writer_reset(*state);
        key.policy = (enum key_policy)policies[i];
        assert_int_equal(parse_list_of(*state, &key), WIRE_E_MALFORMED);
    }
}

static void test_list_reply_with_long_fields_is_refused(void **state)
{
    static const struct {
        size_t offset;
        size_t max;
    } fields[] = {
        {offsetof(struct protocol_key, name), PROTOCOL_NAME_MAX},
        {offsetof(struct protocol_key, key_hash), PROTOCOL_KEY_HASH_LEN},
        {offsetof(struct protocol_key, label), PROTOCOL_NAME_MAX},
        {offsetof(struct protocol_key, ck_id), PROTOCOL_ID_MAX},
        {offsetof(struct protocol_key, token_label), PROTOCOL_NAME_MAX},
        {offsetof(struct protocol_key, token_serial), PROTOCOL_NAME_MAX},
        {offsetof(struct protocol_key, module), PROTOCOL_NAME_MAX},
        {offsetof(struct protocol_key, spki), PROTOCOL_DER_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        struct protocol_key key = good_key();
        struct wire_span too_long = message_filler(fields[i].max + 1);
        wire_writer_reset(*state);
        memcpy((char *)&key + fields[i].offset, &too_long, sizeof(too_long));
        assert_int_equal(parse_list_of(*state, &key), WIRE_E_MALFORMED);
    }
}

static void test_list_reply_with_certificate_over_the_cap_is_refused(void **state)
{
    struct protocol_key key = good_key();

    key.cert_count = 1;
    key.certs[0] = message_filler(PROTOCOL_DER_MAX + 1);
    assert_int_equal(parse_list_of(*state, &key), WIRE_E_MALFORMED);
}

/* good_key() ends with its two counts, four bytes each: where their low bytes are, from the end. */
#define SCHEME_COUNT_FROM_END 5u
#define CERT_COUNT_FROM_END 1u

static int parse_list_with_patched_byte(struct wire_writer *writer, size_t from_end, uint8_t value)
{
    struct protocol_key key = good_key();
    struct protocol_list_reply msg;

    assert_int_equal(parse_list_of(writer, &key), 0);
    writer->data[writer->len - from_end] = value;
    return protocol_list_reply_parse(message_body(writer), &msg);
}

static void test_list_reply_with_too_many_schemes_is_refused(void **state)
{
    assert_int_equal(parse_list_with_patched_byte(*state, SCHEME_COUNT_FROM_END, SCHEMES_MAX + 1),
                     WIRE_E_MALFORMED);
}

static void test_list_reply_with_too_many_certificates_is_refused(void **state)
{
    assert_int_equal(
        parse_list_with_patched_byte(*state, CERT_COUNT_FROM_END, PROTOCOL_CERTS_MAX + 1),
        WIRE_E_MALFORMED);
}

static void test_list_reply_with_wrong_key_count_is_refused(void **state)
{
    static const uint32_t counts[] = {0, 2, UINT32_MAX};
    struct wire_writer *writer = *state;
    struct protocol_key key = good_key();
    struct protocol_list_reply msg;

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        wire_writer_reset(writer);
        struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 1);
        assert_true(protocol_list_reply_add(writer, &mark, &key));
        assert_int_equal(protocol_list_reply_end(writer, &mark, counts[i], 0), 0);
        assert_int_equal(protocol_list_reply_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    }
}

static void test_list_reply_empty_has_no_key(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_list_reply msg;
    struct protocol_key key;
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 0);

    assert_int_equal(protocol_list_reply_end(writer, &mark, 0, 0), 0);
    assert_int_equal(protocol_list_reply_parse(message_body(writer), &msg), 0);
    assert_false(protocol_list_reply_next_key(&msg.keys, &key));
}

/* A key of the largest size that still shares a page with others. */
static struct protocol_key big_key(void)
{
    struct protocol_key key = good_key();

    key.spki = message_filler(500);
    key.scheme_count = SCHEMES_MAX;
    key.cert_count = 2;
    key.certs[0] = message_filler(20000);
    key.certs[1] = message_filler(10000);
    return key;
}

static void test_list_reply_add_stops_when_the_page_is_full(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_key key = big_key();
    struct protocol_list_reply msg;
    uint32_t count = 0;
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 100);

    while (count < 100 && protocol_list_reply_add(writer, &mark, &key))
        count++;
    assert_int_equal(count, 8);
    assert_int_equal(protocol_list_reply_end(writer, &mark, count, count), 0);
    assert_int_equal(protocol_list_reply_parse(message_body(writer), &msg), 0);
    assert_int_equal(msg.next, 8);
    assert_int_equal(msg.total, 100);
}

static void test_list_reply_page_fills_the_frame_behind_other_output(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_key key = big_key();
    uint32_t count = 0;

    assert_int_equal(protocol_bare_encode(writer, PROTOCOL_STATUS, 1), 0);
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 100);
    while (count < 100 && protocol_list_reply_add(writer, &mark, &key))
        count++;
    assert_int_equal(count, 8);
    assert_int_equal(protocol_list_reply_end(writer, &mark, count, count), 0);
}

static void test_list_reply_add_of_a_key_larger_than_a_frame_says_no(void **state)
{
    struct wire_writer *writer = *state;
    struct protocol_key key = good_key();
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 1, 1);

    key.cert_count = PROTOCOL_CERTS_MAX;
    for (size_t i = 0; i < PROTOCOL_CERTS_MAX; i++)
        key.certs[i] = message_filler(PROTOCOL_DER_MAX);
    assert_false(protocol_list_reply_add(writer, &mark, &key));
    assert_int_equal(protocol_list_reply_end(writer, &mark, 0, 0), 0);
}

static int parse_status_with(struct wire_writer *writer,
                             const struct protocol_status_module *module,
                             const struct protocol_status_token *token)
{
    struct protocol_status_reply msg = {0};
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);

    if (module)
        protocol_status_reply_add_module(writer, module);
    protocol_status_reply_begin_tokens(writer, &mark);
    if (token)
        assert_true(protocol_status_reply_add_token(writer, &mark, token));
    protocol_status_reply_begin_refusals(writer, &mark);
    protocol_status_reply_begin_readers(writer, &mark, (struct wire_span){0});
    assert_int_equal(protocol_status_reply_end(writer, &mark), 0);
    return protocol_status_reply_parse(message_body(writer), &msg);
}

static void test_status_reply_with_module_state_outside_the_enum_is_refused(void **state)
{
    static const unsigned int states[] = {0, MODULE_STATE_RELEASED + 1, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        struct protocol_status_module module = {.state = (enum module_state)states[i]};
        wire_writer_reset(*state);
        assert_int_equal(parse_status_with(*state, &module, NULL), WIRE_E_MALFORMED);
    }
}

static void test_status_reply_with_token_state_outside_the_enum_is_refused(void **state)
{
    static const unsigned int states[] = {0, TOKEN_STATE_PIN_BLOCKED + 1, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        struct protocol_status_token token = {.state = (enum token_state)states[i]};
        wire_writer_reset(*state);
        assert_int_equal(parse_status_with(*state, NULL, &token), WIRE_E_MALFORMED);
    }
}

static int parse_status_with_refusals(struct wire_writer *writer, size_t count)
{
    struct protocol_status_reply msg = {0};
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);

    protocol_status_reply_begin_tokens(writer, &mark);
    protocol_status_reply_begin_refusals(writer, &mark);
    for (size_t i = 0; i < count; i++)
        protocol_status_reply_add_refusal(writer, &(struct protocol_status_refusal){.kind = 200});
    protocol_status_reply_begin_readers(writer, &mark, (struct wire_span){0});
    assert_int_equal(protocol_status_reply_end(writer, &mark), 0);
    return protocol_status_reply_parse(message_body(writer), &msg);
}

static void test_status_reply_with_most_refusals_is_accepted(void **state)
{
    assert_int_equal(parse_status_with_refusals(*state, PROTOCOL_REFUSALS_MAX), 0);
}

static void test_status_reply_with_more_refusals_is_refused(void **state)
{
    assert_int_equal(parse_status_with_refusals(*state, PROTOCOL_REFUSALS_MAX + 1),
                     WIRE_E_MALFORMED);
}

static int parse_status_with_readers(struct wire_writer *writer, size_t count, unsigned int number)
{
    struct protocol_status_reply msg = {0};
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);

    protocol_status_reply_begin_tokens(writer, &mark);
    protocol_status_reply_begin_refusals(writer, &mark);
    protocol_status_reply_begin_readers(writer, &mark, (struct wire_span){0});
    for (size_t i = 0; i < count; i++)
        protocol_status_reply_add_reader(
            writer, &(struct protocol_status_reader){.state = (enum reader_state)number});
    assert_int_equal(protocol_status_reply_end(writer, &mark), 0);
    return protocol_status_reply_parse(message_body(writer), &msg);
}

static void test_status_reply_with_more_readers_is_refused(void **state)
{
    assert_int_equal(
        parse_status_with_readers(*state, PROTOCOL_READERS_MAX, READER_STATE_UNAVAILABLE), 0);
    wire_writer_reset(*state);
    assert_int_equal(
        parse_status_with_readers(*state, PROTOCOL_READERS_MAX + 1, READER_STATE_UNAVAILABLE),
        WIRE_E_MALFORMED);
}

static void test_status_reply_with_reader_state_outside_the_enum_is_refused(void **state)
{
    static const unsigned int states[] = {0, READER_STATE_UNAVAILABLE + 1, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        wire_writer_reset(*state);
        assert_int_equal(parse_status_with_readers(*state, 1, states[i]), WIRE_E_MALFORMED);
    }
}

static void test_status_reply_without_modules_and_tokens_is_accepted(void **state)
{
    assert_int_equal(parse_status_with(*state, NULL, NULL), 0);
}

static const struct {
    uint32_t code;
    const char *name;
} error_names[] = {
    {0, "unknown"},
    {PROTOCOL_E_PROTO, "protocol"},
    {PROTOCOL_E_VERSION, "version"},
    {PROTOCOL_E_POLICY, "policy"},
    {PROTOCOL_E_NO_KEY, "no-key"},
    {PROTOCOL_E_AMBIGUOUS, "ambiguous"},
    {PROTOCOL_E_TOKEN_GONE, "token-gone"},
    {PROTOCOL_E_LOCKED, "locked"},
    {PROTOCOL_E_PIN, "pin"},
    {PROTOCOL_E_BUSY, "busy"},
    {PROTOCOL_E_TIMEOUT, "timeout"},
    {PROTOCOL_E_INTERNAL, "internal"},
    {PROTOCOL_E_INTERNAL + 1, "unknown"},
    {UINT32_MAX, "unknown"},
};

static void test_error_name_of_every_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(error_names); i++)
        assert_string_equal(protocol_error_name(error_names[i].code), error_names[i].name);
}

static void test_sign_kind_name_of_every_kind(void **state)
{
    (void)state;
    assert_string_equal(sign_kind_name(SIGN_KIND_TLS13), "tls13");
    assert_string_equal(sign_kind_name(SIGN_KIND_TLS12), "tls12");
    assert_string_equal(sign_kind_name(SIGN_KIND_DIGEST), "digest");
    assert_null(sign_kind_name(0));
    assert_null(sign_kind_name(4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_SET_TESTS(&messages),
        MESSAGE_TEST(test_hello_with_crossed_versions_is_refused),
        MESSAGE_TEST(test_subscribe_with_unknown_or_no_events_is_refused),
        MESSAGE_TEST(test_event_that_is_not_of_one_kind_is_refused),
        MESSAGE_TEST(test_sign_with_key_hash_of_other_length_is_refused),
        MESSAGE_TEST(test_sign_with_unknown_kind_is_parsed_so_that_the_error_can_name_it),
        MESSAGE_TEST(test_sign_encode_with_content_over_a_frame_fails),
        MESSAGE_TEST(test_text_at_its_limit_is_accepted),
        MESSAGE_TEST(test_text_over_its_limit_is_refused),
        MESSAGE_TEST(test_text_with_nul_or_invalid_utf8_is_refused),
        MESSAGE_TEST(test_list_reply_with_good_key_is_accepted),
        MESSAGE_TEST(test_list_reply_with_type_outside_the_enum_is_refused),
        MESSAGE_TEST(test_list_reply_with_state_outside_the_enum_is_refused),
        MESSAGE_TEST(test_list_reply_with_policy_outside_the_enum_is_refused),
        MESSAGE_TEST(test_list_reply_with_long_fields_is_refused),
        MESSAGE_TEST(test_list_reply_with_certificate_over_the_cap_is_refused),
        MESSAGE_TEST(test_list_reply_with_too_many_schemes_is_refused),
        MESSAGE_TEST(test_list_reply_with_too_many_certificates_is_refused),
        MESSAGE_TEST(test_list_reply_with_wrong_key_count_is_refused),
        MESSAGE_TEST(test_list_reply_empty_has_no_key),
        MESSAGE_TEST(test_list_reply_add_stops_when_the_page_is_full),
        MESSAGE_TEST(test_list_reply_page_fills_the_frame_behind_other_output),
        MESSAGE_TEST(test_list_reply_add_of_a_key_larger_than_a_frame_says_no),
        MESSAGE_TEST(test_status_reply_with_module_state_outside_the_enum_is_refused),
        MESSAGE_TEST(test_status_reply_with_token_state_outside_the_enum_is_refused),
        MESSAGE_TEST(test_status_reply_with_most_refusals_is_accepted),
        MESSAGE_TEST(test_status_reply_with_more_refusals_is_refused),
        MESSAGE_TEST(test_status_reply_with_more_readers_is_refused),
        MESSAGE_TEST(test_status_reply_with_reader_state_outside_the_enum_is_refused),
        MESSAGE_TEST(test_status_reply_without_modules_and_tokens_is_accepted),
        cmocka_unit_test(test_error_name_of_every_code),
        cmocka_unit_test(test_sign_kind_name_of_every_kind),
    };

    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
