/* SPDX-License-Identifier: Apache-2.0 */
/* Naming keys and tokens; see selector.h. URIs are p11-kit's business (RFC 7512). */
#include "agent/selector.h"

#include <p11-kit/uri.h>
#include <string.h>

#define SELECTOR_HASH_PREFIX "sha256:"
#define SELECTOR_HASH_DIGITS_MIN 8u

enum selector_kind {
    SELECTOR_ALL,
    SELECTOR_NAME,
    SELECTOR_HASH,
    SELECTOR_URI,
};

struct selector {
    enum selector_kind kind;
    char *name;
    P11KitUri *uri;
    uint8_t hash[PROTOCOL_KEY_HASH_LEN];
    size_t digit_count; /* hex digits of @hash that were given */
};

struct selector *selector_free(struct selector *selector)
{
    if (!selector)
        return NULL;
    free(selector->name);
    if (selector->uri)
        p11_kit_uri_free(selector->uri);
    free(selector);
    return NULL;
}

static int selector_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int selector_parse_hash(struct selector *selector, const char *digits,
                               const char **ret_reason)
{
    size_t count = strlen(digits);

    *ret_reason = "after sha256: stand 8 to 64 hex digits";
    if (count < SELECTOR_HASH_DIGITS_MIN || count > 2 * sizeof(selector->hash))
        return SELECTOR_E_INVALID;
    for (size_t i = 0; i < count; i++) {
        int digit = selector_hex_digit(digits[i]);
        if (digit < 0)
            return SELECTOR_E_INVALID;
        selector->hash[i / 2] |= (uint8_t)(i % 2 == 0 ? digit << 4 : digit);
    }
    selector->kind = SELECTOR_HASH;
    selector->digit_count = count;
    return 0;
}

/* What p11-kit knows, but what no key and no token is compared with: such a URI would match more
 * than its writer meant. */
static bool selector_uri_names_place(P11KitUri *uri)
{
    const CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri);
    const CK_INFO *library = p11_kit_uri_get_module_info(uri);

    return p11_kit_uri_get_slot_id(uri) != (CK_SLOT_ID)-1 || slot->slotDescription[0] ||
           slot->manufacturerID[0] || library->libraryDescription[0] ||
           library->manufacturerID[0] || library->libraryVersion.major != (CK_BYTE)-1;
}

static int selector_parse_uri(struct selector *selector, const char *text, const char **ret_reason)
{
    selector->uri = p11_kit_uri_new();
    if (!selector->uri)
        return -ENOMEM;
    int parsed = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, selector->uri);
    *ret_reason = "it is not a pkcs11: URI (RFC 7512)";
    if (parsed != P11_KIT_URI_OK)
        return SELECTOR_E_INVALID;
    *ret_reason = "it has an attribute that RFC 7512 does not define";
    if (p11_kit_uri_any_unrecognized(selector->uri))
        return SELECTOR_E_INVALID;
    *ret_reason = "it names a slot or a library: name it by token, serial, manufacturer, model, "
                  "object or id";
    if (selector_uri_names_place(selector->uri))
        return SELECTOR_E_INVALID;
    selector->kind = SELECTOR_URI;
    return 0;
}

bool selector_is_uri(struct wire_span text)
{
    static const char scheme[] = "pkcs11:";

    return text.len >= sizeof(scheme) - 1 && memcmp(text.data, scheme, sizeof(scheme) - 1) == 0;
}

int selector_new(struct wire_span text, struct selector **ret_selector, const char **ret_reason)
{
    _cleanup_(cleanup_selector) struct selector *selector = calloc(1, sizeof(*selector));
    int r = 0;

    if (!selector)
        return -ENOMEM;
    selector->name = wire_span_to_text(text);
    if (!selector->name)
        return -ENOMEM;
    if (text.len == 0)
        selector->kind = SELECTOR_ALL;
    else if (strncmp(selector->name, SELECTOR_HASH_PREFIX, sizeof(SELECTOR_HASH_PREFIX) - 1) == 0)
        r = selector_parse_hash(selector, selector->name + sizeof(SELECTOR_HASH_PREFIX) - 1,
                                ret_reason);
    else if (selector_is_uri(text))
        r = selector_parse_uri(selector, selector->name, ret_reason);
    else
        selector->kind = SELECTOR_NAME;
    if (r)
        return r;
    *ret_selector = TAKE_PTR(selector);
    return 0;
}

static bool selector_matches_hash(const struct selector *selector,
                                  const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t whole = selector->digit_count / 2;

    if (memcmp(selector->hash, hash, whole) != 0)
        return false;
    return selector->digit_count % 2 == 0 || (hash[whole] & 0xf0) == selector->hash[whole];
}

