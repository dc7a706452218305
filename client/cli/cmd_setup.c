/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls setup`: how one program of this machine uses a key, looked up and tried here. It prints,
 * and with --write it makes the files; for browsers it does so by itself. See setup.h.
 */
#include "client/cli/cli.h"

#include <string.h>

#include "client/cli/install_paths.h"
#include "client/cli/json.h"
#include "client/cli/key_view.h"
#include "client/cli/nearest.h"
#include "client/cli/own_file.h"
#include "client/cli/private_dir.h"
#include "client/cli/setup.h"

enum {
    SETUP_KEY,
    SETUP_WRITE,
    SETUP_DRY_RUN,
    SETUP_UNDO,
    SETUP_PROFILE,
    SETUP_ALLOW_DIGEST,
    SETUP_YES,
    SETUP_JSON,
};

static const struct cli_option setup_options[] = {
    [SETUP_KEY] = {"key", 'k', "KEY", "the key; without: the only one with a certificate"},
    [SETUP_WRITE] = {"write", 'w', NULL, "make the files"},
    [SETUP_DRY_RUN] = {"dry-run", 'n', NULL, "change nothing, show what would be done"},
    [SETUP_UNDO] = {"undo", 'u', NULL, "take back what was made"},
    [SETUP_PROFILE] = {"profile", 0, "DIR", "browser: this profile alone"},
    [SETUP_ALLOW_DIGEST] = {"allow-digest", 0, NULL, "let this key sign what cannot be checked"},
    [SETUP_YES] = {"yes", 'y', NULL, "answer every question about files with yes"},
    [SETUP_JSON] = {"json", 0, NULL, "print a JSON object"},
};

static const struct setup_program *const setup_programs[] = {
    &setup_browser, &setup_java,   &setup_ssh,     &setup_git,    &setup_curl,
    &setup_nginx,   &setup_python, &setup_openssl, &setup_gnutls,
};

static const struct setup_program *setup_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(setup_programs); i++)
        if (strcmp(setup_programs[i]->name, name) == 0)
            return setup_programs[i];
    return NULL;
}

static int setup_fail_unknown(const char *name)
{
    const char *names[ARRAY_SIZE(setup_programs)];

    for (size_t i = 0; i < ARRAY_SIZE(setup_programs); i++)
        names[i] = setup_programs[i]->name;
    const char *nearest = nearest_find(name, names, ARRAY_SIZE(names));
    if (nearest)
        return cli_fail(CLI_USAGE, "unknown program %s. Did you mean: mtls setup %s?", name,
                        nearest);
    return cli_fail(CLI_USAGE, "unknown program %s. See: mtls setup --help", name);
}

static void setup_deinit(struct setup *setup)
{
    cleanup_agent_keys(&setup->keys);
    cleanup_agent(&setup->agent);
    free(setup->module);
    free(setup->config_home);
    free(setup->dir);
    if (setup->scratch)
        private_dir_remove(setup->scratch);
    free(setup->scratch);
    client_files_deinit(&setup->files);
    recipe_deinit(&setup->recipe);
}

/* The paths stand in files of many formats; what has a meaning in any of them is not worth a way to
 * escape it in each. */
static int setup_check_path(const char *what, const char *path)
{
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at < ' ' || strchr("\"\\$*?[]", *at))
            return cli_fail(CLI_FAILURE,
                            "%s %s has a character in it that the files of some programs cannot "
                            "have: set HOME, XDG_CONFIG_HOME or " INSTALL_PATHS_MODULE_ENV
                            " to another place",
                            what, path);
    return CLI_OK;
}

static int setup_init(const struct setup_program *program, const struct cli_args *args,
                      struct setup *setup)
{
    *setup = (struct setup){
        .program = program,
        .selector = args->values[SETUP_KEY],
        .profile = args->values[SETUP_PROFILE],
        .may_write = args->values[SETUP_WRITE] || program->writes_by_itself,
        .dry_run = args->values[SETUP_DRY_RUN] != NULL,
        .allow_digest = args->values[SETUP_ALLOW_DIGEST] != NULL,
        .yes = args->values[SETUP_YES] != NULL,
        .undo = args->values[SETUP_UNDO] != NULL,
    };
    if (own_file_config_home(&setup->config_home) || install_paths_module(&setup->module))
        return setup_fail_memory();
    if (!setup->config_home)
        return cli_fail(CLI_FAILURE, "there is no home directory: set HOME or XDG_CONFIG_HOME");
    int r = setup_check_path("the configuration directory", setup->config_home);
    if (r == CLI_OK && setup->module)
        r = setup_check_path("the module's path", setup->module);
    if (r)
        return r;
    if (asprintf(&setup->dir, "%s/mtls-agent/%s", setup->config_home, program->name) < 0) {
        setup->dir = NULL;
        return setup_fail_memory();
    }
    return CLI_OK;
}

/* A browser lets its user choose among several keys. */
static int setup_find_optional_key(struct setup *setup)
{
    struct mtls_agent_error error = {0};
    const struct mtls_agent_key *key = NULL;
    size_t count = 0;

    if (mtls_agent_list(setup->agent, NULL, &setup->keys, &error))
        return cli_fail_agent(&error);
    for (size_t i = 0; (key = mtls_agent_keys_get(setup->keys, i)); i++) {
        if (key->cert_count == 0)
            continue;
        setup->key = count++ == 0 ? key : NULL;
    }
    return CLI_OK;
}

static int setup_find_key(struct setup *setup)
{
    setup->agent = cli_agent_new();
    if (!setup->agent)
        return CLI_FAILURE;
    if (!setup->selector && !setup->program->needs_key)
        return setup_find_optional_key(setup);
    int r = key_view_find(setup->agent, setup->selector, &setup->keys, &setup->key);
    if (r)
        return r;
    return setup->key->cert_count > 0 ? CLI_OK : key_view_fail_no_certificate(setup->key);
}

static void setup_note_tls12(struct setup *setup)
{
    if (setup->key && key_view_is_tls12_only(setup->key))
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "Key %s is for TLS 1.2 only: its token can do neither RSA-PSS nor raw RSA. "
                   "Servers that take TLS 1.3 alone will refuse it",
                   setup->key->name);
}

static int setup_do(struct setup *setup)
{
    if (setup->program->needs_module && !setup->module)
        return cli_fail(CLI_FAILURE,
                        "the PKCS#11 module " INSTALL_PATHS_MODULE " was not found. Install it, or "
                        "set " INSTALL_PATHS_MODULE_ENV " to its file");
    int r = setup_find_key(setup);
    setup_note_tls12(setup);
    /* First, as it may change what the key is called. */
    if (r == CLI_OK && setup->program->needs_module)
        r = setup_digest_offer(setup);
    if (r == CLI_OK)
        r = setup->program->prepare(setup);
    /* What was allowed for a program that is not set up is allowed for nothing. */
    if (r != CLI_OK && setup->has_allowed)
        (void)!setup_digest_undo(setup);
    return r ? r : setup->program->check(setup);
}

static int setup_do_undo(struct setup *setup)
{
    int r = setup->program->undo ? setup->program->undo(setup) : CLI_OK;

    if (r == CLI_OK)
        r = setup_undo_files(setup);
    if (r == CLI_OK && setup->program->needs_module)
        r = setup_digest_undo(setup);
    if (r == CLI_OK && setup->recipe.count == 0)
        recipe_add(&setup->recipe, RECIPE_NOTE, "There is nothing to take back");
    return r;
}

static void setup_put_json(const struct setup *setup, struct wire_writer *out)
{
    struct json json = JSON_INIT(out);
    char hash[KEY_VIEW_HASH_MAX];

    json_begin_object(&json, NULL);
    json_put_text(&json, "program", setup->program->name);
    json_put_text(&json, "key", setup->key ? setup->key->name : NULL);
    json_put_text(&json, "hash", setup->key ? key_view_hash(setup->key->hash, hash) : NULL);
    json_put_text(&json, "module", setup->module);
    recipe_put_json(&setup->recipe, &json);
    json_end_object(&json);
    json_finish(&json);
}

static int setup_print(const struct setup *setup, bool as_json)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};

    if (setup->recipe.failed)
        return setup_fail_memory();
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    if (as_json)
        setup_put_json(setup, &out);
    else
        recipe_put_text(&setup->recipe, &out);
    int r = cli_print(&out);
    if (r == CLI_OK && recipe_has_failed_check(&setup->recipe))
        return cli_fail(CLI_FAILURE, "what was set up does not work yet, see the failed check");
    return r;
}

static int setup_run(const struct cli_args *args)
{
    _cleanup_(setup_deinit) struct setup setup = {0};
    const struct setup_program *program = setup_find(args->operands[0]);

    if (!program)
        return setup_fail_unknown(args->operands[0]);
    if (args->values[SETUP_PROFILE] && program != &setup_browser)
        return cli_fail_usage(args->command, "--profile is for browser alone");
    int r = setup_init(program, args, &setup);
    if (r == CLI_OK)
        r = setup.undo ? setup_do_undo(&setup) : setup_do(&setup);
    return r ? r : setup_print(&setup, args->values[SETUP_JSON] != NULL);
}

const struct cli_command cmd_setup = {
    .name = "setup",
    .operands = "PROGRAM",
    .summary = "Show or make what a program needs to use a key",
    .details = "PROGRAM: browser, java, ssh, git, curl, nginx, python, openssl or gnutls.\n"
               "Files are made with --write; for browser without it.",
    .options = setup_options,
    .option_count = ARRAY_SIZE(setup_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = setup_run,
};
