/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Browsers on NSS. The module is put into pkcs11.txt of each database, as modutil does, but by one
 * rename: modutil wants the browser closed and a package installed, loads the module, and has no
 * way to show what it would do. NSS reads the file when the browser starts.
 */
#include "client/cli/setup.h"

#include <string.h>
#include <sys/stat.h>

#include "client/cli/browser_profiles.h"
#include "client/cli/new_file.h"
#include "client/cli/nss_modules.h"
#include "client/cli/own_file.h"
#include "client/cli/program.h"

#define BROWSER_FILE_MAX (1024u * 1024u)

/* One database, before and after. */
struct browser_change {
    char *path; /* of pkcs11.txt; owned */
    struct wire_writer before;
    struct wire_writer after;
    enum nss_modules_state state;
};

static void browser_change_deinit(struct browser_change *change)
{
    free(change->path);
    wire_writer_deinit(&change->before);
    wire_writer_deinit(&change->after);
}

/* @module: NULL: taken out. */
static int browser_change_begin(const char *dir, const char *module, struct browser_change *change)
{
    wire_writer_init(&change->before, BROWSER_FILE_MAX);
    wire_writer_init(&change->after, BROWSER_FILE_MAX);
    if (asprintf(&change->path, "%s/" NSS_MODULES_FILE, dir) < 0) {
        change->path = NULL;
        return setup_fail_memory();
    }
    int r = own_file_read(change->path, &change->before);
    if (r)
        return cli_fail_errno(change->path, r);
    const struct wire_span text = {change->before.data, change->before.len};
    change->state = nss_modules_look(text, module);
    nss_modules_set(text, module, &change->after);
    return change->after.failed ? setup_fail_memory() : CLI_OK;
}

/* The browser's file keeps its mode, and must stay its user's. */
static int browser_write(const struct browser_change *change)
{
    struct stat st;
    mode_t mode = 0600;

    if (lstat(change->path, &st) == 0) {
        if (st.st_uid != geteuid())
            return cli_fail(CLI_FAILURE, "%s belongs to another user. Run this as that user",
                            change->path);
        mode = st.st_mode & 0777;
    }
    int r = own_file_make_parents(change->path);
    if (r == 0)
        r = new_file_write(change->path, change->after.data, change->after.len, mode, true);
    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file and was left alone", change->path);
    return r ? cli_fail_errno(change->path, r) : CLI_OK;
}

static void browser_note_use(struct setup *setup, const struct browser_profile *profile)
{
    if (browser_profile_is_in_use(profile))
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "%s runs with %s: it reads the list when it is started the next time",
                   profile->browser, profile->dir);
}

static int browser_register(struct setup *setup, const struct browser_profile *profile)
{
    _cleanup_(browser_change_deinit) struct browser_change change = {0};

    int r = browser_change_begin(profile->dir, setup->module, &change);
    if (r)
        return r;
    if (change.state == NSS_MODULES_PRESENT) {
        recipe_add_file(&setup->recipe, NULL, "%s, of %s: the module is there already", change.path,
                        profile->browser);
        return CLI_OK;
    }
    r = setup->dry_run ? CLI_OK : browser_write(&change);
    if (r)
        return r;
    recipe_add_file(&setup->recipe, NULL, "%s, of %s: the module %s", change.path, profile->browser,
                    setup->dry_run ? "would be added" : "was added");
    browser_note_use(setup, profile);
    return CLI_OK;
}

static int browser_unregister(struct setup *setup, const struct browser_profile *profile)
{
    _cleanup_(browser_change_deinit) struct browser_change change = {0};

    int r = browser_change_begin(profile->dir, NULL, &change);
    if (r || change.state == NSS_MODULES_ABSENT)
        return r;
    if (!setup->dry_run && change.after.len == 0)
        r = unlink(change.path) < 0 ? cli_fail_errno(change.path, errno) : CLI_OK;
    else if (!setup->dry_run)
        r = browser_write(&change);
    if (r)
        return r;
    recipe_add_file(&setup->recipe, NULL, "%s, of %s: the module %s", change.path, profile->browser,
                    setup->dry_run ? "would be removed" : "was removed");
    browser_note_use(setup, profile);
    return CLI_OK;
}

