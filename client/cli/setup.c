/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of `mtls setup` share; see setup.h. */
#include "client/cli/setup.h"

#include <string.h>
#include <sys/stat.h>

#include "client/cli/new_file.h"
#include "client/cli/own_file.h"
#include "client/cli/pkcs11_uri.h"
#include "client/cli/private_dir.h"
#include "client/cli/program.h"
#include "client/cli/question.h"
#include "client/cli/shell_quote.h"
#include "common/escape.h"

#define SETUP_LINE_MAX 512

/* The order of client_files_write(). */
static const char *const setup_openssl_names[] = {"openssl.cnf", "cert.pem", "key.pem"};

char *setup_path(const struct setup *setup, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", setup->config_home, name) < 0 ? NULL : path;
}

/* A finished text as a string that is owned by the caller. */
static char *setup_steal_text(struct wire_writer *text)
{
    wire_put_u8(text, '\0');
    return text->failed ? NULL : (char *)TAKE_PTR(text->data);
}

char *setup_word(const char *text)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};

    wire_writer_init(&out, CLI_OUTPUT_MAX);
    shell_quote(&out, text);
    return setup_steal_text(&out);
}

/* More keys of this name are told apart by their ids. */
char *setup_uri(const struct setup *setup, const char *type)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};
    const struct mtls_agent_key *other = NULL;
    _cleanup_agent_keys_ struct mtls_agent_keys *all = NULL;
    size_t same = 0;

    if (mtls_agent_list(setup->agent, NULL, &all, NULL) == 0)
        for (size_t i = 0; (other = mtls_agent_keys_get(all, i)); i++)
            same += strcmp(other->name, setup->key->name) == 0;
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    pkcs11_uri_format_in_module(setup->key, type, same > 1, &out);
    return setup_steal_text(&out);
}

static int setup_fail_foreign(const char *path)
{
    return cli_fail(CLI_FAILURE,
                    "%s is there already and was not made by mtls setup. Move it away, or give "
                    "--yes to replace it",
                    path);
}

static int setup_write(const struct setup *setup, const char *path, const char *text)
{
    if (own_file_look(path) == OWN_FILE_FOREIGN && !setup->yes &&
        !question_ask("%s is there already and was not made by mtls setup. Replace it?", path))
        return setup_fail_foreign(path);
    int r = own_file_write(path, text, strlen(text));
    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file. Move it away and try again", path);
    return r ? cli_fail_errno(path, r) : CLI_OK;
}

int setup_put_file(struct setup *setup, const char *name, const char *body)
{
    _cleanup_free_ char *path = setup_path(setup, name);
    _cleanup_free_ char *text = NULL;
    int r = CLI_OK;

    if (!path || asprintf(&text, OWN_FILE_MARK " %s\n%s", setup->program->name, body) < 0) {
        text = NULL;
        return setup_fail_memory();
    }
    if (setup->may_write && !setup->dry_run)
        r = setup_write(setup, path, text);
    if (r)
        return r;
    recipe_add_file(&setup->recipe, text, "%s%s", path,
                    setup->may_write && !setup->dry_run ? ", written" : ", with --write:");
    return CLI_OK;
}

static int setup_open_scratch(struct setup *setup)
{
    if (setup->scratch)
        return CLI_OK;
    int r = private_dir_new(&setup->scratch);
    return r ? cli_fail_errno("cannot make a directory in $XDG_RUNTIME_DIR or /tmp", r) : CLI_OK;
}

int setup_scratch_file(struct setup *setup, const char *name, const char *text, char **ret_path)
{
    _cleanup_free_ char *path = NULL;

    int r = setup_open_scratch(setup);
    if (r)
        return r;
    if (asprintf(&path, "%s/%s", setup->scratch, name) < 0) {
        path = NULL;
        return setup_fail_memory();
    }
    r = own_file_write(path, text, strlen(text));
    if (r)
        return cli_fail_errno(path, r);
    *ret_path = TAKE_PTR(path);
    return CLI_OK;
}

/* The three are ours as one: only openssl.cnf has a line for a mark. */
static int setup_check_openssl_place(const struct setup *setup)
{
    struct stat st;

    for (size_t i = 0; i < ARRAY_SIZE(setup_openssl_names); i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s", setup->dir, setup_openssl_names[i]) < 0) {
            path = NULL;
            return setup_fail_memory();
        }
        if (i == 0 && own_file_look(path) == OWN_FILE_OURS)
            return CLI_OK;
        if (lstat(path, &st) == 0 && !setup->yes)
            return setup_fail_foreign(path);
    }
    return CLI_OK;
}

