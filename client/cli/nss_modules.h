/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11.txt, NSS's list of PKCS#11 modules for one database: blocks of `name=value` lines that end
 * with an empty line. NSS reads it when a browser starts, and rewrites it as a whole when somebody
 * changes the list in the browser. Pure: bytes in, bytes out; blocks of others stay as they are.
 */
#ifndef MTLS_CLI_NSS_MODULES_H
#define MTLS_CLI_NSS_MODULES_H

#include "common/wire.h"

#define NSS_MODULES_FILE "pkcs11.txt"
#define NSS_MODULES_NAME "mtls-agent"

enum nss_modules_state {
    NSS_MODULES_ABSENT,
    NSS_MODULES_OTHER_PATH, /* ours is there, from another installation, or twice */
    NSS_MODULES_PRESENT,
};

/**
 * nss_modules_look() - whether our module is in the list
 * @text:       of the file
 * @path:       of the module, which may be there under another's name for it; NULL: ours, any path
 */
enum nss_modules_state nss_modules_look(struct wire_span text, const char *path);

/**
 * nss_modules_set() - append the text of the changed file
 * @path:       of the module; NULL: take ours out
 * @out:        sticky failure
 */
void nss_modules_set(struct wire_span text, const char *path, struct wire_writer *out);

#endif
