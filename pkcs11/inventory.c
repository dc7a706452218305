/* SPDX-License-Identifier: Apache-2.0 */
/* From objects to keys, and from keys to messages; see inventory.h. */
#include "pkcs11/inventory.h"

#include <string.h>

#include "common/escape.h"
#include "common/log.h"
#include "pkcs11/ckr.h"
#include "pkcs11/mechanism.h"
#include "pkcs11/pairing.h"
#include "pkcs11/pcsc_use.h"
#include "pkcs11/session.h"

/* Everything read from one token. */
struct inventory {
    struct keyring *keys;
    const struct token *token;
    struct cert_list certs;
    struct key_object_list private_keys;
    struct key_object_list public_keys;
    struct pairing pairing;
};

static void inventory_deinit(struct inventory *inventory)
{
    cert_list_deinit(&inventory->certs);
    key_object_list_deinit(&inventory->private_keys);
    key_object_list_deinit(&inventory->public_keys);
    pairing_deinit(&inventory->pairing);
}

/* Is there a private key for this public key already? For pairing_find_public_key(). */
static bool inventory_is_taken(const void *context, const struct public_key *key)
{
    const struct inventory *inventory = context;

    return keyring_has(inventory->keys, inventory->token->number, key);
}

static int inventory_put(struct inventory *inventory, struct key_facts *facts)
{
    const struct cert *leaf =
        pairing_find_leaf(&inventory->pairing, facts->public_key, facts->name);
    /* A certificate knows more than a key object: the same RSA key may be for PSS only. */
    if (leaf) {
        facts->public_key = &leaf->key;
        facts->cert_count = cert_list_chain(&inventory->certs, leaf, facts->certs);
    }
    facts->token = inventory->token->number;
    return keyring_put(inventory->keys, facts);
}

/* A configured certificate for this key object that is of another key is a mistake to be told. */
static void inventory_warn_of_files(const struct inventory *inventory,
                                    const struct object_name *name, const struct public_key *key)
{
    for (size_t i = 0; i < inventory->pairing.files->count; i++) {
        const struct cert *cert = &inventory->pairing.files->items[i];
        char shown[PROTOCOL_SELECTOR_MAX];

        if ((cert->name.id_len == 0 && cert->name.label_len == 0) ||
            public_key_is_same(&cert->key, key) || !cert_names_key(cert, inventory->token, name))
            continue;
        _cleanup_free_ char *uri = cert_uri_text(cert);
        log_warning("the certificate that is configured for %s is of another key",
                    escape_cstring(uri, shown, sizeof(shown)));
    }
}

/* @is_known: those whose object tells its public key; they go first, the others get what is left.
 */
static int inventory_put_private_keys(struct inventory *inventory, bool is_known)
{
    int r = 0;

    for (size_t i = 0; i < inventory->private_keys.count && r == 0; i++) {
        const struct key_object *object = &inventory->private_keys.items[i];
        struct key_facts facts = {.handle = object->handle,
                                  .always_authenticate = object->always_authenticate,
                                  .name = &object->name};

        if (object->has_key != is_known)
            continue;
        facts.public_key = pairing_find_public_key(&inventory->pairing, object, inventory_is_taken,
                                                   inventory, &facts.provisional);
        if (!facts.public_key)
            continue;
        inventory_warn_of_files(inventory, facts.name, facts.public_key);
        r = inventory_put(inventory, &facts);
    }
    return r;
}

static int inventory_put_visible(struct inventory *inventory, const struct public_key *key,
                                 const struct object_name *name)
{
    struct key_facts facts = {.handle = CK_INVALID_HANDLE, .name = name, .public_key = key};

    if (pairing_is_ca_key(&inventory->pairing, key))
        return 0;
    return inventory_put(inventory, &facts);
}

/*
 * Before the login private keys are out of sight, but the core must be able to name the keys that a
 * login will bring. Their public sides are: certificates, public key objects, and the files that
 * the configuration ties to this token.
 */
static int inventory_put_public_sides(struct inventory *inventory)
{
    int r = 0;

    for (size_t i = 0; i < inventory->certs.count && r == 0; i++) {
        const struct cert *cert = &inventory->certs.items[i];
        if (cert->has_key)
            r = inventory_put_visible(inventory, &cert->key, &cert->name);
    }
    for (size_t i = 0; i < inventory->public_keys.count && r == 0; i++) {
        const struct key_object *object = &inventory->public_keys.items[i];
        r = inventory_put_visible(inventory, &object->key, &object->name);
    }
    for (size_t i = 0; i < inventory->pairing.files->count && r == 0; i++) {
        const struct cert *cert = &inventory->pairing.files->items[i];
        if (cert_names_token(cert, inventory->token))
            r = inventory_put_visible(inventory, &cert->key, &cert->name);
    }
    return r;
}

static CK_RV inventory_read_objects(struct inventory *inventory)
{
    CK_RV rv = cert_list_read(inventory->token, &inventory->certs);

    if (rv == CKR_OK)
        rv = key_object_list_read(inventory->token, CKO_PUBLIC_KEY, &inventory->public_keys);
    if (rv == CKR_OK)
        rv = key_object_list_read(inventory->token, CKO_PRIVATE_KEY, &inventory->private_keys);
    return rv;
}

size_t inventory_list_schemes(const struct worker *worker, const struct key *key,
                              uint32_t ret_codes[SCHEMES_MAX])
{
    uint32_t offered = worker->tokens[key->token].mechanisms &
                       ~atomic_load_explicit(&key->refused, memory_order_relaxed);

    return mechanism_list_schemes(key->public_key.type, key->public_key.bits, offered, ret_codes);
}

