/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS message check; see tls_check.h. Every length is compared as `n > left`; there is no
 * recursion, and each message is walked once.
 */
#include "agent/tls_check.h"

#include <string.h>

#define TLS13_PAD_LEN 64u
#define TLS13_CONTEXT "TLS 1.3, client CertificateVerify" /* and the zero byte that ends it */
#define TLS13_PREFIX_LEN (TLS13_PAD_LEN + sizeof(TLS13_CONTEXT))

#define TLS12_VERSION 0x0303u
#define TLS_NAMED_CURVE 3u
#define TLS_RANDOM_LEN 32u
#define TLS_SESSION_ID_MAX 32u

enum tls_handshake_type {
    TLS_CLIENT_HELLO = 1,
    TLS_SERVER_HELLO = 2,
    TLS_CERTIFICATE = 11,
    TLS_SERVER_KEY_EXCHANGE = 12,
    TLS_CERTIFICATE_REQUEST = 13,
    TLS_SERVER_HELLO_DONE = 14,
    TLS_CLIENT_KEY_EXCHANGE = 16,
    TLS_CERTIFICATE_STATUS = 22,
};

enum tls_extension {
    TLS_EXTENDED_MASTER_SECRET = 23,
    TLS_RENEGOTIATION_INFO = 0xff01,
};

static int tls_refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return TLS_CHECK_E_REFUSED;
}

int tls_check_tls13(struct wire_span content, const char **ret_reason)
{
    if (content.len != TLS13_PREFIX_LEN + 32 && content.len != TLS13_PREFIX_LEN + 48)
        return tls_refuse(ret_reason, "it has not the length of a TLS 1.3 CertificateVerify");
    for (size_t i = 0; i < TLS13_PAD_LEN; i++)
        if (content.data[i] != 0x20)
            return tls_refuse(ret_reason, "it does not begin with the padding of TLS 1.3");
    if (memcmp(content.data + TLS13_PAD_LEN, TLS13_CONTEXT, sizeof(TLS13_CONTEXT)) != 0)
        return tls_refuse(ret_reason, "its context is not that of a TLS 1.3 client");
    return 0;
}

/* A cursor over TLS vectors, sticky like struct wire_reader. */
struct tls_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static struct wire_span tls_take(struct tls_reader *reader, size_t len)
{
    if (reader->failed || len > reader->left) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    struct wire_span span = {reader->at, len};
    reader->at += len;
    reader->left -= len;
    return span;
}

/* A big-endian number of @bytes bytes, at most 3. */
static uint32_t tls_take_number(struct tls_reader *reader, size_t bytes)
{
    struct wire_span span = tls_take(reader, bytes);
    uint32_t value = 0;

    for (size_t i = 0; i < span.len; i++)
        value = value << 8 | span.data[i];
    return value;
}

/* A vector whose length stands before it in @length_bytes bytes. */
static struct tls_reader tls_take_vector(struct tls_reader *reader, size_t length_bytes)
{
    struct wire_span span = tls_take(reader, tls_take_number(reader, length_bytes));

    return (struct tls_reader){span.data, span.len, reader->failed};
}

