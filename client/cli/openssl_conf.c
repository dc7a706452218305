/* SPDX-License-Identifier: Apache-2.0 */
/* Extending openssl.cnf; see openssl_conf.h. */
#include "client/cli/openssl_conf.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include <openssl/conf.h>
#include <openssl/x509.h>

#include "common/escape.h"

#define OPENSSL_CONF_PROVIDER "mtls-agent"
/* First line of every file made here; the base follows. */
#define OPENSSL_CONF_MARK "# made by mtls; extends"
#define OPENSSL_CONF_MARK_ENV " $" OPENSSL_CONF_ENV

DEFINE_CLEANUP(CONF *, conf, NCONF_free)

void openssl_conf_base_deinit(struct openssl_conf_base *base)
{
    free(base->path);
    *base = OPENSSL_CONF_BASE_INIT;
}

/* The first line of a file that was made here, after its mark; owned by the caller. Else NULL. */
static char *openssl_conf_read_mark(const char *path)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    char line[sizeof(OPENSSL_CONF_MARK OPENSSL_CONF_MARK_ENV) + PATH_MAX + 2];
    size_t mark_len = sizeof(OPENSSL_CONF_MARK) - 1;

    if (!file || !fgets(line, sizeof(line), file))
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, OPENSSL_CONF_MARK, mark_len) != 0)
        return NULL;
    return strdup(line + mark_len);
}

bool openssl_conf_is_active(void)
{
    const char *path = getenv(OPENSSL_CONF_ENV);
    _cleanup_free_ char *mark = path ? openssl_conf_read_mark(path) : NULL;

    return mark != NULL;
}

static int openssl_conf_find_default(struct openssl_conf_base *ret_base)
{
    char *path = NULL;

    if (asprintf(&path, "%s/openssl.cnf", X509_get_default_cert_area()) < 0)
        return -ENOMEM;
    if (access(path, F_OK) < 0) {
        free(path);
        path = NULL;
    }
    *ret_base = (struct openssl_conf_base){.path = path};
    return 0;
}

/* "" : none; " PATH": OpenSSL's own; " $OPENSSL_CONF PATH": named by the environment then. */
static int openssl_conf_base_from_mark(const char *mark, struct openssl_conf_base *ret_base)
{
    struct openssl_conf_base base = OPENSSL_CONF_BASE_INIT;
    size_t env_len = sizeof(OPENSSL_CONF_MARK_ENV) - 1;

    base.from_environment = strncmp(mark, OPENSSL_CONF_MARK_ENV, env_len) == 0;
    if (base.from_environment)
        mark += env_len;
    if (*mark == ' ') {
        base.path = strdup(mark + 1);
        if (!base.path)
            return -ENOMEM;
    }
    *ret_base = base;
    return 0;
}

int openssl_conf_find_base(struct openssl_conf_base *ret_base)
{
    const char *path = getenv(OPENSSL_CONF_ENV);
    char resolved[PATH_MAX];

    if (!path)
        return openssl_conf_find_default(ret_base);
    _cleanup_free_ char *mark = openssl_conf_read_mark(path);
    if (mark)
        return openssl_conf_base_from_mark(mark, ret_base);
    /* Set, but empty or to nothing: OpenSSL then reads no file. */
    struct openssl_conf_base base = {.from_environment = true};
    if (realpath(path, resolved)) {
        base.path = strdup(resolved);
        if (!base.path)
            return -ENOMEM;
    }
    *ret_base = base;
    return 0;
}

/* A section's name if the file has that section, else ours. */
static const char *openssl_conf_section(const CONF *conf, const char *section, const char *name,
                                        const char *otherwise)
{
    const char *value = conf ? NCONF_get_string(conf, section, name) : NULL;

    return value && NCONF_get_section(conf, value) ? value : otherwise;
}

/* Before OpenSSL 3.2 any value of "activate" was a yes. */
static bool openssl_conf_is_activated(const CONF *conf, const char *section)
{
    const char *value = NCONF_get_string(conf, section, "activate");

    return value && strcasecmp(value, "0") != 0 && strcasecmp(value, "no") != 0 &&
           strcasecmp(value, "off") != 0 && strcasecmp(value, "false") != 0;
}

static bool openssl_conf_has_fips(const CONF *conf, const char *providers)
{
    const char *section = conf ? openssl_conf_section(conf, providers, "fips", NULL) : NULL;

    return section && openssl_conf_is_activated(conf, section);
}

static void openssl_conf_put_setting(struct wire_writer *out, const char *name, const char *value)
{
    escape_put_raw(out, name);
    escape_put_raw(out, " = ");
    escape_put_raw(out, value);
    wire_put_u8(out, '\n');
}

static void openssl_conf_put_section(struct wire_writer *out, const char *name)
{
    escape_put_raw(out, "\n[");
    escape_put_raw(out, name);
    escape_put_raw(out, "]\n");
}

