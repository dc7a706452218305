/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PKCS#11 module in this process: loaded and initialised by libp11, its slots listed once, and
 * never unloaded: a worker ends with _exit(), because modules crash in C_Finalize and in atexit
 * handlers (SoftHSM with OpenSSL 3 does).
 */
#ifndef MTLS_PKCS11_MODULE_H
#define MTLS_PKCS11_MODULE_H

#include <libp11.h>
#include <p11-kit/pkcs11.h>

#include "common/worker_protocol.h"

/* The positive answer of this module: it cannot be used, struct module_failure says why. */
#define MODULE_E_UNUSABLE 1

struct module {
    CK_FUNCTION_LIST *calls; /* the module's own functions, beside libp11 */
    PKCS11_CTX *ctx;
    PKCS11_SLOT *slots;
    unsigned int slot_count;
};

struct module_failure {
    bool permanent; /* loading the same file again gives the same answer */
    CK_RV rv;       /* what the module answered, or CKR_OK */
    char text[PROTOCOL_TEXT_MAX];
};

/**
 * module_load() - load, initialise, list the slots
 * @path:       file; borrowed
 * @init_args:  CK_C_INITIALIZE_ARGS.pReserved; borrowed; empty: none
 * @ret_module: filled on success
 * @ret_failure: filled with MODULE_E_UNUSABLE
 *
 * This project's own module for programs is refused, and what hands on to it, too. Blocks as long
 * as the module wants. Return: 0, or MODULE_E_UNUSABLE.
 */
int module_load(const char *path, const char *init_args, struct module *ret_module,
                struct module_failure *ret_failure) _must_check_;

/**
 * module_error() - the module's answer behind a failure of libp11
 *
 * libp11 reports it through OpenSSL's error queue only; the queue is empty afterwards, as it must
 * be before the call in question.
 * Return: the CK_RV; CKR_OK when libp11 failed without an error of the module.
 */
CK_RV module_error(void);

#endif
