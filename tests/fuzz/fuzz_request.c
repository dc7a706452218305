/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of the client protocol, requests and replies. Input: type byte, body. */
#include "fuzz.h"
#include "fuzz_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(client_messages, client_message_count, data, size);
    return 0;
}
