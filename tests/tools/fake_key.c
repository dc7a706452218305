/* SPDX-License-Identifier: Apache-2.0 */
/* Software keys for the fake agent; see fake_key.h. */
#include "tests/tools/fake_key.h"

#include <string.h>
#include <strings.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static int fake_key_load(struct fake_key *key, const char *path)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");

    if (!file)
        return -errno;
    key->pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    if (!key->pkey)
        return -EINVAL;
    key->bits = (unsigned int)EVP_PKEY_get_bits(key->pkey);
    if (EVP_PKEY_is_a(key->pkey, "RSA"))
        key->type = KEY_TYPE_RSA;
    else if (EVP_PKEY_is_a(key->pkey, "RSA-PSS"))
        key->type = KEY_TYPE_RSA_PSS;
    else if (EVP_PKEY_is_a(key->pkey, "EC"))
        key->type = KEY_TYPE_EC;
    else if (EVP_PKEY_is_a(key->pkey, "ED25519"))
        key->type = KEY_TYPE_ED25519;
    else
        return -EINVAL;

    int len = i2d_PUBKEY(key->pkey, &key->spki);
    if (len <= 0)
        return -ENOMEM;
    key->spki_len = (size_t)len;
    return EVP_Digest(key->spki, key->spki_len, key->hash, NULL, EVP_sha256(), NULL) ? 0 : -ENOMEM;
}

static int fake_key_load_certs(struct fake_key *key, const char *path)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");

    if (!file)
        return -errno;
    while (key->cert_count < PROTOCOL_CERTS_MAX) {
        uint8_t *der = NULL;
        X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
        if (!cert)
            break;
        int len = i2d_X509(cert, &der);
        X509_free(cert);
        if (len <= 0)
            return -ENOMEM;
        key->certs[key->cert_count++] = (struct wire_span){der, (size_t)len};
    }
    return key->cert_count > 0 ? 0 : -EINVAL;
}

static char *fake_key_name_from_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');

    return dot && dot != base ? strndup(base, (size_t)(dot - base)) : strdup(base);
}

struct fake_key *fake_key_new(const char *argument)
{
    _cleanup_free_ char *copy = strdup(argument);
    struct fake_key *key = calloc(1, sizeof(*key));

    if (!copy || !key) {
        free(key);
        return NULL;
    }
    char *rest = copy;
    const char *key_path = strsep(&rest, ":");
    const char *cert_path = strsep(&rest, ":");
    int r = fake_key_load(key, key_path);
    if (r == 0 && cert_path && *cert_path)
        r = fake_key_load_certs(key, cert_path);
    key->name = rest && *rest ? strdup(rest) : fake_key_name_from_path(key_path);
    if (r < 0 || !key->name) {
        fprintf(stderr, "fake-agent: %s: %s\n", argument, r < 0 ? strerror(-r) : "no memory");
        return fake_key_free(key);
    }
    return key;
}

struct fake_key *fake_key_free(struct fake_key *key)
{
    if (!key)
        return NULL;
    for (size_t i = 0; i < key->cert_count; i++)
        OPENSSL_free((void *)(uintptr_t)key->certs[i].data);
    OPENSSL_free(key->spki);
    EVP_PKEY_free(key->pkey);
    free(key->name);
    free(key);
    return NULL;
}

