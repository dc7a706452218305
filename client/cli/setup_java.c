/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java: a configuration of its provider SunPKCS11 for the key's slot, and a java.security file that
 * adds the provider to those the JVM has, for the one JVM that is told to read it.
 */
#include "client/cli/setup.h"

#include <limits.h>
#include <string.h>

#include "client/cli/java_security.h"
#include "client/cli/module_probe.h"
#include "client/cli/own_file.h"
#include "client/cli/program.h"

#define JAVA_PKCS11_CONF "mtls-agent/java/pkcs11.cfg"
#define JAVA_SECURITY_CONF "mtls-agent/java/java.security"
#define JAVA_FILE_MAX (1024u * 1024u)
/* A JVM as it comes has the provider at this place (JDK 9 to 24 on Linux). */
#define JAVA_PROVIDER_DEFAULT 12u

/* JAVA_HOME/conf/security/java.security, found from the java that would be run. */
static unsigned int java_find_number(struct setup *setup, const char *java)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    char home[PATH_MAX];
    char path[PATH_MAX + 64];

    if (!java || !realpath(java, home))
        return JAVA_PROVIDER_DEFAULT;
    char *bin = strstr(home, "/bin/java");
    if (!bin)
        return JAVA_PROVIDER_DEFAULT;
    *bin = '\0';
    (void)snprintf(path, sizeof(path), "%s/conf/security/java.security", home);
    wire_writer_init(&text, JAVA_FILE_MAX);
    recipe_add(&setup->recipe, RECIPE_FOUND, "Java in %s", home);
    if (own_file_read(path, &text) || text.len == 0)
        return JAVA_PROVIDER_DEFAULT;
    return java_security_provider_number((const char *)text.data);
}

static int java_find_slot(struct setup *setup)
{
    switch (module_probe_slot(setup->module, setup->key, &setup->java_slot)) {
    case 0:
        recipe_add_check(&setup->recipe, RECIPE_OK, "the module shows the key, on slot %lu",
                         setup->java_slot);
        return CLI_OK;
    case MODULE_PROBE_E_NO_TOKEN:
        return cli_fail(CLI_UNAVAILABLE,
                        "the module does not show key %s; Java needs its slot. See: mtls status",
                        setup->key->name);
    default:
        return cli_fail(CLI_FAILURE, "%s cannot be loaded. Install it anew", setup->module);
    }
}

static char *java_format_pkcs11(const struct setup *setup)
{
    char *text = NULL;

    return asprintf(&text, "name = mtls-agent\nlibrary = \"%s\"\nslotListIndex = %lu\n",
                    setup->module, setup->java_slot) < 0
               ? NULL
               : text;
}

static char *java_format_security(const struct setup *setup, const char *pkcs11)
{
    char *text = NULL;

    return asprintf(&text, "security.provider.%u=SunPKCS11 %s\n", setup->java_number, pkcs11) < 0
               ? NULL
               : text;
}

static int java_prepare(struct setup *setup)
{
    _cleanup_free_ char *java = NULL;
    _cleanup_free_ char *path = setup_path(setup, JAVA_PKCS11_CONF);
    _cleanup_free_ char *security_path = setup_path(setup, JAVA_SECURITY_CONF);
    _cleanup_free_ char *word = security_path ? setup_word(security_path) : NULL;

    if (!path || !word || program_find("java", &java))
        return setup_fail_memory();
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at > 0x7e)
            return cli_fail(CLI_FAILURE,
                            "Java reads java.security as ISO-8859-1 and cannot find %s. Set "
                            "XDG_CONFIG_HOME to a place whose name is ASCII",
                            path);
    setup->java_number = java_find_number(setup, java);
    int r = java_find_slot(setup);
    if (r)
        return r;
    _cleanup_free_ char *pkcs11 = java_format_pkcs11(setup);
    _cleanup_free_ char *security = java_format_security(setup, path);
    if (!pkcs11 || !security)
        return setup_fail_memory();
    r = setup_put_file(setup, JAVA_PKCS11_CONF, pkcs11);
    if (r == CLI_OK)
        r = setup_put_file(setup, JAVA_SECURITY_CONF, security);
    if (r)
        return r;
    recipe_add(
        &setup->recipe, RECIPE_USE,
        "java -Djava.security.properties=%s -Djavax.net.ssl.keyStoreType=PKCS11 "
        "-Djavax.net.ssl.keyStore=NONE -Djavax.net.ssl.keyStoreProvider=SunPKCS11-mtls-agent "
        "PROGRAM",
        word);
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "Java sees one slot, by its place in the list. When tokens come or go, run this "
               "again");
    return CLI_OK;
}

static int java_check_with(struct setup *setup, const char *program, const char *security)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *option = NULL;

    if (asprintf(&option, "-J-Djava.security.properties=%s", security) < 0) {
        option = NULL;
        return setup_fail_memory();
    }
    const char *const argv[] = {program,      option,          "-list",
                                "-keystore",  "NONE",          "-storetype",
                                "PKCS11",     "-providername", "SunPKCS11-mtls-agent",
                                "-storepass", "unused",        NULL};
    if (setup_try(setup, argv, NULL, &output, "keytool -list"))
        return CLI_OK;
    bool is_listed = strstr((const char *)output.data, "PrivateKeyEntry") != NULL &&
                     strstr((const char *)output.data, setup->key->name) != NULL;
    recipe_add_check(&setup->recipe, is_listed ? RECIPE_OK : RECIPE_FAILED,
                     "keytool -list %s the key with its certificate",
                     is_listed ? "shows" : "does not show");
    return CLI_OK;
}

/* The same two files at a place of the check's own. */
static int java_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "keytool", "default-jre-headless");
    _cleanup_free_ char *pkcs11_path = NULL;
    _cleanup_free_ char *security_path = NULL;

    if (!program)
        return CLI_OK;
    _cleanup_free_ char *pkcs11 = java_format_pkcs11(setup);
    int r = pkcs11 ? setup_scratch_file(setup, "pkcs11.cfg", pkcs11, &pkcs11_path)
                   : setup_fail_memory();
    if (r)
        return r;
    _cleanup_free_ char *security = java_format_security(setup, pkcs11_path);
    r = security ? setup_scratch_file(setup, "java.security", security, &security_path)
                 : setup_fail_memory();
    return r ? r : java_check_with(setup, program, security_path);
}

const struct setup_program setup_java = {
    .name = "java",
    .needs_module = true,
    .needs_key = true,
    .files = {JAVA_PKCS11_CONF, JAVA_SECURITY_CONF},
    .prepare = java_prepare,
    .check = java_check,
};
