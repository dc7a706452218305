/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generated openssl.cnf as OpenSSL reads it: the user's settings are still there, both
 * providers are active, whatever the user's file looks like.
 */
#include "client/cli/openssl_conf.h"

#include <string.h>
#include <sys/stat.h>

#include <openssl/conf.h>

#include "unit.h"

#define PROVIDER "/usr/lib/a \"b\"$c/mtls-agent.so"

struct fixture {
    char dir[64];
    char *base_path;
    char *made_path;
    struct openssl_conf_base base;
    CONF *conf;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    *state = fixture;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mtls-conf-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    if (asprintf(&fixture->base_path, "%s/with $ign and space.cnf", fixture->dir) < 0 ||
        asprintf(&fixture->made_path, "%s/made.cnf", fixture->dir) < 0)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    NCONF_free(fixture->conf);
    openssl_conf_base_deinit(&fixture->base);
    (void)unlink(fixture->base_path);
    (void)unlink(fixture->made_path);
    (void)rmdir(fixture->dir);
    free(fixture->base_path);
    free(fixture->made_path);
    free(fixture);
    return unsetenv(OPENSSL_CONF_ENV);
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    size_t written = fwrite(data, 1, len, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(written, len);
}

/* The user's file says @text; ours is made from it, and read. */
static void extend_for(struct fixture *fixture, const char *text, bool tls12_only)
{
    struct wire_writer out = {.max = 65536};

    write_file(fixture->base_path, text, strlen(text));
    assert_int_equal(setenv(OPENSSL_CONF_ENV, fixture->base_path, 1), 0);
    assert_int_equal(openssl_conf_find_base(&fixture->base), 0);
    int r = openssl_conf_put(&fixture->base, PROVIDER, tls12_only, &out);
    if (r == 0)
        write_file(fixture->made_path, out.data, out.len);
    wire_writer_deinit(&out);
    assert_int_equal(r, 0);
    long line = 0;
    fixture->conf = NCONF_new(NULL);
    assert_int_equal(NCONF_load(fixture->conf, fixture->made_path, &line), 1);
}

static void extend(struct fixture *fixture, const char *text)
{
    extend_for(fixture, text, false);
}

static const char *setting(const struct fixture *fixture, const char *section, const char *name)
{
    const char *value = NCONF_get_string(fixture->conf, section, name);

    return value ? value : "(none)";
}

/* Follows the way that OpenSSL goes to a provider. */
static const char *provider_section(const struct fixture *fixture, const char *provider)
{
    const char *init = setting(fixture, "default", "openssl_conf");
    const char *providers = setting(fixture, init, "providers");

    return setting(fixture, providers, provider);
}

static void expect_both_active(const struct fixture *fixture)
{
    const char *ours = provider_section(fixture, "mtls-agent");

    assert_string_equal(setting(fixture, provider_section(fixture, "default"), "activate"), "1");
    assert_string_equal(setting(fixture, ours, "activate"), "1");
    assert_string_equal(setting(fixture, ours, "module"), PROVIDER);
}

static void test_put_over_an_empty_file(void **state)
{
    extend(*state, "");
    expect_both_active(*state);
}

static void test_put_over_a_distribution_file_keeps_its_settings(void **state)
{
    extend(*state, "openssl_conf = openssl_init\n"
                   "[openssl_init]\nproviders = provider_sect\nssl_conf = ssl_sect\n"
                   "[provider_sect]\ndefault = default_sect\n[default_sect]\n"
                   "[ssl_sect]\nsystem_default = system_default_sect\n"
                   "[system_default_sect]\nMinProtocol = TLSv1.2\n");
    expect_both_active(*state);
    assert_string_equal(setting(*state, "openssl_init", "ssl_conf"), "ssl_sect");
    assert_string_equal(setting(*state, "system_default_sect", "MinProtocol"), "TLSv1.2");
}

static void test_put_keeps_other_providers(void **state)
{
    extend(*state, "openssl_conf = i\n[i]\nproviders = p\n[p]\nlegacy = l\n[l]\nactivate = 1\n");
    expect_both_active(*state);
    assert_string_equal(setting(*state, provider_section(*state, "legacy"), "activate"), "1");
}

static void test_put_completes_a_file_that_activates_only_ours(void **state)
{
    extend(*state, "openssl_conf = i\n[i]\nproviders = p\n[p]\nmtls-agent = m\n"
                   "[m]\nactivate = 0\nmodule = /elsewhere.so\n");
    expect_both_active(*state);
}

static void test_put_respects_a_decision_for_fips(void **state)
{
    extend(*state, "openssl_conf = i\n[i]\nproviders = p\n[p]\nfips = f\n[f]\nactivate = 1\n");
    assert_string_equal(provider_section(*state, "default"), "(none)");
    assert_string_equal(setting(*state, provider_section(*state, "mtls-agent"), "activate"), "1");
}

static void test_put_does_not_follow_a_name_without_section(void **state)
{
    extend(*state, "openssl_conf = not/a section\n");
    expect_both_active(*state);
}

static void test_put_serves_node_with_a_section_of_its_own(void **state)
{
    extend(*state, "nodejs_conf = n\n[n]\nssl_conf = s\n[s]\n");
    expect_both_active(*state);
    const char *providers = setting(*state, "n", "providers");
    assert_string_equal(setting(*state, setting(*state, providers, "mtls-agent"), "activate"), "1");
    assert_string_equal(setting(*state, "n", "ssl_conf"), "s");
}

static void test_put_serves_node_as_all_others(void **state)
{
    extend(*state, "");
    assert_string_equal(setting(*state, "default", "nodejs_conf"),
                        setting(*state, "default", "openssl_conf"));
}

/* As Debian's own file has it: its section of defaults is extended. */
static void test_put_for_tls12_extends_the_defaults_of_tls(void **state)
{
    struct fixture *fixture = *state;

    extend_for(fixture,
               "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n"
               "[tls]\nCipherString = DEFAULT:@SECLEVEL=2\n",
               true);
    expect_both_active(fixture);
    assert_string_equal(setting(fixture, "init", "ssl_conf"), "ssl");
    assert_string_equal(setting(fixture, "tls", "CipherString"), "DEFAULT:@SECLEVEL=2");
    assert_string_equal(setting(fixture, "tls", "Protocol"), "-TLSv1.3");
    assert_string_equal(setting(fixture, "tls", "ClientSignatureAlgorithms"),
                        "RSA+SHA256:RSA+SHA384:RSA+SHA512");
}

static void test_put_for_tls12_over_an_empty_file(void **state)
{
    struct fixture *fixture = *state;

    extend_for(fixture, "", true);
    expect_both_active(fixture);
    const char *init = setting(fixture, "default", "openssl_conf");
    const char *tls = setting(fixture, setting(fixture, init, "ssl_conf"), "system_default");
    assert_string_equal(setting(fixture, tls, "Protocol"), "-TLSv1.3");
}

static void test_put_refuses_a_broken_file(void **state)
{
    static const char broken[] = "[unclosed\n";
    struct fixture *fixture = *state;
    struct wire_writer out = {.max = 65536};

    write_file(fixture->base_path, broken, sizeof(broken) - 1);
    assert_int_equal(setenv(OPENSSL_CONF_ENV, fixture->base_path, 1), 0);
    assert_int_equal(openssl_conf_find_base(&fixture->base), 0);
    int r = openssl_conf_put(&fixture->base, PROVIDER, false, &out);
    wire_writer_deinit(&out);
    assert_int_equal(r, OPENSSL_CONF_E_UNREADABLE);
}

static void test_find_base_sees_through_a_file_of_our_own(void **state)
{
    struct fixture *fixture = *state;

    extend(fixture, "");
    openssl_conf_base_deinit(&fixture->base);
    assert_int_equal(setenv(OPENSSL_CONF_ENV, fixture->made_path, 1), 0);
    assert_int_equal(openssl_conf_find_base(&fixture->base), 0);
    assert_string_equal(fixture->base.path, fixture->base_path);
    assert_true(fixture->base.from_environment);
}

static void test_find_base_with_an_empty_variable_is_no_file(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(setenv(OPENSSL_CONF_ENV, "", 1), 0);
    assert_int_equal(openssl_conf_find_base(&fixture->base), 0);
    assert_null(fixture->base.path);
    assert_true(fixture->base.from_environment);
}

static void test_find_base_without_the_variable_is_openssls_own(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(unsetenv(OPENSSL_CONF_ENV), 0);
    assert_int_equal(openssl_conf_find_base(&fixture->base), 0);
    assert_false(fixture->base.from_environment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_over_an_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_over_a_distribution_file_keeps_its_settings, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_keeps_other_providers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_completes_a_file_that_activates_only_ours, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_respects_a_decision_for_fips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_does_not_follow_a_name_without_section, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_serves_node_with_a_section_of_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_serves_node_as_all_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_for_tls12_extends_the_defaults_of_tls, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_for_tls12_over_an_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_refuses_a_broken_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_base_sees_through_a_file_of_our_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_find_base_with_an_empty_variable_is_no_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_find_base_without_the_variable_is_openssls_own, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("cli-openssl-conf", tests, NULL, NULL);
}