static bool fake_key_hash_starts_with(const struct fake_key *key, const char *digits)
{
    char text[2 * PROTOCOL_KEY_HASH_LEN + 1];
    size_t len = strlen(digits);

    for (size_t i = 0; i < PROTOCOL_KEY_HASH_LEN; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", key->hash[i]);
    return len >= 8 && len < sizeof(text) && strncasecmp(text, digits, len) == 0;
}

/* The attributes of a URI that the fake knows; any other one selects nothing. */
static bool fake_key_uri_fits(const struct fake_key *key, char *attributes)
{
    char *attribute = NULL;

    while ((attribute = strsep(&attributes, ";"))) {
        if (strncmp(attribute, "object=", 7) == 0 && strcmp(attribute + 7, key->name) == 0)
            continue;
        if (strncmp(attribute, "token=", 6) == 0 && strcmp(attribute + 6, FAKE_TOKEN_LABEL) == 0)
            continue;
        if (strcmp(attribute, "type=private") == 0 || *attribute == '\0')
            continue;
        return false;
    }
    return true;
}

bool fake_key_is_selected(const struct fake_key *key, struct wire_span selector)
{
    _cleanup_free_ char *text = wire_span_to_text(selector);

    if (!text)
        return false;
    if (*text == '\0')
        return true;
    if (strncmp(text, "sha256:", 7) == 0)
        return fake_key_hash_starts_with(key, text + 7);
    if (strncmp(text, "pkcs11:", 7) == 0)
        return fake_key_uri_fits(key, text + 7);
    return strcmp(text, key->name) == 0;
}

void fake_key_describe(const struct fake_key *key, struct protocol_key *ret_key)
{
    *ret_key = (struct protocol_key){
        .name = wire_span_from_text(key->name),
        .key_hash = {key->hash, sizeof(key->hash)},
        .type = key->type,
        .bits = key->bits,
        .state = KEY_STATE_READY,
        .policy = KEY_POLICY_TLS,
        .label = wire_span_from_text(key->name),
        .ck_id = {key->hash, 4},
        .token_label = WIRE_SPAN_LITERAL(FAKE_TOKEN_LABEL),
        .token_serial = WIRE_SPAN_LITERAL(FAKE_TOKEN_SERIAL),
        .module = WIRE_SPAN_LITERAL("fake"),
        .spki = {key->spki, key->spki_len},
        .cert_count = key->cert_count,
    };
    ret_key->scheme_count = scheme_list_for_key(key->type, key->bits, ret_key->schemes);
    memcpy(ret_key->certs, key->certs, sizeof(key->certs));
}

static const EVP_MD *fake_key_digest(const struct scheme *scheme)
{
    switch (scheme->hash) {
    case HASH_SHA256:
        return EVP_sha256();
    case HASH_SHA384:
        return EVP_sha384();
    case HASH_SHA512:
        return EVP_sha512();
    case HASH_NONE:
        break;
    }
    return NULL;
}

/* Padding of an RSA signature; nothing to do for the others. */
static bool fake_key_set_padding(EVP_PKEY_CTX *ctx, const struct scheme *scheme)
{
    if (scheme->padding == PADDING_NONE)
        return true;
    if (scheme->padding == PADDING_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

static bool fake_key_sign_digest(const struct fake_key *key, const struct scheme *scheme,
                                 struct wire_span digest, uint8_t *signature, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    bool done = ctx && EVP_PKEY_sign_init(ctx) > 0 && fake_key_set_padding(ctx, scheme) &&
                EVP_PKEY_CTX_set_signature_md(ctx, fake_key_digest(scheme)) > 0 &&
                EVP_PKEY_sign(ctx, signature, len, digest.data, digest.len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return done;
}

static bool fake_key_sign_message(const struct fake_key *key, const struct scheme *scheme,
                                  struct wire_span message, uint8_t *signature, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    bool done = ctx &&
                EVP_DigestSignInit(ctx, &pkey_ctx, fake_key_digest(scheme), NULL, key->pkey) > 0 &&
                fake_key_set_padding(pkey_ctx, scheme) &&
                EVP_DigestSign(ctx, signature, len, message.data, message.len) > 0;

    EVP_MD_CTX_free(ctx);
    return done;
}

int fake_key_sign(const struct fake_key *key, const struct protocol_sign *request,
                  uint8_t *signature, size_t *signature_len)
{
    const struct scheme *scheme = scheme_find(request->scheme);
    bool done = false;

    if (!scheme || !scheme_fits_key(scheme, key->type))
        return WIRE_E_MALFORMED;
    if (request->kind == SIGN_KIND_DIGEST && scheme->hash != HASH_NONE)
        done = fake_key_sign_digest(key, scheme, request->content, signature, signature_len);
    else
        done = fake_key_sign_message(key, scheme, request->content, signature, signature_len);
    return done ? 0 : WIRE_E_MALFORMED;
}
