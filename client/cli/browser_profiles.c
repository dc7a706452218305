/* SPDX-License-Identifier: Apache-2.0 */
/* Where browsers keep their NSS databases; see browser_profiles.h. */
#include "client/cli/browser_profiles.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "client/cli/own_file.h"

#define PROFILES_INI_MAX (1024u * 1024u)

/* Directories that hold a profiles.ini, below the home directory. */
static const struct {
    const char *browser;
    const char *dir;
    bool is_sandboxed;
} profiles_mozilla[] = {
    {"Firefox", ".mozilla/firefox", false},
    {"Firefox", ".config/mozilla/firefox", false},
    {"Thunderbird", ".thunderbird", false},
    {"LibreWolf", ".librewolf", false},
    {"Firefox (snap)", "snap/firefox/common/.mozilla/firefox", true},
    {"Firefox (flatpak)", ".var/app/org.mozilla.firefox/.mozilla/firefox", true},
};

/* A database below the home directory, and where the browser's user data are. */
static const struct {
    const char *browser;
    const char *dir;
    const char *data;
    bool is_sandboxed;
} profiles_chromium[] = {
    {"Chromium", ".pki/nssdb", ".config/chromium", false},
    {"Chrome", ".pki/nssdb", ".config/google-chrome", false},
    {"Chromium (snap)", "snap/chromium/current/.pki/nssdb", "snap/chromium/common/chromium", true},
    {"Chromium (flatpak)", ".var/app/org.chromium.Chromium/.pki/nssdb",
     ".var/app/org.chromium.Chromium/config/chromium", true},
};

void browser_profiles_deinit(struct browser_profiles *profiles)
{
    for (size_t i = 0; i < profiles->count; i++) {
        free(profiles->entries[i].dir);
        free(profiles->entries[i].lock_dir);
    }
    free(profiles->entries);
    *profiles = BROWSER_PROFILES_INIT;
}

static bool profiles_have(const struct browser_profiles *profiles, const char *dir)
{
    for (size_t i = 0; i < profiles->count; i++)
        if (strcmp(profiles->entries[i].dir, dir) == 0)
            return true;
    return false;
}

