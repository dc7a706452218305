/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for libpcsclite among what is loaded; see pcsc_use.h. */
#include "pkcs11/pcsc_use.h"

#include <dlfcn.h>
#include <string.h>

#define PCSC_LIBRARY "libpcsclite" /* and from Debian 13 on libpcsclite_real beside it */
#define PCSC_SONAME "libpcsclite.so.1"

bool pcsc_is_library(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = sizeof(PCSC_LIBRARY) - 1;

    return strncmp(name, PCSC_LIBRARY, len) == 0 && strstr(name + len, ".so") != NULL;
}

bool pcsc_is_mapped(void)
{
    void *handle = dlopen(PCSC_SONAME, RTLD_LAZY | RTLD_NOLOAD);

    if (handle)
        (void)dlclose(handle);
    return handle != NULL;
}
