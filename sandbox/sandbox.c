/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of system calls with libseccomp; see sandbox.h. */
#include "sandbox/sandbox.h"

#include "build-config.h"

#if MTLS_SANDBOX

#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

DEFINE_CLEANUP(scmp_filter_ctx, filter, seccomp_release)

/* By name: one that an older libseccomp or this kind of machine does not have is left out. */
static const char *const sandbox_core_calls[] = {
    /* other processes */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "perf_event_open",
    /* code in the kernel */
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    /* the tree of files */
    "mount",
    "umount",
    "umount2",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "open_by_handle_at",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    /* namespaces; clone() is below */
    "unshare",
    "setns",
    /* where holes are found again and again, and that nothing here uses */
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "fanotify_init",
    "lookup_dcookie",
    "modify_ldt",
    "vm86",
    "vm86old",
    "iopl",
    "ioperm",
    "syslog",
    /* the machine */
    "reboot",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_settime64",
    "acct",
    "vhangup",
};

static const char *const sandbox_worker_calls[] = {
    "execve", "execveat", "add_key", "request_key", "keyctl", "tkill", "pidfd_send_signal",
};

/* PIN commands look up hosts and talk to user daemons, modules of network HSMs to their machine. */
static const int sandbox_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* The flags of clone() that make a namespace. CLONE_NEWTIME has none there. */
static const uint64_t sandbox_namespaces[] = {
    CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET,
};

#ifdef __s390__
#define SANDBOX_CLONE_FLAGS 1u /* the argument's place */
#else
#define SANDBOX_CLONE_FLAGS 0u
#endif

/* Everything is allowed so far. */
static int sandbox_new(bool is_logged, scmp_filter_ctx *ret_filter)
{
    _cleanup_(cleanup_filter) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter)
        return -ENOMEM;
    /* calls of another ABI (32-bit, x32) would go past what is refused by number */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (!r)
        r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (r)
        return r;
    /* where the kernel can log (Linux 4.14) */
    if (is_logged)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    *ret_filter = TAKE_PTR(filter);
    return 0;
}

static int sandbox_load(scmp_filter_ctx filter)
{
    int r = seccomp_load(filter);

    return r == -EINVAL || r == -ENOSYS ? SANDBOX_E_UNAVAILABLE : r;
}

static int sandbox_refuse(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    int r = 0;

    for (size_t i = 0; !r && i < count; i++) {
        int call = seccomp_syscall_resolve_name(names[i]);
        if (call >= 0)
            r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    }
    return r;
}

/*
 * Where arguments decide. Those of 32 bits are compared as the kernel takes them, without what
 * stands above. "Exact", as libseccomp leaves out arguments which it cannot see (socketcall() of
 * 32-bit x86), and would refuse every socket.
 */
static int sandbox_refuse_if(scmp_filter_ctx filter, int error, int call,
                             const struct scmp_arg_cmp *conditions, unsigned int count)
{
    int r = seccomp_rule_add_exact_array(filter, SCMP_ACT_ERRNO((uint32_t)error), call, count,
                                         conditions);

    return call < 0 || r == -EINVAL ? 0 : r;
}

static struct scmp_arg_cmp sandbox_equals(unsigned int argument, uint32_t value)
{
    return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, value);
}

static bool sandbox_is_family(int family)
{
    for (size_t i = 0; i < ARRAY_SIZE(sandbox_families); i++)
        if (sandbox_families[i] == family)
            return true;
    return false;
}

/* One rule for each, as a rule can look at an argument only once. */
static int sandbox_refuse_families(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp beyond = SCMP_CMP64(0, SCMP_CMP_GT, AF_NETLINK);
    int r = sandbox_refuse_if(filter, EAFNOSUPPORT, SCMP_SYS(socket), &beyond, 1);

    for (int family = 0; !r && family <= AF_NETLINK; family++) {
        const struct scmp_arg_cmp is_it = sandbox_equals(0, (uint32_t)family);
        if (!sandbox_is_family(family))
            r = sandbox_refuse_if(filter, EAFNOSUPPORT, SCMP_SYS(socket), &is_it, 1);
    }
    return r;
}

static int sandbox_refuse_namespaces(scmp_filter_ctx filter)
{
    int r = 0;

    for (size_t i = 0; !r && i < ARRAY_SIZE(sandbox_namespaces); i++) {
        const struct scmp_arg_cmp has_flag = SCMP_CMP64(
            SANDBOX_CLONE_FLAGS, SCMP_CMP_MASKED_EQ, sandbox_namespaces[i], sandbox_namespaces[i]);
        r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(clone), &has_flag, 1);
    }
    return r;
}

