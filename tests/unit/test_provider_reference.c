/* SPDX-License-Identifier: Apache-2.0 */
/* Key references, their URIs, base64 and DER: the parts that need no OpenSSL. */
#include <string.h>

#include "client/provider/base64.h"
#include "client/provider/key_reference.h"
#include "common/der.h"
#include "tests/unit/unit.h"

#define BEGIN "-----BEGIN MTLS AGENT KEY REFERENCE-----\n"
#define END "-----END MTLS AGENT KEY REFERENCE-----\n"

static const struct {
    const char *selector;
    const char *uri;
} uri_table[] = {
    {"work", "mtls-agent:work"},
    {"my key", "mtls-agent:my%20key"},
    {"a/b?c#d", "mtls-agent:a%2Fb%3Fc%23d"},
    {"100%", "mtls-agent:100%25"},
    {"w\xc3\xb6rk", "mtls-agent:w%C3%B6rk"},
    {"me@corp.example", "mtls-agent:me@corp.example"},
    {"sha256:0123456789abcdef", "mtls-agent:sha256:0123456789abcdef"},
    {"pkcs11:token=a%20b;id=%01%ff", "mtls-agent:pkcs11:token=a%20b;id=%01%ff"},
};

static void test_uri_from_selector_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(uri_table); i++) {
        _cleanup_free_ char *uri = NULL;
        _cleanup_free_ char *selector = NULL;
        assert_int_equal(key_uri_from_selector(uri_table[i].selector, &uri), 0);
        assert_string_equal(uri, uri_table[i].uri);
        assert_int_equal(key_uri_to_selector(uri, &selector), 0);
        assert_string_equal(selector, uri_table[i].selector);
    }
}

static void test_uri_to_selector_drops_query_of_pkcs11(void **state)
{
    static const char *const uris[] = {
        "mtls-agent:pkcs11:object=a?pin-value=1234",
        "pkcs11:object=a?pin-value=1234",
        "PKCS11:object=a?module-path=/x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
        _cleanup_free_ char *selector = NULL;
        assert_int_equal(key_uri_to_selector(uris[i], &selector), 0);
        assert_string_equal(selector + strlen("pkcs11:"), "object=a");
    }
}

static void test_uri_from_selector_writes_no_pin(void **state)
{
    _cleanup_free_ char *uri = NULL;

    (void)state;
    assert_int_equal(key_uri_from_selector("pkcs11:object=a?pin-value=1234", &uri), 0);
    assert_string_equal(uri, "mtls-agent:pkcs11:object=a");
}

static void test_uri_to_selector_refuses(void **state)
{
    static const char *const uris[] = {
        "",
        "work",
        "mtls-agent",
        "file:/etc/passwd",
        "mtls-agent2:work",
        "mtls-agent:%",
        "mtls-agent:%4",
        "mtls-agent:%4g",
        "mtls-agent:%g4",
        "mtls-agent:a%00b",
        "mtls-agent:%ff",
        "mtls-agent:%c0%80",
        "mtls-agent:\xff",
    };
    char *selector = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(uris); i++)
        assert_int_equal(key_uri_to_selector(uris[i], &selector), KEY_REFERENCE_E_MALFORMED);
    assert_null(selector);
}

static void test_uri_length_is_bounded(void **state)
{
    _cleanup_free_ char *selector = calloc(1, KEY_URI_MAX + 2);
    char *uri = NULL;

    (void)state;
    memset(selector, 'a', KEY_URI_MAX + 1);
    assert_int_equal(key_uri_from_selector(selector, &uri), KEY_REFERENCE_E_MALFORMED);
    assert_int_equal(key_uri_from_selector("", &uri), KEY_REFERENCE_E_MALFORMED);
    selector[KEY_URI_MAX - strlen(KEY_URI_SCHEME)] = '\0';
    assert_int_equal(key_uri_from_selector(selector, &uri), 0);
    _cleanup_free_ char *pem = NULL;
    assert_int_equal(key_reference_encode_pem(uri, &pem), 0);
    free(TAKE_PTR(uri));
    assert_int_equal(key_reference_parse_pem(pem, strlen(pem), &uri), 0);
    free(uri);
}

static void test_encode_and_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(uri_table); i++) {
        _cleanup_free_ char *pem = NULL;
        _cleanup_free_ char *uri = NULL;
        assert_int_equal(key_reference_encode_pem(uri_table[i].uri, &pem), 0);
        assert_int_equal(strncmp(pem, BEGIN, strlen(BEGIN)), 0);
        assert_string_equal(pem + strlen(pem) - strlen(END), END);
        assert_int_equal(key_reference_parse_pem(pem, strlen(pem), &uri), 0);
        assert_string_equal(uri, uri_table[i].uri);
    }
}

