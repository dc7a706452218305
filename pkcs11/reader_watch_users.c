/* SPDX-License-Identifier: Apache-2.0 */
/* Programs with libpcsclite; see reader_watch_users.h. */
#include "pkcs11/reader_watch_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "pkcs11/pcsc_use.h"
#include "pkcs11/text.h"

#define USERS_COMM_MAX 64u /* the kernel's limit is 16 */
#define USERS_SHOWN_MAX 4u

static FILE *users_open(pid_t pid, const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* A process that may not be looked into belongs to root there, and is passed over. */
static bool users_is_own(pid_t pid)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* The parent; the name before it may hold blanks and parentheses. 0: not known. */
static pid_t users_parent(pid_t pid)
{
    _cleanup_fclose_ FILE *file = users_open(pid, "stat");
    char line[512];

    if (!file || !fgets(line, sizeof(line), file))
        return 0;
    /* ") S 4711 ..." */
    const char *end = strrchr(line, ')');
    return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

static bool users_has_library(pid_t pid)
{
    _cleanup_fclose_ FILE *file = users_open(pid, "maps");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;

    while (file && getline(&line, &size, file) > 0) {
        const char *path = strchr(line, '/');
        if (path && pcsc_is_library(path))
            return true;
    }
    return false;
}

/* The program's name as the kernel has it; any bytes, made fit for a message. */
static void users_name(pid_t pid, char *name, size_t size)
{
    _cleanup_fclose_ FILE *file = users_open(pid, "comm");
    char raw[USERS_COMM_MAX] = "";
    size_t len = file ? fread(raw, 1, sizeof(raw) - 1, file) : 0;

    while (len > 0 && raw[len - 1] == '\n')
        len--;
    len = text_clean((struct wire_span){(const uint8_t *)raw, len}, name, size - 1);
    name[len] = '\0';
}

static void users_append(pid_t pid, char *text, size_t size)
{
    size_t used = strlen(text);
    char name[3 * USERS_COMM_MAX];

    users_name(pid, name, sizeof(name));
    int len = snprintf(text + used, size - used, "%s%s (pid %d)", used > 0 ? ", " : "",
                       name[0] ? name : "a program", (int)pid);
    if (len < 0 || (size_t)len >= size - used)
        text[used] = '\0'; /* never half a name */
}

void users_describe(pid_t agent, char *text, size_t size)
{
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    struct dirent *entry = NULL;
    size_t count = 0;

    text[0] = '\0';
    while (proc && count < USERS_SHOWN_MAX && (entry = readdir(proc))) {
        char *end = NULL;
        pid_t pid = (pid_t)strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 0 || pid == agent || !users_is_own(pid) ||
            users_parent(pid) == agent || !users_has_library(pid))
            continue;
        users_append(pid, text, size);
        count++;
    }
}
