/* SPDX-License-Identifier: Apache-2.0 */
/* A fake agent and the provider; see provider_fixture.h. */
#include "tests/unit/provider_fixture.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/provider/key_reference.h"
#include "rsa_key.h"

#define READY_LEN 6 /* "ready\n" */

const struct fixture_key fixture_keys[FIXTURE_KEY_COUNT] = {
    [FIXTURE_P256] = {"p256", "EC", "SHA256", NULL},
    [FIXTURE_P384] = {"p384", "EC", "SHA384", NULL},
    [FIXTURE_P521] = {"p521", "EC", "SHA512", NULL},
    [FIXTURE_RSA] = {"rsa", "RSA", "SHA256", OSSL_PKEY_RSA_PAD_MODE_PSS},
    [FIXTURE_PSS] = {"pss", "RSA-PSS", "SHA384", OSSL_PKEY_RSA_PAD_MODE_PSS},
    [FIXTURE_ED25519] = {"ed25519", "ED25519", NULL, NULL},
};

static EVP_PKEY *fixture_generate(int key)
{
    switch (key) {
    case FIXTURE_P256:
        return EVP_EC_gen("P-256");
    case FIXTURE_P384:
        return EVP_EC_gen("P-384");
    case FIXTURE_P521:
        return EVP_EC_gen("P-521");
    case FIXTURE_RSA:
        return rsa_key_load(2048);
    case FIXTURE_PSS:
        return rsa_key_load_pss();
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

static X509 *fixture_certify(EVP_PKEY *pkey, const char *name, const EVP_MD *md)
{
    X509 *cert = X509_new();

    assert_true(X509_set_version(cert, X509_VERSION_3));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    X509_NAME *subject = X509_get_subject_name(cert);
    assert_true(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0));
    assert_true(X509_set_issuer_name(cert, subject));
    assert_true(X509_set_pubkey(cert, pkey));
    assert_true(X509_sign(cert, pkey, md));
    return cert;
}

static void fixture_path(const struct fixture *fixture, const char *name, const char *suffix,
                         char path[128])
{
    (void)snprintf(path, 128, "%s/%s.%s", fixture->dir, name, suffix);
}

static void fixture_write_key(const struct fixture *fixture, int key)
{
    char path[128];

    fixture_path(fixture, fixture_keys[key].name, "key", path);
    BIO *file = BIO_new_file(path, "w");
    assert_true(PEM_write_bio_PrivateKey(file, fixture->keys[key], NULL, NULL, 0, NULL, NULL));
    BIO_free(file);
    fixture_path(fixture, fixture_keys[key].name, "crt", path);
    file = BIO_new_file(path, "w");
    assert_true(PEM_write_bio_X509(file, fixture->certs[key]));
    BIO_free(file);
}

/* In the child: the agent's command line. */
static void fixture_exec_agent(const struct fixture *fixture, const char *const options[])
{
    char keys[FIXTURE_KEY_COUNT][400];
    const char *argv[64] = {getenv("FAKE_AGENT"), "--log", fixture->log};
    size_t argc = 3;

    for (; options && *options; options++)
        argv[argc++] = *options;
    argv[argc++] = fixture->socket;
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        const char *name = fixture_keys[i].name;
        (void)snprintf(keys[i], sizeof(keys[i]), "%s/%s.key:%s/%s.crt:%s", fixture->dir, name,
                       fixture->dir, name, name);
        argv[argc++] = keys[i];
    }
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

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mtls-provider-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    (void)snprintf(fixture->socket, sizeof(fixture->socket), "%s/agent.sock", fixture->dir);
    (void)snprintf(fixture->log, sizeof(fixture->log), "%s/agent.log", fixture->dir);
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        fixture->keys[i] = fixture_generate(i);
        if (!fixture->keys[i])
            return -1;
        fixture->certs[i] = fixture_certify(fixture->keys[i], fixture_keys[i].name,
                                            fixture_keys[i].digest ? EVP_sha256() : NULL);
        fixture_write_key(fixture, i);
    }
    if (setenv("MTLS_AGENT_SOCK", fixture->socket, 1) != 0)
        return -1;
    fixture_start_agent(fixture, NULL);
    fixture->libctx = OSSL_LIB_CTX_new();
    (void)OSSL_PROVIDER_set_default_search_path(fixture->libctx, getenv("PROVIDER_DIR"));
    fixture->default_provider = OSSL_PROVIDER_load(fixture->libctx, "default");
    fixture->provider = OSSL_PROVIDER_load(fixture->libctx, "mtls-agent");
    if (!fixture->provider)
        ERR_print_errors_fp(stderr);
    return fixture->provider && fixture->default_provider ? 0 : -1;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    fixture_stop_agent(fixture);
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY_free(fixture->keys[i]);
        X509_free(fixture->certs[i]);
        fixture_path(fixture, fixture_keys[i].name, "key", path);
        (void)unlink(path);
        fixture_path(fixture, fixture_keys[i].name, "crt", path);
        (void)unlink(path);
    }
    if (fixture->provider)
        (void)OSSL_PROVIDER_unload(fixture->provider);
    if (fixture->default_provider)
        (void)OSSL_PROVIDER_unload(fixture->default_provider);
    OSSL_LIB_CTX_free(fixture->libctx);
    (void)rmdir(fixture->dir);
    free(fixture);
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