int setup_put_openssl_files(struct setup *setup)
{
    _cleanup_openssl_conf_base_ struct openssl_conf_base base = OPENSSL_CONF_BASE_INIT;
    bool writes = setup->may_write && !setup->dry_run;
    _cleanup_free_ char *inside = NULL;

    int r = openssl_conf_find_base(&base);
    if (r)
        return cli_fail_errno("cannot find openssl.cnf", r);
    r = writes ? setup_check_openssl_place(setup) : setup_open_scratch(setup);
    if (r)
        return r;
    if (asprintf(&inside, "%s/openssl.cnf", setup->dir) < 0) {
        inside = NULL;
        return setup_fail_memory();
    }
    r = writes ? own_file_make_parents(inside) : 0;
    if (r)
        return cli_fail_errno(setup->dir, r);
    r = client_files_write(writes ? setup->dir : setup->scratch, setup->key, &base, &setup->files);
    for (size_t i = 0; r == CLI_OK && i < ARRAY_SIZE(setup_openssl_names); i++)
        recipe_add_file(&setup->recipe, NULL, "%s/%s%s", setup->dir, setup_openssl_names[i],
                        writes ? ", written" : ", with --write");
    return r;
}

int setup_try(struct setup *setup, const char *const *argv, const char *const *variables,
              struct wire_writer *output, const char *what)
{
    char line[SETUP_LINE_MAX];
    int code = 0;

    wire_writer_init(output, PROGRAM_OUTPUT_MAX);
    int r = program_run(argv, variables, output, &code);
    if (r == 0 && code == 0)
        return 0;
    if (r == PROGRAM_E_TIMEOUT)
        (void)snprintf(line, sizeof(line), "it did not end in time");
    else if (r)
        (void)snprintf(line, sizeof(line), "%s: %s", argv[0], strerror(-r));
    else if (output->len > 0)
        (void)program_first_line(output, line, sizeof(line));
    else
        (void)snprintf(line, sizeof(line), "exit code %d", code);
    recipe_add_check(&setup->recipe, RECIPE_FAILED, "%s: %s", what, line);
    return 1;
}

char *setup_find_program(struct setup *setup, const char *name, const char *package)
{
    char *path = NULL;

    if (program_find(name, &path))
        setup->recipe.failed = true;
    else if (!path)
        recipe_add_check(&setup->recipe, RECIPE_UNTRIED,
                         "%s is not installed (Debian's package: %s)", name, package);
    return path;
}

static int setup_remove(struct setup *setup, const char *path)
{
    enum own_file_state state = own_file_look(path);

    if (state == OWN_FILE_ABSENT)
        return CLI_OK;
    if (state == OWN_FILE_FOREIGN) {
        recipe_add(&setup->recipe, RECIPE_NOTE, "%s was not made by mtls setup and stays", path);
        return CLI_OK;
    }
    int r = setup->dry_run ? 0 : own_file_remove(path);
    if (r)
        return cli_fail_errno(path, r);
    recipe_add_file(&setup->recipe, NULL, "%s, %s", path,
                    setup->dry_run ? "would be removed" : "removed");
    return CLI_OK;
}

/* The mark in openssl.cnf stands for the two without one. */
static int setup_undo_openssl_files(struct setup *setup)
{
    _cleanup_free_ char *conf = NULL;

    if (asprintf(&conf, "%s/openssl.cnf", setup->dir) < 0) {
        conf = NULL;
        return setup_fail_memory();
    }
    if (own_file_look(conf) != OWN_FILE_OURS)
        return CLI_OK;
    for (size_t i = 1; i < ARRAY_SIZE(setup_openssl_names); i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s", setup->dir, setup_openssl_names[i]) < 0) {
            path = NULL;
            return setup_fail_memory();
        }
        if (!setup->dry_run && unlink(path) < 0 && errno != ENOENT)
            return cli_fail_errno(path, errno);
        recipe_add_file(&setup->recipe, NULL, "%s, %s", path,
                        setup->dry_run ? "would be removed" : "removed");
    }
    return setup_remove(setup, conf);
}

int setup_undo_files(struct setup *setup)
{
    int r = setup->program->has_openssl_files ? setup_undo_openssl_files(setup) : CLI_OK;

    for (size_t i = 0; r == CLI_OK && i < SETUP_FILES_MAX && setup->program->files[i]; i++) {
        _cleanup_free_ char *path = setup_path(setup, setup->program->files[i]);
        r = path ? setup_remove(setup, path) : setup_fail_memory();
    }
    /* Empty now, unless the user has put something there. */
    if (r == CLI_OK && !setup->dry_run)
        (void)rmdir(setup->dir);
    return r;
}
