/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module that tries, when it is loaded, what a token worker may not do, and says on standard
 * error what came of it, as one line of name=errno. Then it is as good as the one that
 * $BAD_MODULE_BEHIND names.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/sched.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static int try_memory_of_core(void)
{
    return (int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static int try_mount(void)
{
    return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int try_shell(void)
{
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 0"}, NULL};

    return execv("/bin/sh", argv);
}

static int try_keyring(void)
{
    return (int)syscall(SYS_keyctl, 0, -3, 0, 0, 0); /* KEYCTL_GET_KEYRING_ID, of the session */
}

static int try_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_io_uring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int try_user_namespace(void)
{
    return (int)syscall(SYS_unshare, CLONE_NEWUSER);
}

static int try_kill_core(void)
{
    return kill(getppid(), SIGKILL);
}

static int try_limits_of_core(void)
{
    const struct rlimit none = {0, 0};

    return prlimit(getppid(), RLIMIT_NOFILE, &none, NULL);
}

static int try_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int try_packets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
    {"ptrace", try_ptrace},       {"memory-of-core", try_memory_of_core},
    {"mount", try_mount},         {"shell", try_shell},
    {"keyring", try_keyring},     {"bpf", try_bpf},
    {"io-uring", try_io_uring},   {"user-namespace", try_user_namespace},
    {"kill-core", try_kill_core}, {"limits-of-core", try_limits_of_core},
    {"dumpable", try_dumpable},   {"packets", try_packets},
};

__attribute__((constructor)) static void try_everything(void)
{
    char line[480] = "forbidden:";

    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        size_t len = strlen(line);
        int error = attempts[i].attempt() < 0 ? errno : 0;
        (void)snprintf(line + len, sizeof(line) - len, " %s=%d", attempts[i].name, error);
    }
    (void)dprintf(STDERR_FILENO, "%s\n", line);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    const char *path = getenv("BAD_MODULE_BEHIND");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;

    if (module)
        *(void **)&get_list = dlsym(module, "C_GetFunctionList");
    return get_list ? get_list(list) : CKR_GENERAL_ERROR;
}
