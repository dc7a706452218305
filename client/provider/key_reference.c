/* SPDX-License-Identifier: Apache-2.0 */
/* Key references and their URIs; see key_reference.h. */
#include "client/provider/key_reference.h"

#include <string.h>
#include <strings.h>

#include "client/provider/base64.h"
#include "common/der.h"
#include "common/utf8.h"

#define PKCS11_SCHEME "pkcs11:"

/* The two forms that are read; the first is the one that is written. */
static const struct reference_form {
    const char *begin;
    const char *end;
    uint8_t version_tag;
    const char *version;
    const char *scheme;
} reference_forms[] = {
    {"-----BEGIN MTLS AGENT KEY REFERENCE-----", "-----END MTLS AGENT KEY REFERENCE-----",
     DER_UTF8_STRING, "mtls-agent key reference 1", KEY_URI_SCHEME},
    {"-----BEGIN PKCS#11 PROVIDER URI-----", "-----END PKCS#11 PROVIDER URI-----",
     DER_VISIBLE_STRING, "PKCS#11 Provider URI v1.0", PKCS11_SCHEME},
};

static bool key_uri_has_scheme(const char *uri, const char *scheme)
{
    return strncasecmp(uri, scheme, strlen(scheme)) == 0;
}

static bool key_uri_is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~:@+,=", c);
}

/* The writer's bytes as a C string; the caller owns it. */
static int key_text_take(struct wire_writer *writer, char **ret_text)
{
    wire_put_u8(writer, '\0');
    if (writer->failed)
        return KEY_REFERENCE_E_MALFORMED;
    *ret_text = (char *)TAKE_PTR(writer->data);
    return 0;
}

int key_uri_from_selector(const char *selector, char **ret_uri)
{
    static const char digits[] = "0123456789ABCDEF";
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {.max = KEY_URI_MAX + 1};
    bool verbatim = key_uri_has_scheme(selector, PKCS11_SCHEME);

    if (*selector == '\0')
        return KEY_REFERENCE_E_MALFORMED;
    for (const char *at = KEY_URI_SCHEME; *at; at++)
        wire_put_u8(&writer, (uint8_t)*at);
    for (const char *at = selector; *at; at++) {
        if (verbatim && *at == '?')
            break;
        if (verbatim || key_uri_is_plain(*at)) {
            wire_put_u8(&writer, (uint8_t)*at);
            continue;
        }
        wire_put_u8(&writer, '%');
        wire_put_u8(&writer, (uint8_t)digits[(uint8_t)*at >> 4]);
        wire_put_u8(&writer, (uint8_t)digits[(uint8_t)*at & 15]);
    }
    return key_text_take(&writer, ret_uri);
}

static int key_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void key_name_decode(const char *name, struct wire_writer *writer)
{
    for (const char *at = name; *at; at++) {
        int high = 0;
        int low = 0;
        if (*at != '%') {
            wire_put_u8(writer, (uint8_t)*at);
            continue;
        }
        high = key_hex_digit(at[1]);
        low = high < 0 ? -1 : key_hex_digit(at[2]);
        if (low < 0) {
            writer->failed = true;
            return;
        }
        wire_put_u8(writer, (uint8_t)(high << 4 | low));
        at += 2;
    }
    if (!writer->failed && !utf8_is_valid_text(writer->data, writer->len))
        writer->failed = true;
}

int key_uri_to_selector(const char *uri, char **ret_selector)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {.max = KEY_URI_MAX + 1};

    if (key_uri_has_scheme(uri, KEY_URI_SCHEME))
        uri += strlen(KEY_URI_SCHEME);
    else if (!key_uri_has_scheme(uri, PKCS11_SCHEME))
        return KEY_REFERENCE_E_MALFORMED;
    if (!key_uri_has_scheme(uri, PKCS11_SCHEME))
        key_name_decode(uri, &writer);
    else
        for (const char *at = uri; *at && *at != '?'; at++)
            wire_put_u8(&writer, (uint8_t)*at);
    return key_text_take(&writer, ret_selector);
}

static void key_reference_put_line(struct wire_writer *writer, const char *line)
{
    for (; *line; line++)
        wire_put_u8(writer, (uint8_t)*line);
    wire_put_u8(writer, '\n');
}

