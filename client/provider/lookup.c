/* SPDX-License-Identifier: Apache-2.0 */
/* Looking keys up; see lookup.h. */
#include "client/provider/lookup.h"

#include "client/provider/key_reference.h"

int lookup_keys(struct provider_context *context, const char *uri, bool is_single,
                struct mtls_agent_keys **ret_keys)
{
    _cleanup_free_ char *selector = NULL;
    struct mtls_agent_error error = {0};
    int r = key_uri_to_selector(uri, &selector);

    if (r == -ENOMEM)
        return provider_raise(context, PROVIDER_R_MEMORY, "No memory.");
    if (r)
        return provider_raise(context, PROVIDER_R_REFERENCE,
                              "The URI is not of the form mtls-agent:NAME.");
    int saved_errno = errno;
    if (is_single)
        r = mtls_agent_find(context->agent, selector, ret_keys, &error);
    else
        r = mtls_agent_list(context->agent, *selector ? selector : NULL, ret_keys, &error);
    /* Some programs take errno for the reason; the reason is in OpenSSL's queue. */
    errno = saved_errno;
    return r ? provider_raise_agent(context, &error) : 1;
}