/* Pushing bytes into the input of the terminal that the agent was started from. */
static int sandbox_refuse_typing(scmp_filter_ctx filter)
{
    static const uint32_t requests[] = {TIOCSTI, TIOCLINUX};
    int r = 0;

    for (size_t i = 0; !r && i < ARRAY_SIZE(requests); i++) {
        const struct scmp_arg_cmp is_it = sandbox_equals(1, requests[i]);
        r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(ioctl), &is_it, 1);
    }
    return r;
}

/*
 * clone3() has its flags in memory, where no filter sees them. libc takes clone() when it is told
 * that there is none. A filter of its own: this is no offence, so it is not logged.
 */
static int sandbox_hide_clone3(void)
{
    _cleanup_(cleanup_filter) scmp_filter_ctx filter = NULL;
    int call = seccomp_syscall_resolve_name("clone3");
    int r = sandbox_new(false, &filter);

    if (!r && call >= 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
    return r ? r : sandbox_load(filter);
}

int sandbox_enter_core(void)
{
    _cleanup_(cleanup_filter) scmp_filter_ctx filter = NULL;
    int r = sandbox_new(true, &filter);

    if (!r)
        r = sandbox_refuse(filter, sandbox_core_calls, ARRAY_SIZE(sandbox_core_calls));
    if (!r)
        r = sandbox_refuse_families(filter);
    if (!r)
        r = sandbox_refuse_namespaces(filter);
    if (!r)
        r = sandbox_refuse_typing(filter);
    if (!r)
        r = sandbox_load(filter);
    return r ? r : sandbox_hide_clone3();
}

/* Whoever is made the owner of a descriptor gets its SIGIO, or any other signal, and dies of it: a
 * way around all that is refused of kill(). */
static int sandbox_refuse_owners(scmp_filter_ctx filter)
{
    static const uint32_t commands[] = {F_SETOWN, F_SETOWN_EX};
    static const uint32_t requests[] = {FIOSETOWN, SIOCSPGRP};
    int r = 0;

    for (size_t i = 0; !r && i < ARRAY_SIZE(commands); i++) {
        const struct scmp_arg_cmp is_it = sandbox_equals(1, commands[i]);
        r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(fcntl), &is_it, 1);
        if (!r)
            r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(fcntl64), &is_it, 1);
    }
    for (size_t i = 0; !r && i < ARRAY_SIZE(requests); i++) {
        const struct scmp_arg_cmp is_it = sandbox_equals(1, requests[i]);
        r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(ioctl), &is_it, 1);
    }
    return r;
}

/* Signals and limits: @pid is the worker's own. Signal 0 asks whether a process is there. */
static int sandbox_refuse_others(scmp_filter_ctx filter, pid_t pid)
{
    const struct scmp_arg_cmp kill_other[] = {SCMP_CMP64(0, SCMP_CMP_NE, (uint64_t)pid),
                                              SCMP_CMP64(1, SCMP_CMP_NE, 0)};
    const struct scmp_arg_cmp is_other = SCMP_CMP64(0, SCMP_CMP_NE, (uint64_t)pid);
    const int queueing[] = {SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                            SCMP_SYS(rt_tgsigqueueinfo)};
    /* libc means itself with process 0 */
    const struct scmp_arg_cmp limit_other = SCMP_CMP64(0, SCMP_CMP_NE, 0);
    int r = sandbox_refuse_if(filter, EPERM, SCMP_SYS(kill), kill_other, ARRAY_SIZE(kill_other));

    for (size_t i = 0; !r && i < ARRAY_SIZE(queueing); i++)
        r = sandbox_refuse_if(filter, EPERM, queueing[i], &is_other, 1);
    return r ? r : sandbox_refuse_if(filter, EPERM, SCMP_SYS(prlimit64), &limit_other, 1);
}

static int sandbox_refuse_dumpable(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp conditions[] = {sandbox_equals(0, PR_SET_DUMPABLE),
                                              SCMP_CMP64(1, SCMP_CMP_NE, 0)};

    if (MTLS_DUMPABLE)
        return 0;
    return sandbox_refuse_if(filter, EPERM, SCMP_SYS(prctl), conditions, ARRAY_SIZE(conditions));
}

int sandbox_enter_worker(void)
{
    _cleanup_(cleanup_filter) scmp_filter_ctx filter = NULL;
    int r = sandbox_new(true, &filter);

    if (!r)
        r = sandbox_refuse(filter, sandbox_worker_calls, ARRAY_SIZE(sandbox_worker_calls));
    if (!r)
        r = sandbox_refuse_others(filter, getpid());
    if (!r)
        r = sandbox_refuse_owners(filter);
    if (!r)
        r = sandbox_refuse_dumpable(filter);
    return r ? r : sandbox_load(filter);
}

#else

int sandbox_enter_core(void)
{
    return 0;
}

int sandbox_enter_worker(void)
{
    return 0;
}

#endif
