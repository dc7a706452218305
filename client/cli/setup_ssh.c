/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSH: PKCS11Provider in a file of our own, which one line at the top of ~/.ssh/config
 * includes. That line is put there only when the user says so, and goes with --undo.
 */
#include "client/cli/setup.h"

#include <string.h>
#include <sys/stat.h>

#include "client/cli/new_file.h"
#include "client/cli/own_file.h"
#include "client/cli/question.h"
#include "common/escape.h"

#define SSH_CONF "mtls-agent/ssh/config"
#define SSH_FILE_MAX (1024u * 1024u)
#define SSH_MARK OWN_FILE_MARK " ssh\n"

/* ~/.ssh/config; owned by the caller. NULL: no home, or short memory. */
static char *ssh_config_path(void)
{
    const char *home = secure_getenv("HOME");
    char *path = NULL;

    return home && home[0] == '/' && asprintf(&path, "%s/.ssh/config", home) >= 0 ? path : NULL;
}

/* The line that includes ours, with its mark. */
static char *ssh_format_include(const struct setup *setup)
{
    char *text = NULL;

    return asprintf(&text, SSH_MARK "Include \"%s/" SSH_CONF "\"\n", setup->config_home) < 0 ? NULL
                                                                                             : text;
}

static int ssh_write_config(const char *path, const char *before, size_t before_len,
                            const char *after)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    struct stat st;
    mode_t mode = 0600;

    if (lstat(path, &st) == 0) {
        if (st.st_uid != geteuid())
            return cli_fail(CLI_FAILURE, "%s belongs to another user. Run this as that user", path);
        mode = st.st_mode & 0777;
    }
    wire_writer_init(&text, SSH_FILE_MAX);
    wire_put_raw(&text, before, before_len);
    escape_put_raw(&text, after);
    if (text.failed)
        return setup_fail_memory();
    int r = own_file_make_parents(path);
    if (r == 0)
        r = new_file_write(path, text.data, text.len, mode, true);
    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file and was left alone. Change it by hand",
                        path);
    return r ? cli_fail_errno(path, r) : CLI_OK;
}

/* The text of ~/.ssh/config, which is one: a NUL would hide, and lose, what is behind it. */
static int ssh_read_config(const char *path, struct wire_writer *text)
{
    wire_writer_init(text, SSH_FILE_MAX);
    int r = own_file_read(path, text);
    if (r)
        return cli_fail_errno(path, r);
    if (strlen((const char *)text->data) != text->len)
        return cli_fail(CLI_FAILURE, "%s has a NUL in it and was left alone. Change it by hand",
                        path);
    return CLI_OK;
}

/* First in the file: what follows a Host line would hold for that host alone. */
static int ssh_include(struct setup *setup, const char *path, const char *include)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    bool writes = setup->may_write && !setup->dry_run;

    int r = ssh_read_config(path, &text);
    if (r)
        return r;
    const char *now = (const char *)text.data;
    if (strstr(now, include)) {
        recipe_add(&setup->recipe, RECIPE_FOUND, "%s includes it", path);
        return CLI_OK;
    }
    if (writes && (setup->yes || question_ask("Add one line to %s that includes it?", path))) {
        r = ssh_write_config(path, include, strlen(include), now);
        if (r == CLI_OK)
            recipe_add_file(&setup->recipe, include, "%s, at its top:", path);
        return r;
    }
    recipe_add(&setup->recipe, RECIPE_USE, "Include \"%s/" SSH_CONF "\"  # at the top of %s",
               setup->config_home, path);
    return CLI_OK;
}

static int ssh_prepare(struct setup *setup)
{
    _cleanup_free_ char *path = ssh_config_path();
    _cleanup_free_ char *include = ssh_format_include(setup);
    _cleanup_free_ char *body = NULL;
    _cleanup_free_ char *module = setup_word(setup->module);

    if (!path || !include || !module ||
        asprintf(&body, "PKCS11Provider \"%s\"\n", setup->module) < 0) {
        body = NULL;
        return setup_fail_memory();
    }
    int r = setup_put_file(setup, SSH_CONF, body);
    if (r == CLI_OK)
        r = ssh_include(setup, path, include);
    if (r)
        return r;
    recipe_add(&setup->recipe, RECIPE_USE, "ssh -I %s USER@HOST  # without any file", module);
    recipe_add(&setup->recipe, RECIPE_USE,
               "ssh-keygen -D %s  # the public keys, for ~/.ssh/authorized_keys on the host",
               module);
    return CLI_OK;
}

/* One line for each key; the name is at its end. */
static int ssh_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "ssh-keygen", "openssh-client");
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *wanted = NULL;

    if (!program)
        return CLI_OK;
    if (setup->key->type == MTLS_AGENT_KEY_ED25519) {
        recipe_add_check(&setup->recipe, RECIPE_UNTRIED,
                         "OpenSSH before 10.1 takes no Ed25519 key from a PKCS#11 module");
        return CLI_OK;
    }
    if (asprintf(&wanted, " %s\n", setup->key->name) < 0) {
        wanted = NULL;
        return setup_fail_memory();
    }
    const char *const argv[] = {program, "-D", setup->module, NULL};
    if (setup_try(setup, argv, NULL, &output, "ssh-keygen -D"))
        return CLI_OK;
    bool is_listed = strstr((const char *)output.data, wanted) != NULL;
    recipe_add_check(&setup->recipe, is_listed ? RECIPE_OK : RECIPE_FAILED,
                     "ssh-keygen -D %s the key", is_listed ? "lists" : "does not list");
    return CLI_OK;
}

static int ssh_undo(struct setup *setup)
{
    _cleanup_free_ char *path = ssh_config_path();
    _cleanup_free_ char *include = ssh_format_include(setup);
    _cleanup_wire_writer_ struct wire_writer text = {0};

    if (!path || !include)
        return setup_fail_memory();
    int r = ssh_read_config(path, &text);
    if (r)
        return r;
    const char *now = (const char *)text.data;
    const char *at = strstr(now, include);
    if (!at)
        return CLI_OK;
    const char *rest = at + strlen(include);
    /* What we alone have made goes as a whole. */
    bool is_empty = at == now && !*rest;
    if (!setup->dry_run && is_empty)
        r = unlink(path) < 0 ? cli_fail_errno(path, errno) : CLI_OK;
    else if (!setup->dry_run)
        r = ssh_write_config(path, now, (size_t)(at - now), rest);
    if (r == CLI_OK)
        recipe_add_file(&setup->recipe, NULL, "%s, %s", path,
                        setup->dry_run ? "the line would be removed" : "the line was removed");
    return r;
}

const struct setup_program setup_ssh = {
    .name = "ssh",
    .needs_module = true,
    .needs_key = true,
    .files = {SSH_CONF},
    .prepare = ssh_prepare,
    .check = ssh_check,
    .undo = ssh_undo,
};
