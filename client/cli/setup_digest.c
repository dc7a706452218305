/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that go through PKCS#11 hash by themselves and have a bare digest signed, which the
 * agent refuses unless the key's section says otherwise. The permission is a drop-in of agent.conf
 * for the one key. The configuration is valid before and after, or it is as it was.
 */
#include "client/cli/setup.h"

#include <string.h>

#include "client/cli/agent_process.h"
#include "client/cli/drop_in.h"
#include "client/cli/key_view.h"
#include "client/cli/new_file.h"
#include "client/cli/own_file.h"
#include "client/cli/pkcs11_uri.h"
#include "client/cli/question.h"

#define DIGEST_DIR "mtls-agent/agent.conf.d"
#define DIGEST_HASH_DIGITS 16 /* of the key's hash, in the drop-in's name */
#define DIGEST_FILE_MAX 65536u
#define DIGEST_PROBLEM_MAX 1024

/* The change of one drop-in, so that it can be taken back. */
struct digest_change {
    char *path;
    struct wire_writer before; /* its text */
    bool was_there;
};

static void digest_change_deinit(struct digest_change *change)
{
    free(change->path);
    wire_writer_deinit(&change->before);
}

static void digest_change_take_back(const struct digest_change *change)
{
    if (change->was_there)
        (void)!own_file_write(change->path, change->before.data, change->before.len);
    else
        (void)unlink(change->path);
}

static int digest_change_begin(const struct setup *setup, struct digest_change *change)
{
    char hash[KEY_VIEW_HASH_MAX];

    if (asprintf(&change->path, "%s/" DIGEST_DIR "/" DROP_IN_PREFIX "%.*s" DROP_IN_SUFFIX,
                 setup->config_home, DIGEST_HASH_DIGITS,
                 key_view_hash(setup->key->hash, hash) + sizeof("sha256:") - 1) < 0) {
        change->path = NULL;
        return setup_fail_memory();
    }
    enum own_file_state state = own_file_look(change->path);
    if (state == OWN_FILE_FOREIGN)
        return cli_fail(CLI_FAILURE,
                        "%s is there already and was not made by mtls setup. Move it away and try "
                        "again",
                        change->path);
    change->was_there = state != OWN_FILE_ABSENT;
    wire_writer_init(&change->before, DIGEST_FILE_MAX);
    int r = own_file_read(change->path, &change->before);
    return r ? cli_fail_errno(change->path, r) : CLI_OK;
}

/* What [key NAME] is called when it is made here: as the key is called now, if that can be. */
static int digest_section_name(const struct setup *setup, char name[static DROP_IN_SECTION_MAX])
{
    _cleanup_free_ char *selector = NULL;
    const struct mtls_agent_key *key = setup->key;
    char hash[KEY_VIEW_HASH_MAX];

    int r = key_view_selector(setup->agent, key, &selector);
    if (r)
        return r;
    bool is_good = strcmp(selector, key->name) == 0 && drop_in_is_section_name(key->name);
    (void)snprintf(name, DROP_IN_SECTION_MAX, "%s%.*s", is_good ? key->name : "key-",
                   is_good ? 0 : DIGEST_HASH_DIGITS,
                   key_view_hash(key->hash, hash) + sizeof("sha256:") - 1);
    return CLI_OK;
}

static int digest_write(const struct digest_change *change, const struct setup *setup,
                        const char *section, const char *uri)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    char programs[DROP_IN_PROGRAMS_MAX];

    wire_writer_init(&text, DIGEST_FILE_MAX);
    drop_in_format(
        section, uri,
        drop_in_programs((const char *)change->before.data, setup->program->name, NULL, programs),
        &text);
    if (text.failed)
        return setup_fail_memory();
    int r = own_file_write(change->path, text.data, text.len);
    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file. Move it away and try again",
                        change->path);
    return r ? cli_fail_errno(change->path, r) : CLI_OK;
}

