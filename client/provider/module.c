/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtls-agent.so, the provider that unmodified programs load. It needs no option. A program reaches
 * it through a configuration file that activates `default` as well, because naming any provider
 * switches off the implicit one, and that names `default` first (precedence.h says why):
 *
 *     openssl_conf = openssl_init
 *     [openssl_init]
 *     providers = provider_section
 *     [provider_section]
 *     default = default_section
 *     mtls-agent = mtls_agent_section
 *     [default_section]
 *     activate = 1
 *     [mtls_agent_section]
 *     activate = 1
 *     # module = /path/to/mtls-agent.so    where it is not in OpenSSL's own directory
 *     # socket = /path/to/agent.sock       where $MTLS_AGENT_SOCK does not say it
 */
#include "client/provider/algorithms.h"
#include "client/provider/context.h"
#include "client/provider/decoder.h"
#include "client/provider/store.h"

#define PROPERTIES "provider=mtls-agent"
#define PEM_PROPERTIES PROPERTIES ",input=pem"
#define DER_PROPERTIES PROPERTIES ",input=der,structure=" DECODER_STRUCTURE

static const OSSL_ALGORITHM keymgmt_algorithms[] = ALGORITHMS_KEYMGMT(PROPERTIES);
static const OSSL_ALGORITHM signature_algorithms[] = ALGORITHMS_SIGNATURE(PROPERTIES);

static const OSSL_ALGORITHM store_algorithms[] = {
    {STORE_NAMES, PROPERTIES, store_functions, NULL},
    ALGORITHMS_END,
};

static const OSSL_ALGORITHM decoder_algorithms[] = {
    {DECODER_PEM_NAMES, PEM_PROPERTIES, decoder_pem_functions, NULL},
    {KEYMGMT_RSA_NAMES, DER_PROPERTIES, decoder_rsa_functions, NULL},
    {KEYMGMT_RSA_PSS_NAMES, DER_PROPERTIES, decoder_rsa_pss_functions, NULL},
    {KEYMGMT_EC_NAMES, DER_PROPERTIES, decoder_ec_functions, NULL},
    {KEYMGMT_ED25519_NAMES, DER_PROPERTIES, decoder_ed25519_functions, NULL},
    ALGORITHMS_END,
};

static const OSSL_ALGORITHM *module_query(void *ctx, int operation, int *no_cache)
{
    struct provider_context *context = ctx;

    /* An answer that may not be kept is asked for again. */
    *no_cache = precedence_gives_way(&context->precedence, operation);
    if (*no_cache)
        return NULL;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keymgmt_algorithms;
    case OSSL_OP_SIGNATURE:
        return signature_algorithms;
    case OSSL_OP_STORE:
        return store_algorithms;
    case OSSL_OP_DECODER:
        return decoder_algorithms;
    default:
        return NULL;
    }
}

__attribute__((visibility("default"))) int OSSL_provider_init(const OSSL_CORE_HANDLE *core,
                                                              const OSSL_DISPATCH *in,
                                                              const OSSL_DISPATCH **out,
                                                              void **ret_context)
{
    static const OSSL_DISPATCH functions[] = {
        PROVIDER_COMMON_FUNCTIONS,
        PROVIDER_FUNCTION(QUERY_OPERATION, module_query),
        {0, NULL},
    };

    *ret_context = provider_context_new(core, in, false);
    *out = functions;
    return *ret_context != NULL;
}