/* @lock_dir: NULL: not known. */
static int profiles_append(struct browser_profiles *profiles, struct browser_profile profile,
                           const char *dir, const char *lock_dir)
{
    if (profiles_have(profiles, dir))
        return 0;
    struct browser_profile *entries =
        reallocarray(profiles->entries, profiles->count + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    profiles->entries = entries;
    profile.dir = strdup(dir);
    profile.lock_dir = lock_dir ? strdup(lock_dir) : NULL;
    if (!profile.dir || (lock_dir && !profile.lock_dir)) {
        free(profile.dir);
        free(profile.lock_dir);
        return -ENOMEM;
    }
    entries[profiles->count++] = profile;
    return 0;
}

int browser_profiles_add(struct browser_profiles *profiles, const char *dir)
{
    return profiles_append(profiles, (struct browser_profile){.browser = "the profile"}, dir, dir);
}

/* NAME= at the beginning of a line; its value's length. */
static const char *profiles_value(const char *line, const char *name, size_t *ret_len)
{
    size_t len = strlen(name);

    if (strncasecmp(line, name, len) != 0 || line[len] != '=')
        return NULL;
    *ret_len = strcspn(line + len + 1, "\r\n");
    return line + len + 1;
}

int browser_profiles_parse_ini(const char *text,
                               int (*found)(void *userdata, const char *path, bool is_relative),
                               void *userdata)
{
    char path[PATH_MAX] = "";
    bool is_relative = true;
    const char *line = text;

    for (;;) {
        size_t len = 0;
        const char *value = NULL;
        /* A section ends where the next one begins, and at the end of the file. */
        if (*line == '[' || *line == '\0') {
            int r = *path ? found(userdata, path, is_relative) : 0;
            if (r || *line == '\0')
                return r;
            path[0] = '\0';
            is_relative = true;
        } else if ((value = profiles_value(line, "Path", &len))) {
            (void)snprintf(path, sizeof(path), "%.*s", (int)len, value);
        } else if ((value = profiles_value(line, "IsRelative", &len))) {
            is_relative = len != 1 || *value != '0';
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

/* What the profiles of one profiles.ini have in common. */
struct profiles_place {
    struct browser_profiles *profiles;
    struct browser_profile profile;
    const char *dir;
};

static int profiles_on_found(void *userdata, const char *path, bool is_relative)
{
    const struct profiles_place *place = userdata;
    _cleanup_free_ char *dir = NULL;
    struct stat st;

    if (asprintf(&dir, "%s%s%s", is_relative ? place->dir : "", is_relative ? "/" : "", path) < 0) {
        dir = NULL;
        return -ENOMEM;
    }
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    return profiles_append(place->profiles, place->profile, dir, dir);
}

static int profiles_find_mozilla(const char *home, struct browser_profiles *profiles)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(profiles_mozilla); i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer text = {0};
        _cleanup_free_ char *dir = NULL;
        _cleanup_free_ char *ini = NULL;
        if (asprintf(&dir, "%s/%s", home, profiles_mozilla[i].dir) < 0) {
            dir = NULL;
            return -ENOMEM;
        }
        if (asprintf(&ini, "%s/profiles.ini", dir) < 0) {
            ini = NULL;
            return -ENOMEM;
        }
        wire_writer_init(&text, PROFILES_INI_MAX);
        if (own_file_read(ini, &text))
            continue;
        struct profiles_place place = {
            .profiles = profiles,
            .profile = {.browser = profiles_mozilla[i].browser,
                        .is_sandboxed = profiles_mozilla[i].is_sandboxed},
            .dir = dir,
        };
        r = browser_profiles_parse_ini((const char *)text.data, profiles_on_found, &place);
    }
    return r;
}

static int profiles_find_chromium(const char *home, struct browser_profiles *profiles)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(profiles_chromium); i++) {
        _cleanup_free_ char *dir = NULL;
        _cleanup_free_ char *data = NULL;
        if (asprintf(&dir, "%s/%s", home, profiles_chromium[i].dir) < 0) {
            dir = NULL;
            return -ENOMEM;
        }
        if (asprintf(&data, "%s/%s", home, profiles_chromium[i].data) < 0) {
            data = NULL;
            return -ENOMEM;
        }
        if (access(dir, F_OK) < 0 && access(data, F_OK) < 0)
            continue;
        r = profiles_append(
            profiles,
            (struct browser_profile){.browser = profiles_chromium[i].browser,
                                     .is_sandboxed = profiles_chromium[i].is_sandboxed,
                                     .may_be_missing = true},
            dir, data);
    }
    return r;
}

int browser_profiles_find(const char *home, struct browser_profiles *profiles)
{
    int r = profiles_find_mozilla(home, profiles);

    return r ? r : profiles_find_chromium(home, profiles);
}

/* Firefox holds a lock of fcntl(2) on this file as long as it runs. */
static bool profile_has_file_lock(const char *dir)
{
    _cleanup_free_ char *path = NULL;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (asprintf(&path, "%s/.parentlock", dir) < 0) {
        path = NULL;
        return false;
    }
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Chromium's lock is a symbolic link to "HOST-PID"; it stays behind after a crash. */
static bool profile_has_link_lock(const char *dir)
{
    _cleanup_free_ char *path = NULL;
    char target[256];

    if (asprintf(&path, "%s/SingletonLock", dir) < 0) {
        path = NULL;
        return false;
    }
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    const char *dash = strrchr(target, '-');
    long pid = dash ? strtol(dash + 1, NULL, 10) : 0;
    return pid > 0 && pid <= INT_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

bool browser_profile_is_in_use(const struct browser_profile *profile)
{
    return profile->lock_dir &&
           (profile_has_file_lock(profile->lock_dir) || profile_has_link_lock(profile->lock_dir));
}
