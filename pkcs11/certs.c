/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates from tokens and files; see certs.h. */
#include "pkcs11/certs.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

static void cert_deinit(struct cert *cert)
{
    X509_free(cert->x509);
    free((void *)(uintptr_t)cert->der.data);
    public_key_deinit(&cert->key);
    if (cert->uri)
        p11_kit_uri_free(cert->uri);
    *cert = (struct cert){0};
}

void cert_list_deinit(struct cert_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cert_deinit(&list->items[i]);
    free(list->items);
    *list = (struct cert_list){0};
}

static void cert_list_move(struct cert_list *from, struct cert_list *to)
{
    *to = *from;
    *from = (struct cert_list){0};
}

/* Takes over everything in @cert on success only. */
static int cert_list_append(struct cert_list *list, const struct cert *cert)
{
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? 2 * list->cap : 4;
        struct cert *items = reallocarray(list->items, cap, sizeof(*items));
        if (!items)
            return -ENOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = *cert;
    if (!cert->is_ca)
        return 0;
    if (list->last_ca > 0)
        list->items[list->last_ca - 1].next_ca = list->count;
    else
        list->first_ca = list->count;
    list->last_ca = list->count;
    return 0;
}

/* Fills what follows from the certificate itself; takes @x509. */
static int cert_init(struct cert *cert, X509 *x509)
{
    int len = i2d_X509(x509, NULL);

    *cert = (struct cert){.x509 = x509};
    if (len <= 0 || len > (int)PROTOCOL_DER_MAX)
        return -EINVAL;
    uint8_t *der = malloc((size_t)len);
    if (!der)
        return -ENOMEM;
    unsigned char *at = der;
    (void)i2d_X509(x509, &at);
    cert->der = (struct wire_span){der, (size_t)len};
    cert->is_ca = X509_check_ca(x509) == 1;
    int r = public_key_from_x509(x509, &cert->key);
    cert->has_key = r == 0;
    return r < 0 ? r : 0;
}

/* An object of another kind (OpenPGP, attributes), or one that does not parse, is left out alone.
 */
static CK_RV cert_list_add_object(struct cert_list *list, struct attribute_reader *reader,
                                  uint8_t der[static PROTOCOL_DER_MAX])
{
    struct cert cert = {0};
    CK_ULONG type = CKC_X_509;

    if (attribute_get_number(reader, CKA_CERTIFICATE_TYPE, &type) && type != CKC_X_509)
        return CKR_OK;
    size_t len = attribute_get(reader, CKA_VALUE, der, PROTOCOL_DER_MAX);
    const unsigned char *at = der;
    X509 *x509 = len > 0 ? d2i_X509(NULL, &at, (long)len) : NULL;
    if (!x509)
        return reader->lost;
    int r = cert_init(&cert, x509);
    if (r == 0) {
        attribute_get_name(reader, &cert.name);
        r = cert_list_append(list, &cert);
    }
    if (r)
        cert_deinit(&cert);
    return r == -ENOMEM ? CKR_HOST_MEMORY : reader->lost;
}

CK_RV cert_list_read(const struct token *token, struct cert_list *ret_list)
{
    _cleanup_(cleanup_cert_list) struct cert_list list = {0};
    _cleanup_free_ CK_OBJECT_HANDLE *handles = NULL;
    _cleanup_free_ uint8_t *der = malloc(PROTOCOL_DER_MAX);
    size_t handle_count = 0;
    struct attribute_reader reader = {.token = token, .lost = CKR_OK};
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE match[] = {{CKA_CLASS, &class, sizeof(class)}};

    if (!der)
        return CKR_HOST_MEMORY;
    CK_RV rv =
        object_find(token, token->session, match, ARRAY_SIZE(match), &handles, &handle_count);
    for (size_t i = 0; i < handle_count && rv == CKR_OK; i++) {
        reader.object = handles[i];
        rv = cert_list_add_object(&list, &reader, der);
    }
    ERR_clear_error();
    if (rv != CKR_OK)
        return rv;
    cert_list_move(&list, ret_list);
    return CKR_OK;
}

/* The name that the URI gives; a URI may leave out either part. */
static void cert_set_uri_name(struct cert *cert)
{
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(cert->uri, CKA_ID);
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(cert->uri, CKA_LABEL);

    object_name_set(
        &cert->name, id ? (struct wire_span){id->pValue, id->ulValueLen} : (struct wire_span){0},
        label ? (struct wire_span){label->pValue, label->ulValueLen} : (struct wire_span){0});
}

int cert_list_add_file(struct cert_list *list, const char *uri, struct wire_span der)
{
    struct cert cert = {0};
    const unsigned char *at = der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
    int r = -EINVAL;

    if (x509)
        r = cert_init(&cert, x509);
    if (r == 0 && (at != der.data + der.len || !cert.has_key))
        r = -EINVAL;
    if (r == 0) {
        cert.uri = p11_kit_uri_new();
        r = cert.uri ? 0 : -ENOMEM;
    }
    if (r == 0 && p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, cert.uri) != P11_KIT_URI_OK)
        r = -EINVAL;
    if (r == 0) {
        cert_set_uri_name(&cert);
        r = cert_list_append(list, &cert);
    }
    if (r)
        cert_deinit(&cert);
    ERR_clear_error();
    return r;
}

bool cert_names_token(const struct cert *cert, const struct token *token)
{
    return cert->uri && !p11_kit_uri_any_unrecognized(cert->uri) &&
           p11_kit_uri_match_token_info(cert->uri, &token->info);
}

bool cert_names_key(const struct cert *cert, const struct token *token,
                    const struct object_name *name)
{
    /* Matching reads only. */
    CK_ATTRIBUTE attributes[] = {
        {CKA_ID, (void *)(uintptr_t)name->id, name->id_len},
        {CKA_LABEL, (void *)(uintptr_t)name->label, name->label_len},
    };

    return cert_names_token(cert, token) &&
           p11_kit_uri_match_attributes(cert->uri, attributes, ARRAY_SIZE(attributes));
}

char *cert_uri_text(const struct cert *cert)
{
    char *text = NULL;

    if (p11_kit_uri_format(cert->uri, P11_KIT_URI_FOR_ANY, &text) != P11_KIT_URI_OK)
        return NULL;
    return text;
}

static bool cert_is_issued_by(const struct cert *cert, const struct cert *issuer)
{
    if (X509_check_issued(issuer->x509, cert->x509) != X509_V_OK)
        return false;
    EVP_PKEY *key = X509_get0_pubkey(issuer->x509);
    return key && X509_verify(cert->x509, key) == 1;
}

static const struct cert *cert_list_find_issuer(const struct cert_list *list,
                                                const struct cert *cert)
{
    for (size_t ca = list->first_ca; ca > 0; ca = list->items[ca - 1].next_ca)
        if (cert_is_issued_by(cert, &list->items[ca - 1]))
            return &list->items[ca - 1];
    return NULL;
}

size_t cert_list_chain(const struct cert_list *list, const struct cert *leaf,
                       const struct cert *ret_chain[PROTOCOL_CERTS_MAX])
{
    size_t count = 0;

    ret_chain[count++] = leaf;
    while (count < PROTOCOL_CERTS_MAX) {
        const struct cert *issuer = cert_list_find_issuer(list, ret_chain[count - 1]);
        /* A loop of certificates that sign each other ends at the limit. */
        if (!issuer || X509_check_issued(issuer->x509, issuer->x509) == X509_V_OK)
            break;
        ret_chain[count++] = issuer;
    }
    ERR_clear_error();
    return count;
}
