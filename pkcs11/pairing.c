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
    const struct pairing *pairing;
    const struct key_object *object;
    bool (*is_taken)(const void *context, const struct public_key *key);
    const void *context;
    struct pairing_choice best;
};

static int pairing_names_init(struct pairing_names *names, size_t count)
{
    int r = hash_index_init(&names->by_id, count);

    if (r == 0)
        r = hash_index_init(&names->by_label, count);
    if (r == 0)
        r = hash_index_init(&names->by_label_alone, count);
    return r;
}

static void pairing_names_deinit(struct pairing_names *names)
{
    hash_index_deinit(&names->by_id);
    hash_index_deinit(&names->by_label);
    hash_index_deinit(&names->by_label_alone);
}

static void pairing_names_add(struct pairing_names *names, size_t number,
                              const struct object_name *name)
{
    uint32_t label = hash_index_hash(object_name_label(name));

    hash_index_add(&names->by_label, label, number);
    if (name->id_len > 0)
        hash_index_add(&names->by_id, hash_index_hash(object_name_id(name)), number);
    else
        hash_index_add(&names->by_label_alone, label, number);
}

/* From the last to the first, so that they are found from the first to the last. */
int pairing_init(struct pairing *pairing)
{
    int r = pairing_names_init(&pairing->public_key_names, pairing->public_keys->count);

    if (r == 0)
        r = pairing_names_init(&pairing->cert_names, pairing->certs->count);
    if (r == 0)
        r = hash_index_init(&pairing->cert_keys, pairing->certs->count);
    if (r)
        return r;
    for (size_t i = pairing->public_keys->count; i-- > 0;)
        pairing_names_add(&pairing->public_key_names, i, &pairing->public_keys->items[i].name);
    for (size_t i = pairing->certs->count; i-- > 0;) {
        const struct cert *cert = &pairing->certs->items[i];
        if (!cert->has_key)
            continue;
        pairing_names_add(&pairing->cert_names, i, &cert->name);
        hash_index_add(&pairing->cert_keys, public_key_hash(&cert->key), i);
    }
    return 0;
}

void pairing_deinit(struct pairing *pairing)
{
    pairing_names_deinit(&pairing->public_key_names);
    pairing_names_deinit(&pairing->cert_names);
    hash_index_deinit(&pairing->cert_keys);
}

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

static void pairing_consider_public_key(struct pairing_search *search, uint32_t number)
{
    const struct key_object *other = &search->pairing->public_keys->items[number];

    pairing_consider(search, &other->key, NULL,
                     object_name_score(&search->object->name, &other->name));
}

static void pairing_consider_cert(struct pairing_search *search, uint32_t number)
{
    const struct cert *cert = &search->pairing->certs->items[number];

    pairing_consider(search, &cert->key, cert,
                     object_name_score(&search->object->name, &cert->name));
}

/* Every object whose name may fit. */
static void pairing_search_names(struct pairing_search *search, const struct pairing_names *names,
                                 void (*consider)(struct pairing_search *search, uint32_t number))
{
    const struct object_name *name = &search->object->name;
    uint32_t label = hash_index_hash(object_name_label(name));

    if (name->id_len == 0) {
        hash_index_for_each (number, &names->by_label, label)
            consider(search, number);
        return;
    }
    hash_index_for_each (number, &names->by_id, hash_index_hash(object_name_id(name)))
        consider(search, number);
    hash_index_for_each (number, &names->by_label_alone, label)
        consider(search, number);
}

const struct public_key *
pairing_find_public_key(const struct pairing *pairing, const struct key_object *object,
                        bool (*is_taken)(const void *context, const struct public_key *key),
                        const void *context, bool *ret_provisional)
{
    struct pairing_search search = {
        .pairing = pairing, .object = object, .is_taken = is_taken, .context = context};

    *ret_provisional = !object->has_key;
    if (object->has_key)
        return &object->key;
    pairing_search_names(&search, &pairing->public_key_names, pairing_consider_public_key);
    pairing_search_names(&search, &pairing->cert_names, pairing_consider_cert);
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
    hash_index_for_each (i, &pairing->cert_keys, public_key_hash(key)) {
        const struct cert *cert = &pairing->certs->items[i];
        if (!public_key_is_same(&cert->key, key))
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

bool pairing_is_ca_key(const struct pairing *pairing, const struct public_key *key)
{
    bool is_ca = false;

    hash_index_for_each (i, &pairing->cert_keys, public_key_hash(key)) {
        const struct cert *cert = &pairing->certs->items[i];
        if (!public_key_is_same(&cert->key, key))
            continue;
        if (!cert->is_ca)
            return false;
        is_ca = true;
    }
    return is_ca;
}