/* In quotes nothing is expanded but the backslash (config(5)). */
static void openssl_conf_put_path(struct wire_writer *out, const char *name, const char *path)
{
    escape_put_raw(out, name);
    escape_put_raw(out, " = \"");
    for (; *path; path++) {
        if (*path == '"' || *path == '\\')
            wire_put_u8(out, '\\');
        wire_put_u8(out, (uint8_t)*path);
    }
    escape_put_raw(out, "\"\n");
}

static void openssl_conf_put_head(const struct openssl_conf_base *base, struct wire_writer *out)
{
    escape_put_raw(out, OPENSSL_CONF_MARK);
    if (base->from_environment)
        escape_put_raw(out, OPENSSL_CONF_MARK_ENV);
    if (base->path) {
        wire_put_u8(out, ' ');
        escape_put_raw(out, base->path);
    }
    wire_put_u8(out, '\n');
    if (base->path)
        openssl_conf_put_path(out, ".include", base->path);
}

static void openssl_conf_put_provider(struct wire_writer *out, const char *providers,
                                      const char *name, const char *section)
{
    openssl_conf_put_section(out, providers);
    openssl_conf_put_setting(out, name, section);
    openssl_conf_put_section(out, section);
    openssl_conf_put_setting(out, "activate", "1");
}

/* @name: of the setting under which a program finds its section @init. */
static void openssl_conf_put_application(const CONF *conf, const char *name, const char *init,
                                         const char *module_path, struct wire_writer *out)
{
    const char *providers = openssl_conf_section(conf, init, "providers", "mtls_agent_providers");

    openssl_conf_put_section(out, "default");
    openssl_conf_put_setting(out, name, init);
    openssl_conf_put_section(out, init);
    openssl_conf_put_setting(out, "providers", providers);
    if (!openssl_conf_has_fips(conf, providers))
        openssl_conf_put_provider(
            out, providers, "default",
            openssl_conf_section(conf, providers, "default", "mtls_agent_default"));
    openssl_conf_put_provider(
        out, providers, OPENSSL_CONF_PROVIDER,
        openssl_conf_section(conf, providers, OPENSSL_CONF_PROVIDER, "mtls_agent_provider"));
    if (module_path)
        openssl_conf_put_path(out, "module", module_path);
}

/* Node.js looks under a name of its own; most files do not have it. */
static void openssl_conf_put_applications(const CONF *conf, const char *module_path,
                                          struct wire_writer *out)
{
    const char *init = openssl_conf_section(conf, "default", "openssl_conf", "mtls_agent_init");
    const char *node_init = openssl_conf_section(conf, "default", "nodejs_conf", init);

    openssl_conf_put_application(conf, "openssl_conf", init, module_path, out);
    if (strcmp(node_init, init) != 0) {
        openssl_conf_put_application(conf, "nodejs_conf", node_init, module_path, out);
        return;
    }
    openssl_conf_put_section(out, "default");
    openssl_conf_put_setting(out, "nodejs_conf", init);
}

/*
 * The defaults of every SSL_CTX (SSL_CONF_cmd(3)). Not MaxProtocol: curl resets that. A program's
 * own choice of algorithms still goes before ours.
 */
static void openssl_conf_put_tls12(const CONF *conf, struct wire_writer *out)
{
    const char *init = openssl_conf_section(conf, "default", "openssl_conf", "mtls_agent_init");
    const char *ssl = openssl_conf_section(conf, init, "ssl_conf", "mtls_agent_ssl");
    const char *tls = openssl_conf_section(conf, ssl, "system_default", "mtls_agent_tls");

    openssl_conf_put_section(out, init);
    openssl_conf_put_setting(out, "ssl_conf", ssl);
    openssl_conf_put_section(out, ssl);
    openssl_conf_put_setting(out, "system_default", tls);
    openssl_conf_put_section(out, tls);
    openssl_conf_put_setting(out, "Protocol", "-TLSv1.3");
    openssl_conf_put_setting(out, "ClientSignatureAlgorithms", "RSA+SHA256:RSA+SHA384:RSA+SHA512");
}

int openssl_conf_put(const struct openssl_conf_base *base, const char *module_path, bool tls12_only,
                     struct wire_writer *out)
{
    _cleanup_(cleanup_conf) CONF *conf = NULL;
    long line = 0;

    if (base->path) {
        conf = NCONF_new(NULL);
        if (!conf || strchr(base->path, '\n') || NCONF_load(conf, base->path, &line) <= 0)
            return OPENSSL_CONF_E_UNREADABLE;
    }
    openssl_conf_put_head(base, out);
    openssl_conf_put_applications(conf, module_path, out);
    if (tls12_only)
        openssl_conf_put_tls12(conf, out);
    return 0;
}
