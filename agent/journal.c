/* SPDX-License-Identifier: Apache-2.0 */
/* Entries for systemd-journald; see journal.h. */
#include "agent/journal.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/escape.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

bool journal_is_there(void)
{
    return access(JOURNAL_SOCKET, W_OK) == 0;
}

int journal_open(int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* The form with a length, which is right for values with newlines, too. */
void journal_put(struct wire_writer *entry, const char *name, const char *value)
{
    size_t len = strlen(value);
    uint8_t le_len[8];

    for (size_t i = 0; i < sizeof(le_len); i++)
        le_len[i] = (uint8_t)((uint64_t)len >> 8 * i);
    escape_put_raw(entry, name);
    wire_put_u8(entry, '\n');
    wire_put_raw(entry, le_len, sizeof(le_len));
    wire_put_raw(entry, value, len);
    wire_put_u8(entry, '\n');
}

/* Addressed each time: a journald that was restarted may have a socket of its own. */
int journal_send(int fd, const struct wire_writer *entry)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};

    if (entry->failed)
        return -EMSGSIZE;
    ssize_t sent = sendto(fd, entry->data, entry->len, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *)&address, sizeof(address));
    return sent < 0 ? -errno : 0;
}