/* Of the key alone; as long as agent.conf takes a line. */
static int digest_format_uri(const struct mtls_agent_key *key, struct wire_writer *uri)
{
    wire_writer_init(uri, DIGEST_FILE_MAX);
    pkcs11_uri_format(key, uri);
    if (uri->len > DROP_IN_LINE_MAX - (sizeof("uri = ") - 1)) {
        wire_writer_reset(uri);
        pkcs11_uri_format_short(key, uri);
    }
    wire_put_u8(uri, '\0');
    return uri->failed ? setup_fail_memory() : CLI_OK;
}

/*
 * First without a uri, which is right when the key has a section already: then its uri stays the
 * user's own, and a second section would never be looked at. The agent itself knows whether it has.
 */
static int digest_write_valid(const struct digest_change *change, const struct setup *setup)
{
    _cleanup_wire_writer_ struct wire_writer uri = {0};
    char name[DROP_IN_SECTION_MAX];
    char problem[DIGEST_PROBLEM_MAX] = "";

    int r = digest_section_name(setup, name);
    if (r == CLI_OK)
        r = digest_format_uri(setup->key, &uri);
    for (int with_uri = 0; r == CLI_OK && with_uri < 2; with_uri++) {
        r = digest_write(change, setup, name, with_uri ? (const char *)uri.data : NULL);
        int checked = r ? 0 : agent_process_check_config(problem, sizeof(problem));
        if (checked < 0)
            r = cli_fail_errno("cannot check the configuration", checked);
        else if (r == CLI_OK && checked == 0)
            return CLI_OK;
    }
    digest_change_take_back(change);
    return r ? r
             : cli_fail(CLI_FAILURE,
                        "the configuration would not be valid with it and was left as it was: %s. "
                        "Write `sign = digest` into the [key] section of %s by hand",
                        problem, setup->key->name);
}

static bool digest_is_allowed(void *userdata)
{
    const struct setup *setup = userdata;
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    char hash[KEY_VIEW_HASH_MAX];

    if (mtls_agent_find(setup->agent, key_view_hash(setup->key->hash, hash), &keys, NULL))
        return false;
    const struct mtls_agent_key *key = mtls_agent_keys_get(keys, 0);
    return key && key->signs_digests;
}

/* With a section of its own the key may have got another name, by which everything else goes. */
static int digest_find_again(struct setup *setup)
{
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    struct mtls_agent_error error = {0};
    char hash[KEY_VIEW_HASH_MAX];

    if (mtls_agent_find(setup->agent, key_view_hash(setup->key->hash, hash), &keys, &error))
        return cli_fail_agent(&error);
    const struct mtls_agent_key *key = mtls_agent_keys_get(keys, 0);
    if (strcmp(key->name, setup->key->name) != 0)
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "Key %s is called %s now: its name cannot stand in agent.conf, or fits several "
                   "keys",
                   setup->key->name, key->name);
    cleanup_agent_keys(&setup->keys);
    setup->keys = TAKE_PTR(keys);
    setup->key = key;
    return CLI_OK;
}

static bool digest_any(void *userdata)
{
    (void)userdata;
    return true;
}

static int digest_reload(const struct digest_change *change, struct setup *setup,
                         const struct agent_process *process)
{
    if (agent_process_reload(process, digest_is_allowed, setup)) {
        setup->has_allowed = true;
        recipe_add_file(&setup->recipe, NULL, "%s, written", change->path);
        recipe_add_check(&setup->recipe, RECIPE_OK,
                         "the agent has reloaded its configuration: key %s may sign digests",
                         setup->key->name);
        return digest_find_again(setup);
    }
    digest_change_take_back(change);
    (void)agent_process_reload(process, digest_any, NULL);
    return cli_fail(CLI_FAILURE,
                    "the agent does not let the key sign digests even so; the drop-in was taken "
                    "back. See: mtls status, and the [key] section of %s",
                    setup->key->name);
}

