/* SPDX-License-Identifier: Apache-2.0 */
/* Making objects from keys; see content.h. */
#include "client/module/content.h"

#include <string.h>

#include "common/der.h"
#include "common/scheme.h"

/* A key has at most these objects of its own; the rest are certificates of chains. */
#define CONTENT_OBJECTS_PER_KEY 3u

static struct wire_span content_span(struct mtls_agent_bytes bytes)
{
    return (struct wire_span){bytes.data, bytes.len};
}

/* PKCS #11 v2.40, CKA_EC_POINT: the point in an OCTET STRING. */
static int content_wrap_point(struct content_key *key)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    if (key->spki.point.len == 0)
        return 0;
    wire_writer_init(&writer, sizeof(key->ec_point));
    der_put(&writer, DER_OCTET_STRING, key->spki.point);
    if (writer.failed)
        return -ENOMEM;
    memcpy(key->ec_point, writer.data, writer.len);
    key->ec_point_len = writer.len;
    return 0;
}

/* Doubles the array when it is full: @count is a power of two then. */
static int content_grow(void **array, size_t count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0)
        return 0;
    void *grown = reallocarray(*array, count > 0 ? 2 * count : 1, size);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    return 0;
}

int content_add_key(struct content *content, const struct mtls_agent_key *info)
{
    struct content_key key = {.info = info, .id = content_span(info->id), .bits = info->bits};

    if (spki_parse(content_span(info->spki), (enum key_type)info->type, &key.spki))
        return 0;
    if (info->cert_count > 0)
        key.leaf = certificate_parse(content_span(info->certs[0]));
    int r = content_wrap_point(&key);
    if (r == 0)
        r = content_grow((void **)&content->keys, content->key_count, sizeof(*content->keys));
    if (r == 0)
        content->keys[content->key_count++] = key;
    return r;
}

static int content_compare_spans(struct wire_span a, struct wire_span b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len > 0 ? memcmp(a.data, b.data, a.len) : 0;
}

static int content_compare_ids(const void *a, const void *b)
{
    const struct content_key *const *left = a;
    const struct content_key *const *right = b;

    return content_compare_spans((*left)->id, (*right)->id);
}

/* Keys that have an empty ID, or the same one, are named by their hashes. Returns how many of them
 * had another ID before. */
static size_t content_rename_keys(struct content_key **keys, size_t count)
{
    size_t renamed = 0;

    if (count == 1 && keys[0]->id.len > 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (keys[i]->id.data == keys[i]->info->hash)
            continue;
        keys[i]->id = (struct wire_span){keys[i]->info->hash, MTLS_AGENT_KEY_HASH_LEN};
        renamed++;
    }
    return renamed;
}

/* Programs bring key and certificate together by CKA_ID. Where the token has none, or the same for
 * several keys, the key's hash is as good a name; and what had that for its ID has to give way. */
static int content_make_ids_unique(struct content *content)
{
    size_t count = content->key_count;
    size_t renamed = 0;
    _cleanup_free_ struct content_key **sorted = calloc(count > 0 ? count : 1, sizeof(void *));

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &content->keys[i];
    do {
        renamed = 0;
        qsort(sorted, count, sizeof(void *), content_compare_ids);
        for (size_t i = 0, end = 0; i < count; i = end) {
            for (end = i + 1; end < count; end++)
                if (content_compare_spans(sorted[end]->id, sorted[i]->id) != 0)
                    break;
            renamed += content_rename_keys(sorted + i, end - i);
        }
    } while (renamed > 0);
    return 0;
}

static bool content_has_authority(const struct content *content, size_t first, struct wire_span der)
{
    for (size_t i = first; i < content->object_count; i++)
        if (wire_span_is_equal(content->objects[i].certificate.der, der))
            return true;
    return false;
}

static void content_put_object(struct content *content, CK_OBJECT_CLASS class,
                               const struct content_key *key, struct wire_span label,
                               struct certificate certificate)
{
    content->objects[content->object_count++] =
        (struct object){.class = class, .key = key, .label = label, .certificate = certificate};
}

static void content_put_key(struct content *content, const struct content_key *key)
{
    struct wire_span name = wire_span_from_text(key->info->name);

    content_put_object(content, CKO_PRIVATE_KEY, key, name, (struct certificate){0});
    content_put_object(content, CKO_PUBLIC_KEY, key, name, (struct certificate){0});
    if (key->leaf.der.len > 0)
        content_put_object(content, CKO_CERTIFICATE, key, name, key->leaf);
}

static void content_put_chain(struct content *content, size_t first,
                              const struct mtls_agent_key *info)
{
    for (size_t i = 1; i < info->cert_count; i++) {
        struct certificate certificate = certificate_parse(content_span(info->certs[i]));
        if (!content_has_authority(content, first, certificate.der))
            content_put_object(content, CKO_CERTIFICATE, NULL, certificate.common_name,
                               certificate);
    }
}

