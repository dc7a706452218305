/* SPDX-License-Identifier: Apache-2.0 */
/* Key objects of a token; see objects.h. */
#include "pkcs11/objects.h"

#include <openssl/err.h>

/* Parameters with everything spelled out, as ykcs11 gives them, have up to some 450 bytes. */
#define KEY_OBJECT_EC_PARAMS_MAX 1024u
#define KEY_OBJECT_EC_POINT_MAX 256u

void key_object_list_deinit(struct key_object_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        public_key_deinit(&list->items[i].key);
    free(list->items);
    *list = (struct key_object_list){0};
}

static void key_object_list_move(struct key_object_list *from, struct key_object_list *to)
{
    *to = *from;
    *from = (struct key_object_list){0};
}

static bool key_object_read_rsa(struct attribute_reader *reader, struct key_object *object)
{
    uint8_t modulus[ATTRIBUTE_NUMBER_MAX];
    uint8_t exponent[ATTRIBUTE_NUMBER_MAX];
    size_t modulus_len = attribute_get(reader, CKA_MODULUS, modulus, sizeof(modulus));
    size_t exponent_len = attribute_get(reader, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));

    object->type = KEY_TYPE_RSA;
    object->has_key =
        public_key_from_rsa((struct wire_span){modulus, modulus_len},
                            (struct wire_span){exponent, exponent_len}, &object->key) == 0;
    if (object->has_key)
        object->bits = object->key.bits;
    /* A private key may keep its public half to itself; one that tells it must be of use. */
    return object->has_key || modulus_len == 0 || exponent_len == 0;
}

static bool key_object_read_ec(struct attribute_reader *reader, CK_ULONG key_type,
                               struct key_object *object)
{
    uint8_t params[KEY_OBJECT_EC_PARAMS_MAX];
    uint8_t point[KEY_OBJECT_EC_POINT_MAX];
    struct wire_span params_span = {params,
                                    attribute_get(reader, CKA_EC_PARAMS, params, sizeof(params))};
    struct wire_span point_span = {point,
                                   attribute_get(reader, CKA_EC_POINT, point, sizeof(point))};

    /* A private key may keep its curve to itself, too. */
    object->type = key_type == CKK_EC ? KEY_TYPE_EC : KEY_TYPE_ED25519;
    if (params_span.len > 0 && public_key_curve(params_span, &object->type, &object->bits))
        return false;
    object->has_key = public_key_from_ec(params_span, point_span, &object->key) == 0;
    return true;
}

/* False when the object is of no use, or the token's state was lost. */
static bool key_object_read(struct attribute_reader *reader, CK_OBJECT_CLASS class,
                            struct key_object *object)
{
    CK_ULONG key_type = 0;
    bool usable = false;

    if (!attribute_get_number(reader, CKA_KEY_TYPE, &key_type))
        return false;
    if (class == CKO_PRIVATE_KEY && !attribute_get_bool(reader, CKA_SIGN, true))
        return false;
    if (key_type == CKK_RSA)
        usable = key_object_read_rsa(reader, object);
    else if (key_type == CKK_EC || key_type == CKK_EC_EDWARDS)
        usable = key_object_read_ec(reader, key_type, object);
    if (!usable || (class == CKO_PUBLIC_KEY && !object->has_key))
        return false;
    object->handle = reader->object;
    attribute_get_name(reader, &object->name);
    if (class == CKO_PRIVATE_KEY)
        object->always_authenticate = attribute_get_bool(reader, CKA_ALWAYS_AUTHENTICATE, false);
    return reader->lost == CKR_OK;
}

CK_RV key_object_list_read(const struct token *token, CK_OBJECT_CLASS class,
                           struct key_object_list *ret_list)
{
    _cleanup_(cleanup_key_object_list) struct key_object_list list = {0};
    _cleanup_free_ CK_OBJECT_HANDLE *handles = NULL;
    size_t handle_count = 0;
    struct attribute_reader reader = {.token = token, .lost = CKR_OK};
    CK_ATTRIBUTE match[] = {{CKA_CLASS, &class, sizeof(class)}};
    CK_RV rv =
        object_find(token, token->session, match, ARRAY_SIZE(match), &handles, &handle_count);

    if (rv != CKR_OK)
        return rv;
    list.items = calloc(handle_count + 1, sizeof(*list.items));
    if (!list.items)
        return CKR_HOST_MEMORY;
    for (size_t i = 0; i < handle_count && reader.lost == CKR_OK; i++) {
        struct key_object *object = &list.items[list.count];

        reader.object = handles[i];
        if (key_object_read(&reader, class, object)) {
            list.count++;
            continue;
        }
        public_key_deinit(&object->key);
        *object = (struct key_object){0};
    }
    ERR_clear_error();
    if (reader.lost != CKR_OK)
        return reader.lost;
    key_object_list_move(&list, ret_list);
    return CKR_OK;
}