/* The agent must read the files that are written here. */
static int digest_check_agent(const struct agent_process *process, const struct setup *setup)
{
    char problem[DIGEST_PROBLEM_MAX] = "";

    if (!process->is_own || process->config)
        return cli_fail(CLI_FAILURE,
                        "the agent %s. Write `sign = digest` into the [key] section of %s there, "
                        "and reload it: systemctl reload mtls-agent",
                        process->config ? "reads another configuration, see its --config"
                                        : "is not of this user, and reads "
                                          "/etc/mtls-agent/system.conf",
                        setup->key->name);
    int r = agent_process_check_config(problem, sizeof(problem));
    if (r < 0)
        return cli_fail_errno("cannot check the configuration", r);
    return r ? cli_fail(CLI_FAILURE,
                        "the agent's configuration is not valid as it is, nothing was added: %s. "
                        "Correct it first: mtls check-config",
                        problem)
             : CLI_OK;
}

static int digest_allow(struct setup *setup)
{
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    _cleanup_agent_process_ struct agent_process process = AGENT_PROCESS_INIT;
    _cleanup_(digest_change_deinit) struct digest_change change = {0};
    struct mtls_agent_error error = {0};

    if (mtls_agent_get_status(setup->agent, &status, &error))
        return cli_fail_agent(&error);
    if (agent_process_find(status, &process))
        return setup_fail_memory();
    int r = digest_check_agent(&process, setup);
    if (r == CLI_OK)
        r = digest_change_begin(setup, &change);
    if (r == CLI_OK)
        r = digest_write_valid(&change, setup);
    return r ? r : digest_reload(&change, setup, &process);
}

/* One more program needs what another was allowed: the drop-in must not go with that one. */
static int digest_join(struct setup *setup)
{
    _cleanup_(digest_change_deinit) struct digest_change change = {0};
    _cleanup_wire_writer_ struct wire_writer text = {0};
    char programs[DROP_IN_PROGRAMS_MAX];

    int r = digest_change_begin(setup, &change);
    if (r || own_file_look(change.path) != OWN_FILE_OURS ||
        drop_in_has_program((const char *)change.before.data, setup->program->name))
        return r;
    wire_writer_init(&text, DIGEST_FILE_MAX);
    drop_in_change_programs(
        (const char *)change.before.data,
        drop_in_programs((const char *)change.before.data, setup->program->name, NULL, programs),
        &text);
    if (text.failed)
        return setup_fail_memory();
    r = own_file_write(change.path, text.data, text.len);
    if (r)
        return cli_fail_errno(change.path, r > 0 ? EINVAL : r);
    setup->has_allowed = true;
    recipe_add_file(&setup->recipe, NULL, "%s, now for: %s", change.path, programs);
    return CLI_OK;
}

static bool digest_is_wanted(const struct setup *setup)
{
    /* --yes is for files: it must not give away what a key is good for. */
    if (setup->allow_digest)
        return true;
    return setup->may_write &&
           question_ask("%s has the key sign bare digests, which the agent cannot check to be TLS "
                        "logins. Allow that for key %s alone?",
                        setup->program->name, setup->key->name);
}

static void digest_note(struct setup *setup)
{
    _cleanup_free_ char *word = setup_word(setup->key->name);

    if (!word)
        setup->recipe.failed = true;
    else
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "Until then the agent refuses. To allow it for this key alone: mtls setup %s "
                   "--key %s --allow-digest",
                   setup->program->name, word);
}