static int content_make_objects(struct content *content)
{
    size_t most = 0;

    for (size_t i = 0; i < content->key_count; i++)
        most += CONTENT_OBJECTS_PER_KEY + content->keys[i].info->cert_count;
    content->objects = calloc(most > 0 ? most : 1, sizeof(*content->objects));
    if (!content->objects)
        return -ENOMEM;
    for (size_t i = 0; i < content->key_count; i++)
        content_put_key(content, &content->keys[i]);
    size_t first = content->object_count;
    for (size_t i = 0; i < content->key_count; i++)
        content_put_chain(content, first, content->keys[i].info);
    return 0;
}

/* What makes two objects the same one: the key, or the certificate itself. */
static struct wire_span content_identity(const struct object *object)
{
    if (object->class == CKO_CERTIFICATE)
        return object->certificate.der;
    return (struct wire_span){object->key->info->hash, MTLS_AGENT_KEY_HASH_LEN};
}

static int content_compare_identities(const void *a, const void *b)
{
    const struct object *left = *(struct object *const *)a;
    const struct object *right = *(struct object *const *)b;

    if (left->class != right->class)
        return left->class < right->class ? -1 : 1;
    return content_compare_spans(content_identity(left), content_identity(right));
}

static struct object **content_sort(const struct content *content,
                                    int (*compare)(const void *, const void *))
{
    size_t count = content->object_count;
    struct object **sorted = calloc(count > 0 ? count : 1, sizeof(void *));

    if (!sorted)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &content->objects[i];
    qsort(sorted, count, sizeof(void *), compare);
    return sorted;
}

/* Both in the order of identities: walks them side by side. Returns how many were in both. */
static size_t content_take_handles(struct object **fresh, size_t fresh_count,
                                   struct object *const *older, size_t older_count)
{
    size_t at = 0;
    size_t taken = 0;

    for (size_t i = 0; i < fresh_count; i++) {
        while (at < older_count && content_compare_identities(&older[at], &fresh[i]) < 0)
            at++;
        if (at == older_count)
            break;
        if (content_compare_identities(&older[at], &fresh[i]) == 0) {
            fresh[i]->handle = older[at++]->handle;
            taken++;
        }
    }
    return taken;
}

static int content_compare_handles(const void *a, const void *b)
{
    const struct object *left = *(struct object *const *)a;
    const struct object *right = *(struct object *const *)b;

    return (left->handle > right->handle) - (left->handle < right->handle);
}

static int content_keep_handles(struct content *content, const struct content *older,
                                size_t *ret_kept)
{
    _cleanup_free_ struct object **sorted = content_sort(content, content_compare_identities);
    _cleanup_free_ struct object **sorted_older =
        older ? content_sort(older, content_compare_identities) : NULL;

    *ret_kept = 0;
    if (!sorted || (older && !sorted_older))
        return -ENOMEM;
    if (older)
        *ret_kept =
            content_take_handles(sorted, content->object_count, sorted_older, older->object_count);
    return 0;
}

int content_finish(struct content *content, const struct content *older,
                   CK_OBJECT_HANDLE *next_handle, bool *ret_is_same)
{
    size_t kept = 0;
    int r = content_make_ids_unique(content);

    if (r == 0)
        r = content_make_objects(content);
    if (r == 0)
        r = content_keep_handles(content, older, &kept);
    if (r)
        return r;
    for (size_t i = 0; i < content->object_count; i++)
        if (content->objects[i].handle == CK_INVALID_HANDLE)
            content->objects[i].handle = (*next_handle)++;
    content->by_handle = content_sort(content, content_compare_handles);
    if (!content->by_handle)
        return -ENOMEM;
    *ret_is_same = kept == content->object_count && kept == (older ? older->object_count : 0);
    return 0;
}

bool content_key_can(const struct mtls_agent_key *key, enum scheme_padding padding)
{
    for (size_t i = 0; i < key->scheme_count; i++) {
        const struct scheme *scheme = scheme_find(key->schemes[i]);
        if (scheme && scheme->padding == padding)
            return true;
    }
    return key->scheme_count == 0;
}

bool content_has_pss(const struct content *content)
{
    bool has_rsa = false;

    for (size_t i = 0; i < content->key_count; i++) {
        const struct mtls_agent_key *key = content->keys[i].info;
        if (key->type != MTLS_AGENT_KEY_RSA && key->type != MTLS_AGENT_KEY_RSA_PSS)
            continue;
        if (content_key_can(key, PADDING_PSS))
            return true;
        has_rsa = true;
    }
    return !has_rsa;
}

const struct object *content_find(const struct content *content, CK_OBJECT_HANDLE handle)
{
    size_t low = 0;
    size_t high = content->object_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct object *object = content->by_handle[middle];
        if (object->handle == handle)
            return object;
        if (object->handle < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void content_deinit(struct content *content)
{
    free(content->keys);
    free(content->objects);
    free(content->by_handle);
    *content = (struct content){0};
}
