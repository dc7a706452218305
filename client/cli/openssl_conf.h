/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An openssl.cnf (config(5)) for one program or one shell: all that the user's own one says, and
 * the providers `default` and `mtls-agent` active. Sections of the user's file are extended by
 * name, never copied, so that nothing in it is lost.
 */
#ifndef MTLS_CLI_OPENSSL_CONF_H
#define MTLS_CLI_OPENSSL_CONF_H

#include <stdbool.h>

#include "common/wire.h"

#define OPENSSL_CONF_ENV "OPENSSL_CONF"

enum {
    OPENSSL_CONF_E_UNREADABLE = 1, /* OpenSSL cannot read the file that is to be included */
};

/* The file that is extended. */
struct openssl_conf_base {
    char *path;            /* owned, absolute; NULL: there is none */
    bool from_environment; /* it was named by $OPENSSL_CONF */
};

#define OPENSSL_CONF_BASE_INIT ((struct openssl_conf_base){0})

/**
 * openssl_conf_find_base() - the file that programs read now
 * @ret_base:   filled; openssl_conf_base_deinit()
 *
 * $OPENSSL_CONF, else OpenSSL's own. If that was made by openssl_conf_put(), the one it extends.
 * Return: 0, or -ENOMEM.
 */
int openssl_conf_find_base(struct openssl_conf_base *ret_base) _must_check_;
void openssl_conf_base_deinit(struct openssl_conf_base *base);

/** openssl_conf_is_active() - $OPENSSL_CONF names a file made by openssl_conf_put(). */
bool openssl_conf_is_active(void);

/**
 * openssl_conf_put() - append the text of the file
 * @module_path: absolute path of the provider; NULL: OpenSSL finds it by its name
 * @tls12_only: for a key that cannot do TLS 1.3: OpenSSL does not negotiate it, and signs with
 *              PKCS#1 v1.5 although it prefers PSS
 * @out:        sticky failure
 *
 * `default` is left alone when @base activates `fips`: that is a decision against it.
 * Return: 0, or OPENSSL_CONF_E_UNREADABLE.
 */
int openssl_conf_put(const struct openssl_conf_base *base, const char *module_path, bool tls12_only,
                     struct wire_writer *out) _must_check_;

#define _cleanup_openssl_conf_base_ _cleanup_(openssl_conf_base_deinit)

#endif