/* Files that people have written must stay readable. */
static void test_encode_is_what_it_was(void **state)
{
    _cleanup_free_ char *pem = NULL;

    (void)state;
    assert_int_equal(key_reference_encode_pem("mtls-agent:work", &pem), 0);
    assert_string_equal(pem, BEGIN
                        "MC0MGm10bHMtYWdlbnQga2V5IHJlZmVyZW5jZSAxDA9tdGxzLWFnZW50Ondvcms=\n" END);
}

static void test_encode_refuses_what_names_no_key(void **state)
{
    static const char *const uris[] = {"", "mtls-agent:", "pkcs11:object=a", "work",
                                       "mtls-agent:%zz"};
    char *pem = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(uris); i++)
        assert_int_equal(key_reference_encode_pem(uris[i], &pem), KEY_REFERENCE_E_MALFORMED);
    assert_null(pem);
}

static void test_parse_of_other_labels_is_another_answer(void **state)
{
    static const char *const files[] = {
        "",
        "\n",
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
        "-----BEGIN MTLS AGENT KEY REFERENCE\n",
        (" " BEGIN END),
        ("-----BEGIN MTLS AGENT KEY REFERENCE----- \nMAA=\n" END),
    };
    char *uri = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        assert_int_equal(key_reference_parse_pem(files[i], strlen(files[i]), &uri),
                         KEY_REFERENCE_E_OTHER);
    assert_null(uri);
}

static void parse_is_malformed(const char *pem, size_t len)
{
    char *uri = NULL;

    assert_int_equal(key_reference_parse_pem(pem, len, &uri), KEY_REFERENCE_E_MALFORMED);
    assert_null(uri);
}

static void test_parse_of_truncated_reference(void **state)
{
    _cleanup_free_ char *pem = NULL;

    (void)state;
    assert_int_equal(key_reference_encode_pem("mtls-agent:work", &pem), 0);
    for (size_t len = strlen(BEGIN); len < strlen(pem) - 1; len++)
        parse_is_malformed(pem, len);
}

static void test_parse_of_trailing_bytes(void **state)
{
    _cleanup_free_ char *pem = NULL;
    _cleanup_free_ char *longer = NULL;

    (void)state;
    assert_int_equal(key_reference_encode_pem("mtls-agent:work", &pem), 0);
    assert_true(asprintf(&longer, "%sx", pem) > 0);
    parse_is_malformed(longer, strlen(longer));
    parse_is_malformed(pem, strlen(pem) + 1); /* its NUL */
}

/* A reference around any DER. */
static char *wrap(struct wire_span der)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer text = {.max = 65536};

    for (const char *at = BEGIN; *at; at++)
        wire_put_u8(&text, (uint8_t)*at);
    base64_encode(&text, der);
    for (const char *at = END; *at; at++)
        wire_put_u8(&text, (uint8_t)*at);
    wire_put_u8(&text, 0);
    assert_false(text.failed);
    return (char *)TAKE_PTR(text.data);
}

