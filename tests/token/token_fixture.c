/* SPDX-License-Identifier: Apache-2.0 */
/* Shared pieces of the worker's tests; see token_fixture.h. */
#include "token_fixture.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/scheme.h"

#define FILE_MAX 8192

/* The sanitizers' settings reach the worker, too. */
static const char *const passed_env[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};

struct token_fixture *token_fixture_new(const struct builder_key *keys, size_t count)
{
    struct token_fixture *fixture = calloc(1, sizeof(*fixture));
    char conf[BUILDER_PATH_MAX + 16];

    if (!fixture || !builder_make("demo", keys, count, fixture->dir)) {
        free(fixture);
        return NULL;
    }
    fixture->worker.fd = -1;
    fixture->worker.stderr_fd = -1;
    (void)snprintf(conf, sizeof(conf), "%s/softhsm2.conf", fixture->dir);
    token_fixture_set_env(fixture, "SOFTHSM2_CONF", conf);
    for (size_t i = 0; i < sizeof(passed_env) / sizeof(passed_env[0]); i++) {
        const char *value = getenv(passed_env[i]);
        if (value)
            token_fixture_set_env(fixture, passed_env[i], value);
    }
    return fixture;
}

void token_fixture_free(struct token_fixture *fixture)
{
    if (fixture->worker.packet)
        (void)worker_process_stop(&fixture->worker);
    builder_remove(fixture->dir);
    free(fixture);
}

void token_fixture_set_env(struct token_fixture *fixture, const char *name, const char *value)
{
    assert_true(fixture->env_count < sizeof(fixture->env) / sizeof(fixture->env[0]));
    (void)snprintf(fixture->env[fixture->env_count++], sizeof(fixture->env[0]), "%s=%s", name,
                   value);
}

void token_fixture_load(struct token_fixture *fixture, const struct worker_load *load)
{
    const char *env[9] = {NULL};

    for (size_t i = 0; i < fixture->env_count; i++)
        env[i] = fixture->env[i];
    if (fixture->worker.packet)
        (void)worker_process_stop(&fixture->worker);
    worker_process_start(&fixture->worker, env);
    worker_process_load(&fixture->worker, load);
}

void token_fixture_start(struct token_fixture *fixture, const char *module, unsigned int threads,
                         enum verify_mode verify)
{
    const struct worker_load load = {
        .path = wire_span_from_text(module), .threads = threads, .verify = verify};

    token_fixture_load(fixture, &load);
    worker_process_read_inventory(&fixture->worker);
}

void token_fixture_login(struct token_fixture *fixture)
{
    const struct worker_reply *reply =
        worker_process_login(&fixture->worker, 0, BUILDER_PIN, false);

    assert_int_equal(reply->result, WORKER_OK);
}

const struct worker_key *token_fixture_key(const struct token_fixture *fixture, const char *label)
{
    const struct worker_key *key = worker_process_find_key(&fixture->worker, label);

    if (!key)
        fail_msg("no key %s in the inventory", label);
    return key;
}

struct wire_span token_fixture_read(const struct token_fixture *fixture, const char *name)
{
    static uint8_t buffer[FILE_MAX];
    char path[2 * BUILDER_PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));
    if (got < 0)
        fail_msg("%s cannot be read", path);
    return (struct wire_span){buffer, (size_t)got};
}

void token_fixture_write(const struct token_fixture *fixture, const char *name, const char *text)
{
    char path[2 * BUILDER_PATH_MAX];
    char part[2 * BUILDER_PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    (void)snprintf(part, sizeof(part), "%s/%s.part", fixture->dir, name);
    _cleanup_close_ int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(rename(part, path), 0);
}

struct wire_span digest_for(uint32_t scheme)
{
    static uint8_t data[130];
    const struct scheme *row = scheme_find(scheme);

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + 3);
    return (struct wire_span){data, row->hash == HASH_NONE ? sizeof(data) : hash_len(row->hash)};
}

static const EVP_MD *md_of(enum hash_id hash)
{
    return hash == HASH_SHA256 ? EVP_sha256() : hash == HASH_SHA384 ? EVP_sha384() : EVP_sha512();
}

bool signature_is_valid(struct wire_span spki, uint32_t scheme, struct wire_span data,
                        struct wire_span signature)
{
    const struct scheme *row = scheme_find(scheme);
    const unsigned char *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    bool valid = false;

    if (row->hash == HASH_NONE) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        valid = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) > 0 &&
                EVP_DigestVerify(ctx, signature.data, signature.len, data.data, data.len) == 1;
        EVP_MD_CTX_free(ctx);
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        valid = EVP_PKEY_verify_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_signature_md(ctx, md_of(row->hash)) > 0;
        if (valid && row->padding == PADDING_PSS)
            valid = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
        valid =
            valid && EVP_PKEY_verify(ctx, signature.data, signature.len, data.data, data.len) == 1;
        EVP_PKEY_CTX_free(ctx);
    }
    EVP_PKEY_free(key);
    return valid;
}
