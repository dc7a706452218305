/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures from the agent through libmtls-agent: the content goes over, as in a handshake. */
#include <mtls-agent.h>
#include <string.h>

#include "signer.h"

#define SCHEME_ECDSA_P256 0x0403
#define SCHEME_RSA_PSS 0x0804

struct signer {
    struct mtls_agent *agent;
    uint8_t hash[MTLS_AGENT_KEY_HASH_LEN];
    uint16_t scheme;
    bool own_connection;
};

struct signer_thread {
    const struct signer *signer;
    struct mtls_agent *agent;
};

static int failed(const struct mtls_agent_error *error)
{
    (void)fprintf(stderr, "%s: %s\n", mtls_agent_code_name(error->code), error->text);
    return 1;
}

int signer_open(const struct signer_options *options, struct signer **ret_signer)
{
    struct mtls_agent_error error = {0};
    struct mtls_agent_keys *keys = NULL;
    _cleanup_free_ struct signer *signer = calloc(1, sizeof(*signer));

    if (!signer)
        return 1;
    signer->scheme = options->is_rsa ? SCHEME_RSA_PSS : SCHEME_ECDSA_P256;
    signer->own_connection = options->own_connection;
    signer->agent = mtls_agent_new(NULL);
    if (!signer->agent)
        return 1;
    if (mtls_agent_find(signer->agent, options->key, &keys, &error)) {
        mtls_agent_free(signer->agent);
        return failed(&error);
    }
    memcpy(signer->hash, mtls_agent_keys_get(keys, 0)->hash, sizeof(signer->hash));
    mtls_agent_keys_free(keys);
    *ret_signer = TAKE_PTR(signer);
    return 0;
}

int signer_thread_open(struct signer *signer, struct signer_thread **ret_thread)
{
    struct signer_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return 1;
    thread->signer = signer;
    thread->agent = signer->own_connection ? mtls_agent_new(NULL) : signer->agent;
    *ret_thread = thread;
    return thread->agent ? 0 : 1;
}

int signer_sign(struct signer_thread *thread)
{
    struct mtls_agent_error error = {0};
    uint8_t signature[MTLS_AGENT_SIGNATURE_MAX];
    size_t len = 0;

    if (mtls_agent_sign(thread->agent, thread->signer->hash, thread->signer->scheme,
                        MTLS_AGENT_TLS13, signer_content, SIGNER_CONTENT_LEN, signature,
                        sizeof(signature), &len, &error))
        return failed(&error);
    return 0;
}

void signer_thread_close(struct signer_thread *thread)
{
    if (thread->signer->own_connection)
        mtls_agent_free(thread->agent);
    free(thread);
}

void signer_close(struct signer *signer)
{
    mtls_agent_free(signer->agent);
    free(signer);
}
