/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module's return value means for us: its name for people, and its class, which decides what
 * the worker does next. The one table of CK_RV in the worker. Pure.
 *
 * Spec: PKCS #11 v2.40 section 5.1.
 */
#ifndef MTLS_PKCS11_CKR_H
#define MTLS_PKCS11_CKR_H

#include <p11-kit/pkcs11.h>

#include "common/worker_protocol.h"

enum ckr_class {
    CKR_CLASS_OK,
    CKR_CLASS_STALE_HANDLE,  /* a new session and a fresh key handle may be enough */
    CKR_CLASS_STATE_LOST,    /* only a fresh process is sure to help */
    CKR_CLASS_NOT_LOGGED_IN, /* the token has no user login, or not any more */
    CKR_CLASS_PIN,           /* the PIN was refused, or cannot be used as it is */
    CKR_CLASS_PIN_BLOCKED,   /* no tries left */
    CKR_CLASS_UNSUPPORTED,   /* not with this mechanism or this key */
    CKR_CLASS_ERROR,         /* the module's plain no: trying again changes nothing */
};

#define CKR_TEXT_MAX 160u

/** ckr_name() - "CKR_DEVICE_ERROR"; "vendor error" or "unknown error" outside the table. */
const char *ckr_name(CK_RV rv);

/** ckr_classify() - what kind of answer it is; unknown values are CKR_CLASS_ERROR. */
enum ckr_class ckr_classify(CK_RV rv);

/** ckr_is_lost() - session, token or module state is gone: STALE_HANDLE or STATE_LOST. */
bool ckr_is_lost(CK_RV rv);

/** ckr_result() - the answer to the core when a call ended with @rv. */
enum worker_result ckr_result(CK_RV rv);

/**
 * ckr_text() - a sentence fragment: "the module answered CKR_DEVICE_ERROR (0x30) to C_Sign"
 * @function:   the call's name
 *
 * Return: @buffer.
 */
const char *ckr_text(const char *function, CK_RV rv, char buffer[CKR_TEXT_MAX]);

#endif
