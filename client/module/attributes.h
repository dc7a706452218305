/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of an object (PKCS #11 v2.40 section 4), as one table: who has which, and where
 * its value comes from. No attribute of a private key is secret here: the module has no secret.
 */
#ifndef MTLS_MODULE_ATTRIBUTES_H
#define MTLS_MODULE_ATTRIBUTES_H

#include "client/module/content.h"

/**
 * attributes_get() - fill a template, as C_GetAttributeValue does
 * @template:   of the caller; every entry gets its length, or CK_UNAVAILABLE_INFORMATION
 *
 * Return: CKR_OK; else what the last entry that failed is: CKR_ATTRIBUTE_TYPE_INVALID,
 * CKR_ATTRIBUTE_SENSITIVE, CKR_BUFFER_TOO_SMALL.
 */
CK_RV attributes_get(const struct object *object, CK_ATTRIBUTE *template, CK_ULONG count);

/** attributes_match() - every entry of a template is an attribute of the object with that value. */
bool attributes_match(const struct object *object, const CK_ATTRIBUTE *template, CK_ULONG count);

#endif