/* A pkcs11.txt in any other directory would do nothing, and never be found again. */
static bool browser_is_profile(const char *dir)
{
    static const char *const names[] = {"cert9.db", NSS_MODULES_FILE, "prefs.js"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
            path = NULL;
        if (path && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static int browser_find(const struct setup *setup, struct browser_profiles *profiles)
{
    const char *home = secure_getenv("HOME");
    int r = 0;

    if (setup->profile && !browser_is_profile(setup->profile))
        return cli_fail(CLI_FAILURE,
                        "%s is no directory of a browser's profile, or the browser was not started "
                        "with it yet",
                        setup->profile);
    if (setup->profile)
        r = browser_profiles_add(profiles, setup->profile);
    else if (home)
        r = browser_profiles_find(home, profiles);
    if (r)
        return setup_fail_memory();
    if (profiles->count == 0 && !setup->undo)
        return cli_fail(CLI_FAILURE, "no profile of Firefox and no database of Chromium was found. "
                                     "Start the browser once, or give --profile DIR");
    return CLI_OK;
}

static void browser_note_sandbox(struct setup *setup, const struct browser_profile *profile)
{
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "%s in %s was left alone: from inside its sandbox it reaches neither the module nor "
               "the agent's socket. Use the package of the distribution",
               profile->browser, profile->dir);
}

static int browser_prepare(struct setup *setup)
{
    _cleanup_browser_profiles_ struct browser_profiles profiles = BROWSER_PROFILES_INIT;

    int r = browser_find(setup, &profiles);
    for (size_t i = 0; r == CLI_OK && i < profiles.count; i++) {
        if (profiles.entries[i].is_sandboxed)
            browser_note_sandbox(setup, &profiles.entries[i]);
        else
            r = browser_register(setup, &profiles.entries[i]);
    }
    if (r == CLI_OK && !setup->key)
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "Several keys have a certificate; give the one that the browser may use with "
                   "--key, to have its digests allowed");
    return r;
}

/* NSS itself loads the module and lists what it shows: "TOKEN:NAME". */
static int browser_check_one(struct setup *setup, const char *program, const char *dir)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *database = NULL;
    _cleanup_free_ char *nickname = NULL;

    if (asprintf(&database, "sql:%s", dir) < 0) {
        database = NULL;
        return setup_fail_memory();
    }
    if (asprintf(&nickname, "%s:%s", setup->key->token_label, setup->key->name) < 0) {
        nickname = NULL;
        return setup_fail_memory();
    }
    const char *const argv[] = {program, "-L", "-h", "all", "-d", database, NULL};
    if (setup_try(setup, argv, NULL, &output, "certutil -L"))
        return CLI_OK;
    bool is_listed = strstr((const char *)output.data, nickname) != NULL;
    recipe_add_check(&setup->recipe, is_listed ? RECIPE_OK : RECIPE_FAILED,
                     "certutil %s the certificate %s with %s",
                     is_listed ? "lists" : "does not list", nickname, dir);
    return CLI_OK;
}

/* A database that no browser has made yet is not made by a check either. */
static int browser_check(struct setup *setup)
{
    _cleanup_browser_profiles_ struct browser_profiles profiles = BROWSER_PROFILES_INIT;
    _cleanup_free_ char *program = NULL;

    if (setup->dry_run || !setup->key)
        return CLI_OK;
    program = setup_find_program(setup, "certutil", "libnss3-tools");
    int r = program ? browser_find(setup, &profiles) : CLI_OK;
    for (size_t i = 0; r == CLI_OK && i < profiles.count; i++) {
        _cleanup_free_ char *certs = NULL;
        if (asprintf(&certs, "%s/cert9.db", profiles.entries[i].dir) < 0) {
            certs = NULL;
            return setup_fail_memory();
        }
        if (profiles.entries[i].is_sandboxed)
            continue;
        if (access(certs, R_OK) < 0)
            recipe_add_check(&setup->recipe, RECIPE_UNTRIED,
                             "%s has no database before the browser's first start",
                             profiles.entries[i].dir);
        else
            r = browser_check_one(setup, program, profiles.entries[i].dir);
    }
    return r;
}

static int browser_undo(struct setup *setup)
{
    _cleanup_browser_profiles_ struct browser_profiles profiles = BROWSER_PROFILES_INIT;

    int r = browser_find(setup, &profiles);
    for (size_t i = 0; r == CLI_OK && i < profiles.count; i++)
        r = browser_unregister(setup, &profiles.entries[i]);
    return r;
}

const struct setup_program setup_browser = {
    .name = "browser",
    .writes_by_itself = true,
    .needs_module = true,
    .prepare = browser_prepare,
    .check = browser_check,
    .undo = browser_undo,
};