/* A key that cannot sign is not told to the core; a person may look for it. */
static void inventory_log_unfit(const struct worker *worker, const struct token *token)
{
    uint32_t codes[SCHEMES_MAX];
    char name[PROTOCOL_NAME_MAX];
    char label[PROTOCOL_NAME_MAX];

    for (size_t i = 0; i < worker->keys.count; i++) {
        const struct key *key = worker->keys.items[i];
        if (key->token != token->number || !key->present ||
            inventory_list_schemes(worker, key, codes) > 0)
            continue;
        log_info("the %s key \"%s\" is left out: the token \"%s\" has no mechanism to sign with it",
                 key_type_name(key->public_key.type),
                 escape_text(object_name_label(&key->name), name, sizeof(name)),
                 escape_text(text_span(&token->label), label, sizeof(label)));
    }
}

CK_RV inventory_read(struct worker *worker, struct token *token)
{
    _cleanup_(inventory_deinit) struct inventory inventory = {.keys = &worker->keys,
                                                              .token = token};

    keyring_hide(&worker->keys, token->number);
    CK_RV rv = token_refresh(token);
    if (rv == CKR_OK)
        rv = session_prepare(worker, token);
    if (rv == CKR_OK)
        rv = inventory_read_objects(&inventory);
    if (rv != CKR_OK)
        return rv;

    inventory.pairing = (struct pairing){.token = token,
                                         .public_keys = &inventory.public_keys,
                                         .certs = &inventory.certs,
                                         .files = &worker->files};
    int r = pairing_init(&inventory.pairing);
    if (r == 0)
        r = inventory_put_private_keys(&inventory, true);
    if (r == 0)
        r = inventory_put_private_keys(&inventory, false);
    if (r == 0 && token_needs_login(token))
        r = inventory_put_public_sides(&inventory);
    inventory_log_unfit(worker, token);
    return r == 0 ? CKR_OK : CKR_HOST_MEMORY;
}

CK_RV inventory_read_all(struct worker *worker)
{
    CK_RV first = CKR_OK;
    bool any = false;

    for (size_t i = 0; i < worker->token_count; i++) {
        struct token *token = &worker->tokens[i];
        char label[PROTOCOL_NAME_MAX];
        CK_RV rv = inventory_read(worker, token);

        token->readable = rv == CKR_OK;
        any = any || token->readable;
        if (token->readable)
            continue;
        if (first == CKR_OK)
            first = rv;
        log_warning("the token %s cannot be read: %s (0x%lx)",
                    escape_text(text_span(&token->label), label, sizeof(label)), ckr_name(rv), rv);
    }
    return any ? CKR_OK : first;
}

static int inventory_send_packet(struct worker *worker, struct wire_writer *writer, int encoded)
{
    if (encoded)
        return -EMSGSIZE;
    return link_send(worker->link, writer);
}

static int inventory_send_token(struct worker *worker, struct wire_writer *writer,
                                const struct token *token)
{
    const struct worker_token msg = {
        .token = token->number,
        .flags = token_flags(token),
        .label = text_span(&token->label),
        .serial = text_span(&token->serial),
        .manufacturer = text_span(&token->manufacturer),
        .model = text_span(&token->model),
        .slot = text_span(&token->slot),
    };

    wire_writer_reset(writer);
    return inventory_send_packet(worker, writer, worker_token_encode(writer, &msg));
}

static int inventory_send_key(struct worker *worker, struct wire_writer *writer,
                              const struct key *key)
{
    struct text label;
    struct worker_key msg = {
        .key = key->number,
        .token = key->token,
        .type = key->public_key.type,
        .bits = key->public_key.bits,
        .usable = key_is_usable(key),
        .always_authenticate = key->always_authenticate,
        .ck_id = object_name_id(&key->name),
        .spki = key->public_key.spki,
        .cert_count = key->cert_count,
    };

    msg.scheme_count = inventory_list_schemes(worker, key, msg.schemes);
    text_set(&label, object_name_label(&key->name));
    msg.label = text_span(&label);
    memcpy(msg.certs, key->certs, sizeof(msg.certs));
    wire_writer_reset(writer);
    int encoded = worker_key_encode(writer, &msg);
    /* Certificates of absurd size: as much of the chain as one frame takes. */
    while (encoded && msg.cert_count > 0) {
        msg.cert_count--;
        wire_writer_reset(writer);
        encoded = worker_key_encode(writer, &msg);
    }
    return inventory_send_packet(worker, writer, encoded);
}

int inventory_send(struct worker *worker, struct wire_writer *writer)
{
    struct worker_inventory msg = {.uses_pcsc = pcsc_is_mapped()};
    int r = 0;

    for (size_t i = 0; i < worker->token_count && r == 0; i++) {
        if (!worker->tokens[i].readable)
            continue;
        r = inventory_send_token(worker, writer, &worker->tokens[i]);
        msg.token_count++;
    }
    for (size_t i = 0; i < worker->keys.count && r == 0; i++) {
        uint32_t codes[SCHEMES_MAX];
        if (!worker->keys.items[i]->present ||
            inventory_list_schemes(worker, worker->keys.items[i], codes) == 0)
            continue;
        r = inventory_send_key(worker, writer, worker->keys.items[i]);
        msg.key_count++;
    }
    if (r)
        return r;
    wire_writer_reset(writer);
    return inventory_send_packet(worker, writer, worker_inventory_encode(writer, &msg));
}