/* PKCS#11 pads its fixed-size texts with spaces. */
static void selector_pad(unsigned char *field, size_t size, struct wire_span text)
{
    memset(field, ' ', size);
    if (text.len > 0)
        memcpy(field, text.data, text.len < size ? text.len : size);
}

static bool selector_uri_matches_token(P11KitUri *uri, const char *module,
                                       const struct worker_token *token)
{
    const char *wanted = p11_kit_uri_get_module_name(uri);
    CK_TOKEN_INFO info;

    if (wanted && strcmp(wanted, module) != 0)
        return false;
    memset(&info, 0, sizeof(info));
    selector_pad(info.label, sizeof(info.label), token->label);
    selector_pad(info.manufacturerID, sizeof(info.manufacturerID), token->manufacturer);
    selector_pad(info.model, sizeof(info.model), token->model);
    selector_pad(info.serialNumber, sizeof(info.serialNumber), token->serial);
    return p11_kit_uri_match_token_info(uri, &info) == 1;
}

static bool selector_uri_matches_object(P11KitUri *uri, const struct worker_key *key)
{
    CK_ATTRIBUTE attributes[2];
    CK_ATTRIBUTE_PTR id = p11_kit_uri_get_attribute(uri, CKA_ID);
    CK_ATTRIBUTE_PTR label = p11_kit_uri_get_attribute(uri, CKA_LABEL);

    /* type= is not looked at: certificate and private key are one thing to people. */
    attributes[0] = (CK_ATTRIBUTE){CKA_ID, (void *)(uintptr_t)key->ck_id.data, key->ck_id.len};
    attributes[1] = (CK_ATTRIBUTE){CKA_LABEL, (void *)(uintptr_t)key->label.data, key->label.len};
    if (id && p11_kit_uri_match_attributes(uri, &attributes[0], 1) != 1)
        return false;
    return !label || p11_kit_uri_match_attributes(uri, &attributes[1], 1) == 1;
}

bool selector_matches_key(const struct selector *selector, const char *name,
                          const struct inventory_key *key, const char *module,
                          const struct worker_token *token)
{
    switch (selector->kind) {
    case SELECTOR_ALL:
        return true;
    case SELECTOR_NAME:
        return strcmp(selector->name, name) == 0;
    case SELECTOR_HASH:
        return selector_matches_hash(selector, key->hash);
    case SELECTOR_URI:
        return selector_uri_matches_token(selector->uri, module, token) &&
               selector_uri_matches_object(selector->uri, &key->info);
    }
    return false;
}

bool selector_names_object(const struct selector *selector)
{
    CK_ULONG count = 0;

    return selector->uri && p11_kit_uri_get_attributes(selector->uri, &count) && count > 0;
}

bool selector_matches_token(const struct selector *selector, const char *module,
                            const struct worker_token *token)
{
    switch (selector->kind) {
    case SELECTOR_ALL:
        return true;
    case SELECTOR_NAME: {
        struct wire_span name = wire_span_from_text(selector->name);
        return wire_span_is_equal(name, token->label) || wire_span_is_equal(name, token->serial);
    }
    case SELECTOR_URI:
        return selector_uri_matches_token(selector->uri, module, token);
    case SELECTOR_HASH:
        break;
    }
    return false;
}

char *selector_format_uri(const struct inventory_key *key, const struct worker_token *token)
{
    P11KitUri *uri = p11_kit_uri_new();
    char *text = NULL;

    if (!uri)
        return NULL;
    CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    CK_ATTRIBUTE id = {CKA_ID, (void *)(uintptr_t)key->info.ck_id.data, key->info.ck_id.len};
    CK_ATTRIBUTE label = {CKA_LABEL, (void *)(uintptr_t)key->info.label.data, key->info.label.len};
    if (token->label.len > 0)
        selector_pad(info->label, sizeof(info->label), token->label);
    if (token->serial.len > 0)
        selector_pad(info->serialNumber, sizeof(info->serialNumber), token->serial);
    bool has_failed =
        (id.ulValueLen > 0 && p11_kit_uri_set_attribute(uri, &id) != P11_KIT_URI_OK) ||
        (label.ulValueLen > 0 && p11_kit_uri_set_attribute(uri, &label) != P11_KIT_URI_OK);
    if (has_failed ||
        p11_kit_uri_format(uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, &text) != P11_KIT_URI_OK)
        text = NULL;
    p11_kit_uri_free(uri);
    return text;
}
