/* SPDX-License-Identifier: Apache-2.0 */
/* Names as a caller gives them; see selector.h. */
#include "client/lib/selector.h"

#include <string.h>

#include "client/lib/error.h"
#include "common/utf8.h"

int selector_check(const char *selector, struct mtls_agent_error *error)
{
    size_t len = selector ? strlen(selector) : 0;

    if (len > PROTOCOL_SELECTOR_MAX)
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT,
                                "a name or URI has at most %u bytes, this one has %zu",
                                PROTOCOL_SELECTOR_MAX, len);
    if (selector && !utf8_is_valid_text((const uint8_t *)selector, len))
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT, "the name or URI is not UTF-8");
    return 0;
}
