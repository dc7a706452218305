/* SPDX-License-Identifier: Apache-2.0 */
/* The NSS databases of a user's browsers: one for each Firefox profile, one for all of Chromium. */
#ifndef MTLS_CLI_BROWSER_PROFILES_H
#define MTLS_CLI_BROWSER_PROFILES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

struct browser_profile {
    const char *browser; /* "Firefox", "Chromium", ... */
    char *dir;           /* owned; of the database */
    char *lock_dir;      /* owned; where a running browser has its lock; NULL: not known */
    bool is_sandboxed;   /* snap, flatpak: the browser sees neither the module nor the socket */
    bool may_be_missing; /* Chromium makes the directory when it first starts */
};

struct browser_profiles {
    struct browser_profile *entries; /* owned */
    size_t count;
};

#define BROWSER_PROFILES_INIT ((struct browser_profiles){0})

/**
 * browser_profiles_find() - all that a home directory has, each once
 * @home:       borrowed
 *
 * Return: 0, or -ENOMEM.
 */
int browser_profiles_find(const char *home, struct browser_profiles *profiles) _must_check_;

/** browser_profiles_add() - one that the user has named. Return: 0, or -ENOMEM. */
int browser_profiles_add(struct browser_profiles *profiles, const char *dir) _must_check_;

void browser_profiles_deinit(struct browser_profiles *profiles);

/** browser_profile_is_in_use() - a browser that runs now has it open. */
bool browser_profile_is_in_use(const struct browser_profile *profile);

/**
 * browser_profiles_parse_ini() - the profiles of one profiles.ini
 * @text:       of the file, NUL-terminated
 * @found:      called for each; @path is absolute, or below the directory of the file
 *
 * Pure. Return: 0, or the first that @found gave else.
 */
int browser_profiles_parse_ini(const char *text,
                               int (*found)(void *userdata, const char *path, bool is_relative),
                               void *userdata) _must_check_;

#define _cleanup_browser_profiles_ _cleanup_(browser_profiles_deinit)

#endif
