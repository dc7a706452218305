/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer over files instead of with libFuzzer: replay DIRECTORY... Every file of every
 * directory is one input, given with nothing readable behind it, and once more cut in the middle.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "fuzz.h"

#define REPLAY_INPUT_MAX (1024 * 1024)

static int replay_bytes(const uint8_t *data, size_t len)
{
    _cleanup_free_ uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        return -ENOMEM;
    if (len > 0)
        memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    return 0;
}

static int replay_file(const char *path)
{
    _cleanup_free_ uint8_t *data = malloc(REPLAY_INPUT_MAX);
    _cleanup_fclose_ FILE *file = fopen(path, "rbe");

    if (!file || !data)
        return -errno;
    size_t len = fread(data, 1, REPLAY_INPUT_MAX, file);
    int r = replay_bytes(data, len);
    return r ? r : replay_bytes(data, len / 2);
}

static int replay_directory(const char *dir, unsigned int *count)
{
    _cleanup_closedir_ DIR *entries = opendir(dir);

    if (!entries)
        return errno == ENOENT ? 0 : -errno; /* not every fuzzer has inputs of both kinds */
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[4096];
        struct stat stat_buf;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (stat(path, &stat_buf) || !S_ISREG(stat_buf.st_mode))
            continue;
        int r = replay_file(path);
        if (r)
            return r;
        (*count)++;
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned int count = 0;

    for (int i = 1; i < argc; i++) {
        int r = replay_directory(argv[i], &count);
        if (r) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
            return 2;
        }
    }
    (void)printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
