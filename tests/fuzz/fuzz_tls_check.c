/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first promise: what is accepted as a client's CertificateVerify is exactly that. For TLS 1.3
 * the form is checked a second way, and every other byte before the hash must be refused; for TLS
 * 1.2 no accepted transcript stays accepted when it is cut or lengthened, and the messages in it
 * are in the one order. Input: one byte (which check; for TLS 1.3 also: start from a good content),
 * the content.
 */
#include <string.h>

#include "agent/tls_check.h"
#include "fuzz.h"

#define TLS13_PREFIX_LEN 98u
#define TLS13_LEN_MAX (TLS13_PREFIX_LEN + 48u)
#define FLAG_TLS12 1u
#define FLAG_FROM_GOOD 2u

static const char tls13_prefix[TLS13_PREFIX_LEN] =
    "                                                                "
    "TLS 1.3, client CertificateVerify";

static bool accepts13(struct wire_span content)
{
    const char *reason = NULL;
    int r = tls_check_tls13(content, &reason);

    fuzz_check(r == 0 || (r == TLS_CHECK_E_REFUSED && reason && *reason));
    return r == 0;
}

static bool accepts12(struct wire_span content)
{
    const char *reason = NULL;
    int r = tls_check_tls12(content, &reason);

    fuzz_check(r == 0 || (r == TLS_CHECK_E_REFUSED && reason && *reason));
    return r == 0;
}

static void check_tls13(struct wire_span content)
{
    bool has_form = (content.len == TLS13_PREFIX_LEN + 32 || content.len == TLS13_LEN_MAX) &&
                    memcmp(content.data, tls13_prefix, TLS13_PREFIX_LEN) == 0;

    fuzz_check(accepts13(content) == has_form);
}

/* A good content, changed where the input says: (place, value) pairs, then perhaps another length.
 */
static void check_changed_tls13(struct wire_span changes)
{
    uint8_t content[TLS13_LEN_MAX + 1] = {0};
    size_t len = TLS13_PREFIX_LEN + 32;

    memcpy(content, tls13_prefix, TLS13_PREFIX_LEN);
    if (changes.len % 2 == 1)
        len = changes.data[changes.len - 1] % (sizeof(content) + 1);
    for (size_t i = 0; i + 1 < changes.len; i += 2)
        content[changes.data[i] % sizeof(content)] = changes.data[i + 1];
    check_tls13((struct wire_span){content, len});
}

/* The types of the messages in an accepted transcript, one letter each. */
static void check_order(struct wire_span content)
{
    char order[16] = {0};
    size_t count = 0;
    size_t at = 0;

    while (at < content.len) {
        fuzz_check(content.len - at >= 4 && count < sizeof(order) - 1);
        const uint8_t *message = content.data + at;
        size_t len = (size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3];
        fuzz_check(len <= content.len - at - 4);
        order[count++] = (char)('A' + message[0]);
        at += 4 + len;
    }
    /* 1 2 11 (22) 12 13 14 11 16 */
    fuzz_check(strcmp(order, "BCLMNOLQ") == 0 || strcmp(order, "BCLWMNOLQ") == 0);
}

static void check_tls12(struct wire_span content)
{
    if (!accepts12(content))
        return;
    check_order(content);
    for (size_t len = 0; len < content.len; len++)
        fuzz_check(!accepts12((struct wire_span){content.data, len}));
    _cleanup_free_ uint8_t *longer = calloc(1, content.len + 4);
    fuzz_check(longer != NULL);
    memcpy(longer, content.data, content.len);
    for (size_t more = 1; more <= 4; more++)
        fuzz_check(!accepts12((struct wire_span){longer, content.len + more}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct wire_span content = {data + 1, size - 1};
    if (data[0] & FLAG_TLS12)
        check_tls12(content);
    else if (data[0] & FLAG_FROM_GOOD)
        check_changed_tls13(content);
    else
        check_tls13(content);
    return 0;
}