int key_reference_encode_pem(const char *uri, char **ret_pem)
{
    const struct reference_form *form = &reference_forms[0];
    _cleanup_(cleanup_wire_writer) struct wire_writer fields = {.max = KEY_REFERENCE_MAX};
    _cleanup_(cleanup_wire_writer) struct wire_writer der = {.max = KEY_REFERENCE_MAX};
    _cleanup_(cleanup_wire_writer) struct wire_writer pem = {.max = KEY_REFERENCE_MAX};
    _cleanup_free_ char *selector = NULL;

    if (!key_uri_has_scheme(uri, form->scheme) || strlen(uri) > KEY_URI_MAX)
        return KEY_REFERENCE_E_MALFORMED;
    int r = key_uri_to_selector(uri, &selector);
    if (r)
        return r;
    if (*selector == '\0')
        return KEY_REFERENCE_E_MALFORMED;

    der_put(&fields, form->version_tag, wire_span_from_text(form->version));
    der_put(&fields, DER_UTF8_STRING, wire_span_from_text(uri));
    der_put(&der, DER_SEQUENCE, (struct wire_span){fields.data, fields.len});
    key_reference_put_line(&pem, form->begin);
    base64_encode(&pem, (struct wire_span){der.data, der.len});
    key_reference_put_line(&pem, form->end);
    if (fields.failed || der.failed)
        return -ENOMEM;
    return key_text_take(&pem, ret_pem);
}

/* Takes the first line off @text, without its end. */
static struct wire_span key_reference_take_line(struct wire_span *text)
{
    const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    size_t used = end ? (size_t)(end - text->data) + 1 : text->len;
    struct wire_span line = {text->data, end ? used - 1 : used};

    *text = (struct wire_span){text->data + used, text->len - used};
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* The base64 text between the two border lines. */
static int key_reference_body(const struct reference_form *form, struct wire_span rest,
                              struct wire_span *ret_body)
{
    const uint8_t *start = rest.data;

    while (rest.len > 0) {
        const uint8_t *line_start = rest.data;
        struct wire_span line = key_reference_take_line(&rest);
        if (!wire_span_is_equal(line, wire_span_from_text(form->end)))
            continue;
        if (rest.len > 0)
            return KEY_REFERENCE_E_MALFORMED;
        *ret_body = (struct wire_span){start, (size_t)(line_start - start)};
        return 0;
    }
    return KEY_REFERENCE_E_MALFORMED;
}

static int key_reference_parse_der(const struct reference_form *form, struct wire_span der,
                                   char **ret_uri)
{
    struct wire_reader outer;
    struct wire_reader fields;

    wire_reader_init(&outer, der);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    struct wire_span version = der_get(&fields, form->version_tag);
    struct wire_span uri = der_get(&fields, DER_UTF8_STRING);
    if (wire_reader_finish(&outer) || wire_reader_finish(&fields) ||
        !wire_span_is_equal(version, wire_span_from_text(form->version)) || uri.len > KEY_URI_MAX ||
        !utf8_is_valid_text(uri.data, uri.len))
        return KEY_REFERENCE_E_MALFORMED;

    _cleanup_free_ char *text = wire_span_to_text(uri);
    _cleanup_free_ char *selector = NULL;
    if (!text)
        return -ENOMEM;
    if (!key_uri_has_scheme(text, form->scheme) || key_uri_to_selector(text, &selector) ||
        *selector == '\0')
        return KEY_REFERENCE_E_MALFORMED;
    *ret_uri = TAKE_PTR(text);
    return 0;
}

int key_reference_parse_pem(const char *pem, size_t len, char **ret_uri)
{
    struct wire_span rest = {(const uint8_t *)pem, len};
    struct wire_span begin = key_reference_take_line(&rest);
    struct wire_span body;

    for (size_t i = 0; i < ARRAY_SIZE(reference_forms); i++) {
        const struct reference_form *form = &reference_forms[i];
        _cleanup_(cleanup_wire_writer) struct wire_writer der = {.max = KEY_REFERENCE_MAX};
        if (!wire_span_is_equal(begin, wire_span_from_text(form->begin)))
            continue;
        if (len > KEY_REFERENCE_MAX || key_reference_body(form, rest, &body))
            return KEY_REFERENCE_E_MALFORMED;
        base64_decode(&der, body);
        if (der.failed)
            return KEY_REFERENCE_E_MALFORMED;
        return key_reference_parse_der(form, (struct wire_span){der.data, der.len}, ret_uri);
    }
    return KEY_REFERENCE_E_OTHER;
}
