/* SPDX-License-Identifier: Apache-2.0 */
/* Every message between the core and its helpers, both ways. Input: type byte, body. */
#include "fuzz.h"
#include "fuzz_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(worker_messages, worker_message_count, data, size);
    fuzz_message(reader_messages, reader_message_count, data, size);
    return 0;
}
