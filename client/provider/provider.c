/* SPDX-License-Identifier: Apache-2.0 */
/* The provider inside libmtls-agent; see provider.h. */
#include "client/provider/provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/params.h>

#include "client/provider/agent_key.h"
#include "client/provider/algorithms.h"

#define PROPERTIES "provider=" PROVIDER_LIBRARY_NAME

static const OSSL_ALGORITHM keymgmt_algorithms[] = ALGORITHMS_KEYMGMT(PROPERTIES);
static const OSSL_ALGORITHM signature_algorithms[] = ALGORITHMS_SIGNATURE(PROPERTIES);

static const OSSL_ALGORITHM *library_query(void *context, int operation, int *no_cache)
{
    (void)context;
    *no_cache = 0;
    if (operation == OSSL_OP_KEYMGMT)
        return keymgmt_algorithms;
    return operation == OSSL_OP_SIGNATURE ? signature_algorithms : NULL;
}

int mtls_agent_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                             const OSSL_DISPATCH **out, void **ret_context)
{
    static const OSSL_DISPATCH functions[] = {
        PROVIDER_COMMON_FUNCTIONS,
        PROVIDER_FUNCTION(QUERY_OPERATION, library_query),
        {0, NULL},
    };

    *ret_context = provider_context_new(core, in, true);
    *out = functions;
    return *ret_context != NULL;
}

EVP_PKEY *provider_pkey_new(OSSL_LIB_CTX *libctx, struct mtls_agent *agent,
                            const struct mtls_agent_key *key)
{
    const char *type = agent_key_type_name((enum key_type)key->type);
    struct wire_span description = {0};
    EVP_PKEY *pkey = NULL;

    if (agent_key_describe(key, &description))
        return NULL;
    void *data = (void *)(uintptr_t)description.data;
    void *handle = agent;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_ptr(KEYMGMT_PARAM_AGENT, &handle, 0),
        OSSL_PARAM_construct_octet_string(KEYMGMT_PARAM_KEY, data, description.len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, type, PROPERTIES);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    free(data);
    return pkey;
}
