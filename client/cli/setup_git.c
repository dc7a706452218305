/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git over HTTPS, in a file of our own that the user's global configuration includes. Debian's git
 * is linked with GnuTLS's libcurl, which takes pkcs11: URIs; one on OpenSSL gets the files of `mtls
 * env`, and needs OPENSSL_CONF.
 */
#include "client/cli/setup.h"

#include <string.h>

#include "client/cli/program.h"

#define GIT_CONF "mtls-agent/git/config"
#define GIT_VALUE_MAX 1024

struct git {
    char *program; /* owned */
    bool uses_gnutls;
};

static void git_deinit(struct git *git)
{
    free(git->program);
}

/* git's part that speaks HTTPS is a program of its own. */
static int git_find(struct setup *setup, struct git *git)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *remote = NULL;
    char dir[GIT_VALUE_MAX];
    int code = 0;

    git->uses_gnutls = true;
    if (program_find("git", &git->program))
        return setup_fail_memory();
    if (!git->program)
        return CLI_OK;
    const char *const argv[] = {git->program, "--exec-path", NULL};
    wire_writer_init(&output, PROGRAM_OUTPUT_MAX);
    if (program_run(argv, NULL, &output, &code) || code != 0)
        return CLI_OK;
    if (asprintf(&remote, "%s/git-remote-https", program_first_line(&output, dir, sizeof(dir))) <
        0) {
        remote = NULL;
        return setup_fail_memory();
    }
    git->uses_gnutls = program_has_text(remote, "libcurl-gnutls.so");
    recipe_add(&setup->recipe, RECIPE_FOUND, "%s, with %s", git->program,
               git->uses_gnutls ? "GnuTLS" : "OpenSSL");
    return CLI_OK;
}

/* In double quotes git takes a backslash before itself and a quote (git-config(1)). */
static char *git_format_conf(const char *cert, const char *key)
{
    char *text = NULL;

    return asprintf(&text, "[http]\n    sslCert = \"%s\"\n    sslKey = \"%s\"\n", cert, key) < 0
               ? NULL
               : text;
}

static int git_put_conf(struct setup *setup, const struct git *git)
{
    _cleanup_free_ char *cert = NULL;
    _cleanup_free_ char *key = NULL;
    int r = CLI_OK;

    if (git->uses_gnutls) {
        cert = setup_uri(setup, "cert");
        key = setup_uri(setup, "private");
        r = setup_register(setup);
    } else {
        r = setup_put_openssl_files(setup);
        if (asprintf(&cert, "%s/cert.pem", setup->dir) < 0)
            cert = NULL;
        if (asprintf(&key, "%s/key.pem", setup->dir) < 0)
            key = NULL;
    }
    _cleanup_free_ char *body = cert && key ? git_format_conf(cert, key) : NULL;
    if (r)
        return r;
    return body ? setup_put_file(setup, GIT_CONF, body) : setup_fail_memory();
}

/* One git config --global ...; its exit code, or -1. */
static int git_config(const struct git *git, const char *const *words, struct wire_writer *output)
{
    const char *argv[8] = {git->program, "config", "--global"};
    int code = -1;

    for (size_t i = 0; words[i] && i + 4 < ARRAY_SIZE(argv); i++)
        argv[i + 3] = words[i];
    wire_writer_init(output, PROGRAM_OUTPUT_MAX);
    return program_run(argv, NULL, output, &code) ? -1 : code;
}

/* ~/.config/mtls-agent/git/config, as it stands in the global configuration. */
static bool git_is_included(const struct git *git, const char *path)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    const char *const words[] = {"--get-all", "include.path", NULL};
    char *rest = NULL;

    if (git_config(git, words, &output) != 0)
        return false;
    for (char *line = strtok_r((char *)output.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        if (strcmp(line, path) == 0)
            return true;
    return false;
}

/* The user's own certificate would be hidden by ours. */
static int git_check_own(const struct setup *setup, const struct git *git)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    const char *const words[] = {"--no-includes", "--get", "http.sslCert", NULL};
    char value[GIT_VALUE_MAX];

    if (setup->yes || git_config(git, words, &output) != 0)
        return CLI_OK;
    return cli_fail(CLI_FAILURE,
                    "git has http.sslCert = %s in its global configuration already. Remove it, or "
                    "give --yes to have ours in force beside it",
                    program_first_line(&output, value, sizeof(value)));
}

static int git_include(struct setup *setup, const struct git *git)
{
    _cleanup_free_ char *path = setup_path(setup, GIT_CONF);
    _cleanup_free_ char *word = path ? setup_word(path) : NULL;
    _cleanup_wire_writer_ struct wire_writer output = {0};
    char line[GIT_VALUE_MAX];

    if (!word)
        return setup_fail_memory();
    if (!setup->may_write || setup->dry_run || !git->program) {
        recipe_add(&setup->recipe, RECIPE_USE, "git config --global --add include.path %s", word);
        return CLI_OK;
    }
    if (git_is_included(git, path)) {
        recipe_add(&setup->recipe, RECIPE_FOUND, "git's global configuration includes it");
        return CLI_OK;
    }
    int r = git_check_own(setup, git);
    if (r)
        return r;
    const char *const words[] = {"--add", "include.path", path, NULL};
    if (git_config(git, words, &output) != 0)
        return cli_fail(CLI_FAILURE, "git config: %s",
                        program_first_line(&output, line, sizeof(line)));
    recipe_add_file(&setup->recipe, NULL, "git's global configuration, include.path = %s", path);
    return CLI_OK;
}

static int git_prepare(struct setup *setup)
{
    _cleanup_(git_deinit) struct git git = {0};

    int r = git_find(setup, &git);
    if (r == CLI_OK)
        r = git_put_conf(setup, &git);
    if (r == CLI_OK)
        r = git_include(setup, &git);
    if (r)
        return r;
    recipe_add(&setup->recipe, RECIPE_USE, "%sgit clone https://SERVER/REPOSITORY",
               git.uses_gnutls ? "" : OPENSSL_CONF_ENV "=~/.config/mtls-agent/git/openssl.cnf ");
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "The certificate is sent to every HTTPS server that asks for one. For one server "
               "alone write the two lines into your own configuration, below [http "
               "\"https://SERVER/\"], and not this file");
    return CLI_OK;
}

/* What git itself reads, and what the library behind it is given. */
static int git_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "git", "git");
    _cleanup_free_ char *path = setup_path(setup, GIT_CONF);
    _cleanup_wire_writer_ struct wire_writer output = {0};

    if (!program || !path)
        return CLI_OK;
    if (setup->may_write && !setup->dry_run) {
        const char *const argv[] = {program, "config",       "--global", "--includes",
                                    "--get", "http.sslCert", NULL};
        if (setup_try(setup, argv, NULL, &output, "git config --get http.sslCert") == 0)
            recipe_add_check(&setup->recipe, RECIPE_OK, "git reads the setting");
    }
    return setup->files.variables[0].value ? setup_openssl.check(setup) : setup_gnutls.check(setup);
}

static int git_undo(struct setup *setup)
{
    _cleanup_(git_deinit) struct git git = {0};
    _cleanup_free_ char *path = setup_path(setup, GIT_CONF);
    _cleanup_wire_writer_ struct wire_writer output = {0};
    char line[GIT_VALUE_MAX];

    if (!path || program_find("git", &git.program))
        return setup_fail_memory();
    if (!git.program || !git_is_included(&git, path))
        return CLI_OK;
    const char *const words[] = {"--fixed-value", "--unset-all", "include.path", path, NULL};
    if (!setup->dry_run && git_config(&git, words, &output) != 0)
        return cli_fail(CLI_FAILURE, "git config: %s",
                        program_first_line(&output, line, sizeof(line)));
    recipe_add_file(&setup->recipe, NULL, "git's global configuration, include.path %s",
                    setup->dry_run ? "would be removed" : "removed");
    return CLI_OK;
}

const struct setup_program setup_git = {
    .name = "git",
    .needs_module = true,
    .needs_key = true,
    .has_openssl_files = true,
    .files = {GIT_CONF},
    .prepare = git_prepare,
    .check = git_check,
    .undo = git_undo,
};
