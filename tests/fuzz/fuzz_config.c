/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration reader: any text either loads without a complaint, or is refused with at least
 * one problem that names a line; what loads stays within its stated bounds. Input: the file.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "fuzz.h"

struct problems {
    size_t count;
};

static void count_problem(void *userdata, const char *problem)
{
    struct problems *problems = userdata;
    unsigned int fd = 0;
    unsigned int line = 0;

    /* FILE:LINE: and the text */
    fuzz_check(sscanf(problem, "/proc/self/fd/%u:%u: ", &fd, &line) == 2);
    fuzz_check(!strchr(problem, '\n') && !strchr(problem, '\033'));
    problems->count++;
}

static void check_module(const struct config_module *module)
{
    size_t environment = 0;

    fuzz_check(module->name && module->path && module->path[0] == '/');
    fuzz_check(module->workers <= CONFIG_WORKERS_MAX && module->timeout_ms > 0);
    fuzz_check(module->verify <= VERIFY_NEVER);
    while (module->environment[environment])
        fuzz_check(strchr(module->environment[environment++], '='));
    fuzz_check(environment <= CONFIG_ENVIRONMENT_MAX);
    fuzz_check(config_module_is_equal(module, module));
}

static void check_config(const struct config *config)
{
    fuzz_check(config->user_count <= CONFIG_USERS_MAX);
    fuzz_check(config->audit != CONFIG_AUDIT_FILE || config->audit_path);
    for (size_t i = 0; i < config->module_count; i++)
        check_module(config->modules[i]);
    for (size_t i = 0; i < config->token_count; i++)
        fuzz_check(config->tokens[i]->name && config->tokens[i]->uri);
    for (size_t i = 0; i < config->key_count; i++) {
        const struct config_key *key = config->keys[i];
        fuzz_check(key->name && key->uri_count > 0 && key->uri_count <= CONFIG_KEY_URIS_MAX);
        for (size_t j = 0; j < key->uri_count; j++)
            fuzz_check(key->uris[j].text && key->uris[j].selector);
        fuzz_check(key->policy == KEY_POLICY_TLS || key->policy == KEY_POLICY_DIGEST);
        fuzz_check(key->cert_count <= PROTOCOL_CERTS_MAX);
        fuzz_check(key->chain_count <= PROTOCOL_CERTS_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problems problems = {0};
    struct config *config = NULL;
    char path[64];
    _cleanup_close_ int fd = memfd_create("fuzz-config", MFD_CLOEXEC);

    fuzz_check(fd >= 0 && fchmod(fd, 0600) == 0);
    fuzz_check(size == 0 || write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int r = config_load(path, count_problem, &problems, &config);
    fuzz_check(r == 0 || r == CONFIG_E_INVALID);
    fuzz_check((r == 0) == (problems.count == 0));
    fuzz_check((r == 0) == (config != NULL));
    if (config)
        check_config(config);
    (void)config_unref(config);
    return 0;
}