int setup_digest_offer(struct setup *setup)
{
    if (!setup->key)
        return CLI_OK;
    if (setup->key->type == MTLS_AGENT_KEY_ED25519) {
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "An Ed25519 key signs whole messages: TLS 1.3 logins need no permission, "
                   "everything else needs `sign = digest`");
        return CLI_OK;
    }
    recipe_add(&setup->recipe, RECIPE_NOTE,
               "%s hashes by itself and has a bare digest signed. The agent cannot check that it "
               "is of a TLS login: with `sign = digest` in the key's [key] section, whoever runs "
               "as you can have anything signed with it",
               setup->program->name);
    if (setup->key->signs_digests) {
        recipe_add(&setup->recipe, RECIPE_FOUND, "key %s may sign digests already",
                   setup->key->name);
        return setup->dry_run || !(setup->may_write || setup->allow_digest) ? CLI_OK
                                                                            : digest_join(setup);
    }
    if (!setup->dry_run && digest_is_wanted(setup))
        return digest_allow(setup);
    digest_note(setup);
    return CLI_OK;
}

static int digest_is_drop_in(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    size_t end = sizeof(DROP_IN_SUFFIX) - 1;

    return strncmp(entry->d_name, DROP_IN_PREFIX, sizeof(DROP_IN_PREFIX) - 1) == 0 && len > end &&
           strcmp(entry->d_name + len - end, DROP_IN_SUFFIX) == 0;
}

/* The permission stays as long as another program needs it. */
static int digest_undo_one(struct setup *setup, const char *path, bool *changed)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    _cleanup_wire_writer_ struct wire_writer rest = {0};
    char programs[DROP_IN_PROGRAMS_MAX];

    wire_writer_init(&text, DIGEST_FILE_MAX);
    wire_writer_init(&rest, DIGEST_FILE_MAX);
    int r = own_file_read(path, &text);
    if (r)
        return cli_fail_errno(path, r);
    if (own_file_look(path) != OWN_FILE_OURS ||
        !drop_in_has_program((const char *)text.data, setup->program->name))
        return CLI_OK;
    (void)drop_in_programs((const char *)text.data, NULL, setup->program->name, programs);
    drop_in_change_programs((const char *)text.data, programs, &rest);
    if (rest.failed)
        return setup_fail_memory();
    if (!setup->dry_run)
        r = programs[0] ? own_file_write(path, rest.data, rest.len) : own_file_remove(path);
    if (r)
        return cli_fail_errno(path, r > 0 ? EINVAL : r);
    recipe_add_file(&setup->recipe, NULL, programs[0] ? "%s, stays for: %s" : "%s, %s", path,
                    programs[0]      ? programs
                    : setup->dry_run ? "would be removed"
                                     : "removed");
    *changed |= !programs[0];
    return CLI_OK;
}

/* An agent that does not run reads its files when it starts. */
static void digest_undo_reload(struct setup *setup)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    _cleanup_agent_process_ struct agent_process process = AGENT_PROCESS_INIT;

    if (!agent || mtls_agent_get_status(agent, &status, NULL) ||
        agent_process_find(status, &process))
        return;
    if (process.is_own && agent_process_reload(&process, digest_any, NULL))
        recipe_add_check(&setup->recipe, RECIPE_OK, "the agent was told to read its configuration");
    else
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "Make the agent read its configuration: systemctl --user reload mtls-agent");
}

int setup_digest_undo(struct setup *setup)
{
    _cleanup_free_ char *dir = setup_path(setup, DIGEST_DIR);
    struct dirent **entries = NULL;
    bool changed = false;
    int r = CLI_OK;

    if (!dir)
        return setup_fail_memory();
    int count = scandir(dir, &entries, digest_is_drop_in, alphasort);
    for (int i = 0; i < count; i++) {
        _cleanup_free_ char *path = NULL;
        if (r == CLI_OK && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0) {
            path = NULL;
            r = setup_fail_memory();
        }
        if (r == CLI_OK)
            r = digest_undo_one(setup, path, &changed);
        free(entries[i]);
    }
    free(entries);
    /* Empty now, unless the user has put something there. */
    if (!setup->dry_run)
        (void)rmdir(dir);
    if (r == CLI_OK && changed && !setup->dry_run)
        digest_undo_reload(setup);
    return r;
}
