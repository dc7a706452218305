/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects and attributes, read from a module that is not believed: lengths are checked against the
 * buffer, numbers against their size, counts against a cap. Attributes are asked one by one into
 * fixed buffers: a batch fails as a whole in some modules, and a length asked beforehand may have
 * changed in between. A reader fails stickily when the token's state is lost, and only then: an
 * attribute that is not there is an answer.
 */
#ifndef MTLS_PKCS11_ATTRIBUTE_H
#define MTLS_PKCS11_ATTRIBUTE_H

#include "pkcs11/token.h"

#define ATTRIBUTE_NUMBER_MAX 2049u /* RSA-16384, and a zero in front */
#define ATTRIBUTE_NAME_MAX PROTOCOL_ID_MAX

/* CKA_ID and CKA_LABEL as the token has them: by these objects of one key find each other. */
struct object_name {
    size_t id_len;
    size_t label_len;
    uint8_t id[ATTRIBUTE_NAME_MAX];
    uint8_t label[ATTRIBUTE_NAME_MAX];
};

struct attribute_reader {
    const struct token *token;
    CK_OBJECT_HANDLE object;
    CK_RV lost; /* CKR_OK, or why the token's state is lost */
};

/**
 * attribute_get() - the bytes of an attribute
 * @buffer:     filled; @size bytes
 *
 * Return: bytes filled; 0 when it is empty, not there, not readable or longer than @size.
 */
size_t attribute_get(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type, void *buffer,
                     size_t size) _must_check_;

/** attribute_get_number() - a CK_ULONG; false when it is not there or not of that size. */
bool attribute_get_number(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type,
                          CK_ULONG *ret_value) _must_check_;

/** attribute_get_bool() - a CK_BBOOL, or @missing when it is not there. */
bool attribute_get_bool(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type,
                        bool missing) _must_check_;

/** attribute_get_name() - CKA_ID and CKA_LABEL. */
void attribute_get_name(struct attribute_reader *reader, struct object_name *ret_name);

/** object_name_score() - how well two objects fit: 3 id and label, 2 id, 1 label, 0 not at all. */
unsigned int object_name_score(const struct object_name *a, const struct object_name *b);

/** object_name_set() - from bytes; what is over the limit counts as not there. */
void object_name_set(struct object_name *name, struct wire_span id, struct wire_span label);

static inline struct wire_span object_name_id(const struct object_name *name)
{
    return (struct wire_span){name->id, name->id_len};
}

static inline struct wire_span object_name_label(const struct object_name *name)
{
    return (struct wire_span){name->label, name->label_len};
}

/**
 * object_find() - the handles of objects that fit a template
 * @ret_handles: filled; owned by the caller
 * @ret_count:  filled; at most WORKER_KEYS_MAX
 *
 * Return: the module's CK_RV; CKR_HOST_MEMORY.
 */
CK_RV object_find(const struct token *token, CK_SESSION_HANDLE session, CK_ATTRIBUTE *match,
                  CK_ULONG match_count, CK_OBJECT_HANDLE **ret_handles,
                  size_t *ret_count) _must_check_;

#endif
