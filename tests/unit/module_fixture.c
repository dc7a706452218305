/* SPDX-License-Identifier: Apache-2.0 */
/* A fake agent and the built module; see module_fixture.h. */
#include "module_fixture.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/der_ecdsa.h"

#define READY_LEN 6 /* "ready\n" */

const char *const fixture_names[FIXTURE_KEY_COUNT] = {"ec", "rsa", "ed"};

static void fixture_path(const struct fixture *fixture, int key, const char *suffix, char path[128])
{
    (void)snprintf(path, 128, "%s/%s.%s", fixture->dir, fixture_names[key], suffix);
}

static void fixture_make_keys(struct fixture *fixture)
{
    static const char *const types[FIXTURE_KEY_COUNT] = {"EC", "RSA", "ED25519"};
    char path[128];

    fixture->authority = pki_new("EC", "authority", NULL, "CA:TRUE");
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        fixture->keys[i] = pki_new(types[i], fixture_names[i], &fixture->authority, "clientAuth");
        fixture_path(fixture, i, "key", path);
        pki_write_key(path, fixture->keys[i].key);
        fixture_path(fixture, i, "crt", path);
        pki_write_certs(path,
                        (X509 *const[]){fixture->keys[i].cert, fixture->authority.cert, NULL});
    }
}

/* In the child: the agent's command line. */
static void fixture_exec_agent(const struct fixture *fixture, const char *const options[])
{
    static const char *const usual[] = {"--allow-digest", NULL};
    char keys[FIXTURE_KEY_COUNT][400];
    const char *argv[32] = {getenv("FAKE_AGENT"), "--log", fixture->log};
    size_t argc = 3;

    for (options = options ? options : usual; *options; options++)
        argv[argc++] = *options;
    argv[argc++] = fixture->socket;
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        char key[128];
        char cert[128];
        fixture_path(fixture, i, "key", key);
        fixture_path(fixture, i, "crt", cert);
        (void)snprintf(keys[i], sizeof(keys[i]), "%s:%s:%s", key, cert, fixture_names[i]);
        argv[argc++] = keys[i];
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
}

