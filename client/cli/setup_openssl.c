/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openssl, Python and nginx: programs on OpenSSL 3 that take a certificate file and a key file.
 * They get the files of `mtls env` at a place that stays. Nothing here needs digests.
 */
#include "client/cli/setup.h"

#include <string.h>

#include "client/cli/program.h"

/* "OPENSSL_CONF=..." for a check; owned by the caller. */
static char *openssl_variable(const struct setup *setup)
{
    char *variable = NULL;

    if (asprintf(&variable, OPENSSL_CONF_ENV "=%s", setup->files.variables[0].value) < 0)
        return NULL;
    return variable;
}

static const char *openssl_cert(const struct setup *setup)
{
    return setup->files.variables[1].value;
}

static const char *openssl_key(const struct setup *setup)
{
    return setup->files.variables[2].value;
}

/* ---- openssl */

static int openssl_prepare(struct setup *setup)
{
    _cleanup_free_ char *dir = setup_word(setup->dir);

    int r = setup_put_openssl_files(setup);
    if (r)
        return r;
    if (!dir)
        return setup_fail_memory();
    recipe_add(&setup->recipe, RECIPE_USE, "export " OPENSSL_CONF_ENV "=%s/openssl.cnf", dir);
    recipe_add(&setup->recipe, RECIPE_USE,
               "openssl s_client -connect SERVER:443 -cert %s/cert.pem -cert_chain %s/cert.pem "
               "-key %s/key.pem",
               dir, dir, dir);
    return CLI_OK;
}

/* The public key that the provider gives out is that of the certificate. */
static int openssl_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "openssl", "openssl");
    _cleanup_free_ char *variable = openssl_variable(setup);
    _cleanup_wire_writer_ struct wire_writer of_key = {0};
    _cleanup_wire_writer_ struct wire_writer of_cert = {0};

    if (!program || !variable)
        return CLI_OK;
    const char *const variables[] = {variable, NULL};
    const char *const key[] = {program, "pkey", "-in", openssl_key(setup), "-pubout", NULL};
    const char *const cert[] = {program,   "x509",   "-in", openssl_cert(setup),
                                "-pubkey", "-noout", NULL};
    if (setup_try(setup, key, variables, &of_key, "openssl pkey with key.pem") ||
        setup_try(setup, cert, variables, &of_cert, "openssl x509 with cert.pem"))
        return CLI_OK;
    bool is_same = of_key.len == of_cert.len && memcmp(of_key.data, of_cert.data, of_key.len) == 0;
    recipe_add_check(&setup->recipe, is_same ? RECIPE_OK : RECIPE_FAILED,
                     "openssl loads the key by its reference, and it is the certificate's");
    return CLI_OK;
}

/* ---- Python */

static int python_prepare(struct setup *setup)
{
    _cleanup_free_ char *program = NULL;
    _cleanup_free_ char *dir = setup_word(setup->dir);

    if (!dir || program_find("python3", &program))
        return setup_fail_memory();
    if (program)
        recipe_add(&setup->recipe, RECIPE_FOUND, "%s", program);
    int r = setup_put_openssl_files(setup);
    if (r)
        return r;
    recipe_add(&setup->recipe, RECIPE_USE, OPENSSL_CONF_ENV "=%s/openssl.cnf python3 PROGRAM", dir);
    recipe_add(&setup->recipe, RECIPE_USE,
               "context.load_cert_chain(\"%s/cert.pem\", \"%s/key.pem\")  # an ssl.SSLContext",
               setup->dir, setup->dir);
    recipe_add(&setup->recipe, RECIPE_USE,
               "requests.get(URL, cert=(\"%s/cert.pem\", \"%s/key.pem\"))", setup->dir, setup->dir);
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "The variable must be set before Python starts. Packages that bring an OpenSSL of "
               "their own, such as some wheels of cryptography, do not load the provider");
    return CLI_OK;
}

static int python_check(struct setup *setup)
{
    static const char code[] = "import ssl, sys\n"
                               "context = ssl.create_default_context()\n"
                               "context.load_cert_chain(sys.argv[1], sys.argv[2])\n"
                               "print(ssl.OPENSSL_VERSION)\n";
    _cleanup_free_ char *program = setup_find_program(setup, "python3", "python3");
    _cleanup_free_ char *variable = openssl_variable(setup);
    _cleanup_wire_writer_ struct wire_writer output = {0};
    char version[128];

    if (!program || !variable)
        return CLI_OK;
    const char *const argv[] = {program, "-I", "-c", code, openssl_cert(setup), openssl_key(setup),
                                NULL};
    const char *const variables[] = {variable, NULL};
    if (setup_try(setup, argv, variables, &output, "load_cert_chain()") == 0)
        recipe_add_check(&setup->recipe, RECIPE_OK,
                         "Python (%s) takes certificate and key with load_cert_chain()",
                         program_first_line(&output, version, sizeof(version)));
    return CLI_OK;
}

