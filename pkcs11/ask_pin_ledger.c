/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of refused PINs: a small text file, one line for each token that refused one, or may
 * have, since it last took one, or to which a source gave a wrong one. Written here and not in the
 * core, as the disk may let us wait: under a lock, since other tokens' ask-pins write it too, and
 * always as a whole. Never what was in a PIN.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "pkcs11/ask_pin.h"

#define LEDGER_SIZE_MAX (256u * 1024u)

/* Makes the directories that are missing, for us alone. Errors show when the file is opened. */
static void ledger_make_folders(const char *path)
{
    char folder[PATH_MAX];

    for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        if ((size_t)(at - path) >= sizeof(folder))
            return;
        memcpy(folder, path, (size_t)(at - path));
        folder[at - path] = '\0';
        (void)mkdir(folder, 0700);
    }
}

static int ledger_open_folder(const char *path, const char **ret_name)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path || (size_t)(slash - path) >= sizeof(folder))
        return -EINVAL;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    ledger_make_folders(path);
    *ret_name = slash + 1;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The old content, "" when there is none yet. */
static int ledger_read(int folder, const char *name, char **ret_text)
{
    _cleanup_close_ int fd =
        openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    _cleanup_free_ char *text = malloc(LEDGER_SIZE_MAX + 1);
    size_t len = 0;
    ssize_t got = 1;

    if (!text)
        return -ENOMEM;
    if (fd < 0 && errno != ENOENT)
        return -errno;
    while (fd >= 0 && got > 0 && len < LEDGER_SIZE_MAX) {
        got = read(fd, text + len, LEDGER_SIZE_MAX - len);
        if (got < 0)
            return -errno;
        len += (size_t)got;
    }
    text[len] = '\0';
    *ret_text = TAKE_PTR(text);
    return 0;
}

static bool ledger_is_of(const char *line, struct wire_span token)
{
    return token.data && strncmp(line, (const char *)token.data, token.len) == 0 &&
           line[token.len] == ' ';
}

/* Every line but the token's, then its new one. False when nothing has changed. */
static bool ledger_edit(const char *old, const struct pin_record *record, const char *source,
                        struct wire_writer *writer)
{
    bool has_changed = record->facts.len > 0;

    for (const char *line = old; *line;) {
        size_t len = strcspn(line, "\n");
        if (ledger_is_of(line, record->token)) {
            has_changed = true;
        } else if (len > 0) {
            wire_put_raw(writer, line, len);
            wire_put_raw(writer, "\n", 1);
        }
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    if (record->facts.len == 0)
        return has_changed;
    struct wire_span own = wire_span_from_text(source);
    struct wire_span shown = record->source.len > 0 ? record->source : own;
    wire_put_raw(writer, record->token.data, record->token.len);
    wire_put_raw(writer, " ", 1);
    wire_put_raw(writer, record->facts.data, record->facts.len);
    wire_put_raw(writer, " source=", 8);
    wire_put_raw(writer, shown.data, shown.len);
    wire_put_raw(writer, "\n", 1);
    return has_changed;
}

/*
 * Beside the old one, then over it. The directory is not synced: were the new name lost with the
 * machine's power, the older ledger would cost one try at most.
 */
static int ledger_replace(int folder, const char *name, const struct wire_writer *content)
{
    char part[NAME_MAX + 1];

    if ((size_t)snprintf(part, sizeof(part), "%s.new", name) >= sizeof(part))
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = openat(
        folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < content->len;) {
        ssize_t written = write(fd, content->data + done, content->len - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        done += (size_t)written;
    }
    if (fsync(fd) < 0 || renameat(folder, part, folder, name) < 0)
        return -errno;
    return 0;
}

int ask_pin_ledger_write(const char *path, const struct pin_record *record, const char *source)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer content = {.max = LEDGER_SIZE_MAX};
    _cleanup_free_ char *old = NULL;
    const char *name = NULL;
    _cleanup_close_ int folder = ledger_open_folder(path, &name);

    if (folder < 0)
        return folder;
    if (flock(folder, LOCK_EX) < 0)
        return -errno;
    int r = ledger_read(folder, name, &old);
    if (r || !old)
        return r;
    if (!ledger_edit(old, record, source, &content))
        return 0;
    return content.failed ? -EFBIG : ledger_replace(folder, name, &content);
}
