/* SPDX-License-Identifier: Apache-2.0 */
/* Process hardening; see harden.h. */
#include "common/harden.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "build-config.h"

int harden_process(void)
{
    const struct rlimit no_core = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        return -errno;
    if (!MTLS_DUMPABLE && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

int harden_standard_fds(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest free descriptor is this one: all below it are open by now. */
        if (open("/dev/null", O_RDWR) < 0)
            return -errno;
    }
    return 0;
}