/* ---- nginx */

#define NGINX_CONF "mtls-agent/nginx/client.conf"

/* Quoted for nginx; a path with a dollar sign, which it would expand, is left to the check. */
static int nginx_put_conf(struct setup *setup)
{
    _cleanup_free_ char *body = NULL;

    if (asprintf(&body,
                 "# for a location that has proxy_pass https://...\n"
                 "proxy_ssl_certificate \"%s/cert.pem\";\n"
                 "proxy_ssl_certificate_key \"%s/key.pem\";\n",
                 setup->dir, setup->dir) < 0) {
        body = NULL;
        return setup_fail_memory();
    }
    return setup_put_file(setup, NGINX_CONF, body);
}

static int nginx_prepare(struct setup *setup)
{
    _cleanup_free_ char *dir = setup_word(setup->dir);

    int r = dir ? setup_put_openssl_files(setup) : setup_fail_memory();
    if (r == CLI_OK)
        r = nginx_put_conf(setup);
    if (r)
        return r;
    recipe_add(&setup->recipe, RECIPE_USE, OPENSSL_CONF_ENV "=%s/openssl.cnf nginx", dir);
    recipe_add(&setup->recipe, RECIPE_USE, "include \"%s/client.conf\";  # in nginx.conf",
               setup->dir);
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "nginx verifies the server only with proxy_ssl_verify on and "
               "proxy_ssl_trusted_certificate FILE");
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "As a service: systemctl edit nginx, [Service], Environment=" OPENSSL_CONF_ENV
               "=%s/openssl.cnf. nginx' workers must run as a user that the agent serves: this "
               "user, or `users =` in its [agent] section",
               setup->dir);
    return CLI_OK;
}

/* A configuration of which only the upstream's side is of interest. */
static char *nginx_format_check(const struct setup *setup)
{
    char *text = NULL;

    if (asprintf(
            &text,
            "daemon off; pid \"%s/pid\"; error_log stderr;\n"
            "events {}\n"
            "http { access_log off; client_body_temp_path \"%s/a\"; proxy_temp_path \"%s/b\";\n"
            "fastcgi_temp_path \"%s/c\"; uwsgi_temp_path \"%s/d\"; scgi_temp_path \"%s/e\";\n"
            "server { listen unix:%s/s; location / { proxy_pass https://127.0.0.1:1;\n"
            "proxy_ssl_certificate \"%s\"; proxy_ssl_certificate_key \"%s\"; } } }\n",
            setup->scratch, setup->scratch, setup->scratch, setup->scratch, setup->scratch,
            setup->scratch, setup->scratch, openssl_cert(setup), openssl_key(setup)) < 0)
        return NULL;
    return text;
}

static int nginx_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "nginx", "nginx-light");
    _cleanup_free_ char *variable = openssl_variable(setup);
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *conf = NULL;

    if (!program || !variable)
        return CLI_OK;
    int r = setup_scratch_file(setup, "empty", "", &conf);
    text = r ? NULL : nginx_format_check(setup);
    if (r || !text)
        return r ? r : setup_fail_memory();
    free(TAKE_PTR(conf));
    r = setup_scratch_file(setup, "nginx.conf", text, &conf);
    if (r)
        return r;
    const char *const argv[] = {program, "-t", "-q", "-c", conf, "-e", "stderr", NULL};
    const char *const variables[] = {variable, NULL};
    if (setup_try(setup, argv, variables, &output, "nginx -t") == 0)
        recipe_add_check(&setup->recipe, RECIPE_OK,
                         "nginx -t takes the certificate, and the key by its reference");
    return CLI_OK;
}

const struct setup_program setup_openssl = {
    .name = "openssl",
    .needs_key = true,
    .has_openssl_files = true,
    .prepare = openssl_prepare,
    .check = openssl_check,
};

const struct setup_program setup_python = {
    .name = "python",
    .needs_key = true,
    .has_openssl_files = true,
    .prepare = python_prepare,
    .check = python_check,
};

const struct setup_program setup_nginx = {
    .name = "nginx",
    .needs_key = true,
    .has_openssl_files = true,
    .files = {NGINX_CONF},
    .prepare = nginx_prepare,
    .check = nginx_check,
};