EVP_PKEY *fixture_load(const struct fixture *fixture, int key)
{
    char uri[64];
    EVP_PKEY *pkey = NULL;

    (void)snprintf(uri, sizeof(uri), "mtls-agent:%s", fixture_keys[key].name);
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, fixture->libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    assert_non_null(store);
    assert_true(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY));
    OSSL_STORE_INFO *info = OSSL_STORE_load(store);
    if (info)
        pkey = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    (void)OSSL_STORE_close(store);
    if (!pkey)
        ERR_print_errors_fp(stderr);
    assert_non_null(pkey);
    return pkey;
}

char *fixture_reference(const char *name)
{
    _cleanup_free_ char *uri = NULL;
    char *pem = NULL;

    assert_int_equal(key_uri_from_selector(name, &uri), 0);
    assert_int_equal(key_reference_encode_pem(uri, &pem), 0);
    return pem;
}

EVP_PKEY *fixture_read_pem(const struct fixture *fixture, const void *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, fixture->libctx, NULL);

    BIO_free(bio);
    return pkey;
}

struct wire_span fixture_certificate_verify(size_t len)
{
    static const char content[] = "                                "
                                  "                                "
                                  "TLS 1.3, client CertificateVerify\0"
                                  "the hash of the transcript, of 32 or of 48 bytes";

    assert_true(len < sizeof(content));
    return (struct wire_span){(const uint8_t *)content, len};
}

struct wire_span fixture_handshake(void)
{
    static const uint8_t messages[] = {
        [0] = 1,    [2] = 0x01, [3] = 0x2c, /* ClientHello, 300 bytes */
        [304] = 2,  [307] = 80,             /* ServerHello */
        [388] = 14, [391] = 0,              /* ServerHelloDone */
    };

    return (struct wire_span){messages, sizeof(messages)};
}

static bool fixture_set_padding(int key, EVP_PKEY_CTX *ctx)
{
    if (!fixture_keys[key].padding)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

EVP_MD_CTX *fixture_sign_init(const struct fixture *fixture, int key, EVP_PKEY *pkey)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;

    if (EVP_DigestSignInit_ex(ctx, &pkey_ctx, fixture_keys[key].digest, fixture->libctx, NULL, pkey,
                              NULL) > 0 &&
        fixture_set_padding(key, pkey_ctx))
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

bool fixture_is_signature(const struct fixture *fixture, int key, struct wire_span message,
                          const unsigned char *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    bool is_valid = EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, fixture_keys[key].digest, NULL, NULL,
                                            fixture->keys[key], NULL) > 0 &&
                    fixture_set_padding(key, pkey_ctx) &&
                    EVP_DigestVerify(ctx, signature, len, message.data, message.len) == 1;

    EVP_MD_CTX_free(ctx);
    return is_valid;
}

void fixture_assert_signs(const struct fixture *fixture, int key, EVP_PKEY *pkey)
{
    struct wire_span content = fixture_certificate_verify(130);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, key, pkey);
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_non_null(ctx);
    if (EVP_DigestSign(ctx, signature, &len, content.data, content.len) <= 0) {
        ERR_print_errors_fp(stderr);
        fail_msg("no signature with %s", fixture_keys[key].name);
    }
    EVP_MD_CTX_free(ctx);
    assert_true(fixture_is_signature(fixture, key, content, signature, len));
}

void fixture_assert_error(int reason)
{
    bool is_there = false;
    unsigned long error = 0;

    while ((error = ERR_get_error())) {
        const char *library = ERR_lib_error_string(error);
        is_there = is_there || (ERR_GET_REASON(error) == reason && library &&
                                strncmp(library, "mtls-agent", strlen("mtls-agent")) == 0);
    }
    assert_true(is_there);
}
