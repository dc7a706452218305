/* SPDX-License-Identifier: Apache-2.0 */
/* Matching private keys; see pairing.h. */
#include "pkcs11/pairing.h"

#include <openssl/err.h>

/* A file's certificate fits through its URI, which is the word of a person: better than a label. */
#define PAIRING_SCORE_FILE 2u

/* The best candidate so far. */
struct pairing_choice {
    const struct public_key *key;
    const struct cert *cert; /* that it is from, or NULL */
    unsigned int score;
    bool is_taken;
};

struct pairing_search {
    const struct key_object *object;
    bool (*is_taken)(const void *context, const struct public_key *key);
    const void *context;
    struct pairing_choice best;
};

/* A key of the right kind and size for the object; an object may not know its own size. */
static bool pairing_fits(const struct key_object *object, const struct public_key *key)
{
    bool is_rsa = key->type == KEY_TYPE_RSA || key->type == KEY_TYPE_RSA_PSS;

    if (object->type == KEY_TYPE_RSA ? !is_rsa : key->type != object->type)
        return false;
    return object->bits == 0 || object->bits == key->bits;
}

static bool pairing_is_valid_longer(const struct cert *a, const struct cert *b)
{
    return ASN1_TIME_compare(X509_get0_notAfter(a->x509), X509_get0_notAfter(b->x509)) > 0;
}

/* Of two that fit alike the certificate that is valid longer: the other one was replaced by it. */
static bool pairing_is_better(const struct pairing_choice *choice,
                              const struct pairing_choice *best)
{
    if (!best->key || choice->is_taken != best->is_taken)
        return !best->key || best->is_taken;
    if (choice->score != best->score)
        return choice->score > best->score;
    return choice->cert && best->cert && pairing_is_valid_longer(choice->cert, best->cert);
}

static void pairing_consider(struct pairing_search *search, const struct public_key *key,
                             const struct cert *cert, unsigned int score)
{
    if (score == 0 || !pairing_fits(search->object, key))
        return;
    const struct pairing_choice choice = {
        .key = key,
        .cert = cert,
        .score = score,
        .is_taken = search->is_taken(search->context, key),
    };
    if (pairing_is_better(&choice, &search->best))
        search->best = choice;
}

const struct public_key *
pairing_find_public_key(const struct pairing *pairing, const struct key_object *object,
                        bool (*is_taken)(const void *context, const struct public_key *key),
                        const void *context, bool *ret_provisional)
{
    struct pairing_search search = {.object = object, .is_taken = is_taken, .context = context};

    *ret_provisional = !object->has_key;
    if (object->has_key)
        return &object->key;
    for (size_t i = 0; i < pairing->public_keys->count; i++) {
        const struct key_object *other = &pairing->public_keys->items[i];
        pairing_consider(&search, &other->key, NULL,
                         object_name_score(&object->name, &other->name));
    }
    for (size_t i = 0; i < pairing->certs->count; i++) {
        const struct cert *cert = &pairing->certs->items[i];
        if (cert->has_key)
            pairing_consider(&search, &cert->key, cert,
                             object_name_score(&object->name, &cert->name));
    }
    for (size_t i = 0; i < pairing->files->count; i++) {
        const struct cert *cert = &pairing->files->items[i];
        if (cert_names_key(cert, pairing->token, &object->name))
            pairing_consider(&search, &cert->key, cert, PAIRING_SCORE_FILE);
    }
    return search.best.key;
}

static const struct cert *pairing_find_file(const struct pairing *pairing,
                                            const struct public_key *key,
                                            const struct object_name *name)
{
    for (size_t i = 0; i < pairing->files->count; i++) {
        const struct cert *cert = &pairing->files->items[i];
        if (public_key_is_same(&cert->key, key) && cert_names_key(cert, pairing->token, name))
            return cert;
    }
    return NULL;
}

const struct cert *pairing_find_leaf(const struct pairing *pairing, const struct public_key *key,
                                     const struct object_name *name)
{
    const struct cert *best = pairing_find_file(pairing, key, name);
    unsigned int best_score = 0;

    if (best)
        return best;
    for (size_t i = 0; i < pairing->certs->count; i++) {
        const struct cert *cert = &pairing->certs->items[i];
        if (!cert->has_key || !public_key_is_same(&cert->key, key))
            continue;
        unsigned int score = object_name_score(name, &cert->name);
        if (!best || score > best_score ||
            (score == best_score && pairing_is_valid_longer(cert, best))) {
            best = cert;
            best_score = score;
        }
    }
    ERR_clear_error();
    return best;
}