static bool tls_is_at_end(const struct tls_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

/* What the extensions of one hello say about EMS and renegotiation. */
struct tls_hello_extensions {
    bool has_extended_master_secret;
    bool is_renegotiation;
};

static bool tls_walk_extensions(struct tls_reader *hello, struct tls_hello_extensions *ret)
{
    struct tls_reader list = tls_take_vector(hello, 2);

    while (!list.failed && list.left > 0) {
        uint32_t type = tls_take_number(&list, 2);
        struct tls_reader body = tls_take_vector(&list, 2);
        if (type == TLS_EXTENDED_MASTER_SECRET)
            ret->has_extended_master_secret = !body.failed && body.left == 0;
        if (type == TLS_RENEGOTIATION_INFO && !body.failed) {
            struct tls_reader connection = tls_take_vector(&body, 1);
            ret->is_renegotiation |= !tls_is_at_end(&body) || connection.left > 0;
        }
    }
    return !list.failed && tls_is_at_end(hello);
}

static int tls_check_extensions(const struct tls_hello_extensions *extensions,
                                const char **ret_reason)
{
    if (extensions->is_renegotiation)
        return tls_refuse(ret_reason, "it belongs to a renegotiation");
    if (!extensions->has_extended_master_secret)
        return tls_refuse(ret_reason, "the handshake has no extended master secret");
    return 0;
}

static int tls_check_client_hello(struct tls_reader body, const char **ret_reason)
{
    struct tls_hello_extensions extensions = {0};
    uint32_t version = tls_take_number(&body, 2);

    (void)tls_take(&body, TLS_RANDOM_LEN);
    struct tls_reader session_id = tls_take_vector(&body, 1);
    struct tls_reader suites = tls_take_vector(&body, 2);
    struct tls_reader compressions = tls_take_vector(&body, 1);
    bool has_form = tls_walk_extensions(&body, &extensions) &&
                    session_id.left <= TLS_SESSION_ID_MAX && suites.left >= 2 &&
                    suites.left % 2 == 0 && compressions.left >= 1;
    if (!has_form)
        return tls_refuse(ret_reason, "its ClientHello is malformed");
    if (version != TLS12_VERSION)
        return tls_refuse(ret_reason, "its ClientHello is not of TLS 1.2");
    return tls_check_extensions(&extensions, ret_reason);
}

static int tls_check_server_hello(struct tls_reader body, const char **ret_reason)
{
    struct tls_hello_extensions extensions = {0};
    uint32_t version = tls_take_number(&body, 2);

    (void)tls_take(&body, TLS_RANDOM_LEN);
    struct tls_reader session_id = tls_take_vector(&body, 1);
    (void)tls_take_number(&body, 2); /* cipher suite */
    uint32_t compression = tls_take_number(&body, 1);
    bool has_form = tls_walk_extensions(&body, &extensions) &&
                    session_id.left <= TLS_SESSION_ID_MAX && compression == 0;
    if (!has_form)
        return tls_refuse(ret_reason, "its ServerHello is malformed");
    if (version != TLS12_VERSION)
        return tls_refuse(ret_reason, "its ServerHello is not of TLS 1.2");
    return tls_check_extensions(&extensions, ret_reason);
}

/* A certificate_list; the server's must not be empty, the client's has the signing key's
 * certificate. */
static int tls_check_certificate(struct tls_reader body, const char **ret_reason)
{
    struct tls_reader list = tls_take_vector(&body, 3);
    size_t count = 0;

    while (!list.failed && list.left > 0) {
        struct tls_reader cert = tls_take_vector(&list, 3);
        if (cert.failed || cert.left == 0)
            list.failed = true;
        count++;
    }
    if (list.failed || !tls_is_at_end(&body))
        return tls_refuse(ret_reason, "one of its Certificate messages is malformed");
    if (count == 0)
        return tls_refuse(ret_reason, "one of its Certificate messages is empty");
    return 0;
}

static int tls_check_not_empty(struct tls_reader body, const char **ret_reason)
{
    if (body.left == 0)
        return tls_refuse(ret_reason, "one of its messages is empty");
    return 0;
}

/* The end of a ServerKeyExchange: digitally-signed, RFC 5246 section 4.7. Without it nothing proves
 * that the server holds its key. */
static bool tls_is_signature(struct tls_reader *body)
{
    (void)tls_take_number(body, 2); /* SignatureAndHashAlgorithm */
    struct tls_reader signature = tls_take_vector(body, 2);

    return tls_is_at_end(body) && signature.left > 0;
}

/* RFC 8422 section 5.4: named curve, point. */
static bool tls_is_ecdhe(struct tls_reader body)
{
    if (tls_take_number(&body, 1) != TLS_NAMED_CURVE)
        return false;
    (void)tls_take_number(&body, 2);
    struct tls_reader point = tls_take_vector(&body, 1);
    return point.left > 0 && tls_is_signature(&body);
}

/* RFC 5246 section 7.4.3: dh_p, dh_g, dh_Ys. */
static bool tls_is_dhe(struct tls_reader body)
{
    for (int i = 0; i < 3; i++) {
        struct tls_reader number = tls_take_vector(&body, 2);
        if (number.left == 0)
            return false;
    }
    return tls_is_signature(&body);
}

static int tls_check_server_key_exchange(struct tls_reader body, const char **ret_reason)
{
    if (!tls_is_ecdhe(body) && !tls_is_dhe(body))
        return tls_refuse(ret_reason, "its server key exchange is not signed");
    return 0;
}

static int tls_check_empty(struct tls_reader body, const char **ret_reason)
{
    if (body.left > 0)
        return tls_refuse(ret_reason, "its ServerHelloDone is not empty");
    return 0;
}

/* The one order of messages that is signed, as data. */
static const struct tls_step {
    enum tls_handshake_type type;
    bool is_optional;
    int (*check)(struct tls_reader body, const char **ret_reason);
} tls_steps[] = {
    {TLS_CLIENT_HELLO, false, tls_check_client_hello},
    {TLS_SERVER_HELLO, false, tls_check_server_hello},
    {TLS_CERTIFICATE, false, tls_check_certificate},
    {TLS_CERTIFICATE_STATUS, true, tls_check_not_empty},
    {TLS_SERVER_KEY_EXCHANGE, false, tls_check_server_key_exchange},
    {TLS_CERTIFICATE_REQUEST, false, tls_check_not_empty},
    {TLS_SERVER_HELLO_DONE, false, tls_check_empty},
    {TLS_CERTIFICATE, false, tls_check_certificate},
    {TLS_CLIENT_KEY_EXCHANGE, false, tls_check_not_empty},
};

int tls_check_tls12(struct wire_span content, const char **ret_reason)
{
    struct tls_reader reader = {content.data, content.len, false};

    for (size_t i = 0; i < ARRAY_SIZE(tls_steps); i++) {
        const struct tls_step *step = &tls_steps[i];
        if (reader.left == 0)
            return tls_refuse(ret_reason, "a message of the TLS 1.2 handshake is missing");
        if (reader.at[0] != step->type && step->is_optional)
            continue;
        if (reader.at[0] != step->type)
            return tls_refuse(ret_reason, "its messages are not those that a TLS 1.2 client signs");
        (void)tls_take_number(&reader, 1);
        struct tls_reader body = tls_take_vector(&reader, 3);
        if (body.failed)
            return tls_refuse(ret_reason, "one of its messages is cut short");
        int r = step->check(body, ret_reason);
        if (r)
            return r;
    }
    if (!tls_is_at_end(&reader))
        return tls_refuse(ret_reason, "bytes follow its last message");
    return 0;
}