static void test_parse_of_wrong_der(void **state)
{
#define VERSION "\x0c\x1amtls-agent key reference 1"
#define URI "\x0c\x0fmtls-agent:work"
    static const struct wire_span contents[] = {
        WIRE_SPAN_LITERAL(""),
        WIRE_SPAN_LITERAL("\x30"),
        WIRE_SPAN_LITERAL("\x30\x00"),
        WIRE_SPAN_LITERAL("\x31\x2d" VERSION URI),            /* not a SEQUENCE */
        WIRE_SPAN_LITERAL("\x30\x2e" VERSION URI),            /* longer than it is */
        WIRE_SPAN_LITERAL("\x30\x2c" VERSION URI),            /* shorter */
        WIRE_SPAN_LITERAL("\x30\x81\x2d" VERSION URI),        /* length not minimal */
        WIRE_SPAN_LITERAL("\x30\x82\x00\x2d" VERSION URI),    /* likewise */
        WIRE_SPAN_LITERAL("\x30\x80" VERSION URI "\x00\x00"), /* indefinite length */
        WIRE_SPAN_LITERAL("\x30\x84\x00\x00\x00\x2d" VERSION URI),
        WIRE_SPAN_LITERAL("\x30\x2d" VERSION URI "\x00"), /* trailing */
        WIRE_SPAN_LITERAL("\x30\x2f" VERSION URI "\x05\x00"),
        WIRE_SPAN_LITERAL("\x30\x1c" VERSION),
        WIRE_SPAN_LITERAL("\x30\x2d\x0c\x1amtls-agent key reference 2" URI),
        WIRE_SPAN_LITERAL("\x30\x2d\x1a\x1amtls-agent key reference 1" URI),
        WIRE_SPAN_LITERAL("\x30\x2d" VERSION "\x0c\x0fpkcs11:object=a"),
        WIRE_SPAN_LITERAL("\x30\x2d" VERSION "\x0c\x0fmtls-agent:wor\0"),
        WIRE_SPAN_LITERAL("\x30\x2d" VERSION "\x0c\x0fmtls-agent:wor\xff"),
        WIRE_SPAN_LITERAL("\x30\x29" VERSION "\x0c\x0bmtls-agent:"),
        WIRE_SPAN_LITERAL("\x30\x2d" VERSION "\x0c\x0fmtls-agent:a%zz"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        _cleanup_free_ char *pem = wrap(contents[i]);
        parse_is_malformed(pem, strlen(pem));
    }
    _cleanup_free_ char *good = wrap(WIRE_SPAN_LITERAL("\x30\x2d" VERSION URI));
    _cleanup_free_ char *uri = NULL;
    assert_int_equal(key_reference_parse_pem(good, strlen(good), &uri), 0);
}

static void test_base64_of_all_lengths(void **state)
{
    uint8_t bytes[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer text = {.max = 1024};
        _cleanup_(cleanup_wire_writer) struct wire_writer back = {.max = 1024};
        base64_encode(&text, (struct wire_span){bytes, len});
        base64_decode(&back, (struct wire_span){text.data, text.len});
        assert_false(back.failed);
        assert_span_equal(((struct wire_span){back.data, back.len}),
                          ((struct wire_span){bytes, len}));
    }
}

static void test_base64_refuses(void **state)
{
    static const char *const texts[] = {
        "A",    "AA",       "AAA",     "A===",     "====", "AA=A", "AB==", /* bits left over */
        "AAB=", "AA==AAAA", "AA==\nA", "AAA-AAAA", "AA A", "=AAA",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer bytes = {.max = 64};
        base64_decode(&bytes, wire_span_from_text(texts[i]));
        assert_true(bytes.failed);
    }
}

static void test_der_lengths(void **state)
{
    static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 65535};
    uint8_t *content = calloc(1, 65536);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer writer = {.max = 1 << 20};
        struct wire_reader reader;
        der_put(&writer, DER_OCTET_STRING, (struct wire_span){content, lengths[i]});
        wire_reader_init(&reader, (struct wire_span){writer.data, writer.len});
        assert_int_equal(der_get(&reader, DER_OCTET_STRING).len, lengths[i]);
        assert_int_equal(wire_reader_finish(&reader), 0);
    }
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {.max = 1 << 20};
    der_put(&writer, DER_OCTET_STRING, (struct wire_span){content, 65536});
    assert_true(writer.failed);
    free(content);
}

static void test_der_integers(void **state)
{
    static const struct {
        struct wire_span der;
        bool is_valid;
        size_t len;
    } rows[] = {
        {WIRE_SPAN_LITERAL("\x02\x01\x00"), true, 1},
        {WIRE_SPAN_LITERAL("\x02\x01\x7f"), true, 1},
        {WIRE_SPAN_LITERAL("\x02\x02\x00\x80"), true, 1},
        {WIRE_SPAN_LITERAL("\x02\x01\x80"), false, 0},     /* negative */
        {WIRE_SPAN_LITERAL("\x02\x02\x00\x7f"), false, 0}, /* not minimal */
        {WIRE_SPAN_LITERAL("\x02\x00"), false, 0},
        {WIRE_SPAN_LITERAL("\x03\x01\x00"), false, 0},
        {WIRE_SPAN_LITERAL("\x02\x05\x01"), false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct wire_reader reader;
        wire_reader_init(&reader, rows[i].der);
        struct wire_span value = der_get_unsigned(&reader);
        assert_int_equal(wire_reader_finish(&reader) == 0, rows[i].is_valid);
        if (rows[i].is_valid)
            assert_int_equal(value.len, rows[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_from_selector_and_back),
        cmocka_unit_test(test_uri_to_selector_drops_query_of_pkcs11),
        cmocka_unit_test(test_uri_from_selector_writes_no_pin),
        cmocka_unit_test(test_uri_to_selector_refuses),
        cmocka_unit_test(test_uri_length_is_bounded),
        cmocka_unit_test(test_encode_and_parse),
        cmocka_unit_test(test_encode_is_what_it_was),
        cmocka_unit_test(test_encode_refuses_what_names_no_key),
        cmocka_unit_test(test_parse_of_other_labels_is_another_answer),
        cmocka_unit_test(test_parse_of_truncated_reference),
        cmocka_unit_test(test_parse_of_trailing_bytes),
        cmocka_unit_test(test_parse_of_wrong_der),
        cmocka_unit_test(test_base64_of_all_lengths),
        cmocka_unit_test(test_base64_refuses),
        cmocka_unit_test(test_der_lengths),
        cmocka_unit_test(test_der_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