void fixture_start_agent(struct fixture *fixture, const char *const options[])
{
    int pipe_fds[2];
    char ready[READY_LEN];
    size_t len = 0;

    fixture_stop_agent(fixture);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    fixture->agent = fork();
    if (fixture->agent == 0) {
        (void)dup2(pipe_fds[1], STDOUT_FILENO);
        fixture_exec_agent(fixture, options);
        _exit(127);
    }
    (void)close(pipe_fds[1]);
    while (len < sizeof(ready)) {
        ssize_t n = read(pipe_fds[0], ready + len, sizeof(ready) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    (void)close(pipe_fds[0]);
    assert_int_equal(len, sizeof(ready));
}

void fixture_stop_agent(struct fixture *fixture)
{
    if (fixture->agent <= 0)
        return;
    (void)kill(fixture->agent, SIGTERM);
    (void)waitpid(fixture->agent, NULL, 0);
    fixture->agent = 0;
    (void)unlink(fixture->socket);
    (void)unlink(fixture->log);
}

void fixture_toggle_token(const struct fixture *fixture)
{
    assert_int_equal(kill(fixture->agent, SIGUSR1), 0);
}

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    if (!fixture)
        return -1;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mtls-module-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    (void)snprintf(fixture->socket, sizeof(fixture->socket), "%s/agent.sock", fixture->dir);
    (void)snprintf(fixture->log, sizeof(fixture->log), "%s/agent.log", fixture->dir);
    fixture_make_keys(fixture);
    if (setenv("MTLS_AGENT_SOCK", fixture->socket, 1) != 0)
        return -1;
    fixture_start_agent(fixture, NULL);
    fixture->file = dlopen(getenv("MODULE_SO"), RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get =
        fixture->file ? (CK_C_GetFunctionList)dlsym(fixture->file, "C_GetFunctionList") : NULL;
    return get && get(&fixture->p11) == CKR_OK ? 0 : -1;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    fixture_stop_agent(fixture);
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        pki_free(&fixture->keys[i]);
        fixture_path(fixture, i, "key", path);
        (void)unlink(path);
        fixture_path(fixture, i, "crt", path);
        (void)unlink(path);
    }
    pki_free(&fixture->authority);
    if (fixture->file)
        (void)dlclose(fixture->file);
    (void)rmdir(fixture->dir);
    free(fixture);
    return 0;
}

int fixture_begin(void **state)
{
    struct fixture *fixture = *state;

    (void)fixture->p11->C_Finalize(NULL); /* what a failed test left */
    fixture_start_agent(fixture, NULL);
    return fixture->p11->C_Initialize(NULL) == CKR_OK ? 0 : -1;
}

int fixture_end(void **state)
{
    struct fixture *fixture = *state;

    (void)fixture->p11->C_Finalize(NULL);
    return 0;
}

size_t fixture_log_count(const struct fixture *fixture, const char *prefix)
{
    _cleanup_fclose_ FILE *file = fopen(fixture->log, "re");
    char line[2048];
    size_t count = 0;

    while (file && fgets(line, sizeof(line), file))
        count += strncmp(line, prefix, strlen(prefix)) == 0;
    return count;
}

CK_SESSION_HANDLE fixture_open(const struct fixture *fixture, CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(fixture->p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_OK);
    return session;
}

static CK_RV fixture_look_up(const struct fixture *fixture, CK_SESSION_HANDLE session,
                             CK_OBJECT_CLASS class, const char *name, CK_OBJECT_HANDLE *object)
{
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_ULONG count = 0;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_LABEL, (void *)(uintptr_t)name, strlen(name)},
    };
    CK_RV rv = p11->C_FindObjectsInit(session, template, 2);

    if (rv == CKR_OK)
        rv = p11->C_FindObjects(session, object, 1, &count);
    if (rv == CKR_OK)
        rv = p11->C_FindObjectsFinal(session);
    return rv == CKR_OK && count != 1 ? CKR_OBJECT_HANDLE_INVALID : rv;
}

CK_OBJECT_HANDLE fixture_find(const struct fixture *fixture, CK_SESSION_HANDLE session,
                              CK_OBJECT_CLASS class, int key)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    assert_int_equal(fixture_look_up(fixture, session, class, fixture_names[key], &object), CKR_OK);
    return object;
}

static CK_RV fixture_check(const struct fixture *fixture, const uint8_t digest[32],
                           const uint8_t *raw, size_t raw_len)
{
    uint8_t der[DER_ECDSA_MAX];
    size_t len = 0;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(fixture->keys[FIXTURE_EC].key, NULL);
    bool is_good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
                   der_ecdsa_from_raw(256, (struct wire_span){raw, raw_len}, der, &len) == 0 &&
                   EVP_PKEY_verify(ctx, der, len, digest, 32) == 1;

    EVP_PKEY_CTX_free(ctx);
    return is_good ? CKR_OK : CKR_SIGNATURE_INVALID;
}

CK_RV fixture_sign(const struct fixture *fixture, CK_SESSION_HANDLE session)
{
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    uint8_t digest[32] = "the digest of what has to be si";
    uint8_t signature[64];
    CK_ULONG len = sizeof(signature);
    CK_RV rv = fixture_look_up(fixture, session, CKO_PRIVATE_KEY, fixture_names[FIXTURE_EC], &key);

    if (rv == CKR_OK)
        rv = p11->C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = p11->C_Sign(session, digest, sizeof(digest), signature, &len);
    return rv == CKR_OK ? fixture_check(fixture, digest, signature, len) : rv;
}

CK_RV fixture_sign_once(const struct fixture *fixture)
{
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_RV rv = p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session);

    if (rv != CKR_OK)
        return rv;
    rv = fixture_sign(fixture, session);
    (void)p11->C_CloseSession(session);
    return rv;
}
