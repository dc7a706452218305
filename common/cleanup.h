/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound ownership: every owned variable is declared with one of these attributes and
 * initialised where it stands; TAKE_PTR() and TAKE_FD() spell the hand-over. Header only, libc
 * only.
 */
#ifndef MTLS_COMMON_CLEANUP_H
#define MTLS_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Ownership moves out of the variable, which is empty afterwards. */
#define TAKE_PTR(ptr)                             \
    __extension__({                               \
        __typeof__(ptr) *take_ptr_ = &(ptr);      \
        __typeof__(ptr) take_value_ = *take_ptr_; \
        *take_ptr_ = NULL;                        \
        take_value_;                              \
    })

#define TAKE_FD(fd)                  \
    __extension__({                  \
        int *take_fd_ = &(fd);       \
        int take_value_ = *take_fd_; \
        *take_fd_ = -1;              \
        take_value_;                 \
    })

/**
 * close_fd() - close a descriptor without disturbing errno
 * @fd:         descriptor, or negative for none
 *
 * Return: -1, so that `fd = close_fd(fd)` leaves an empty variable.
 */
static inline int close_fd(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return -1;
}

static inline void cleanup_free(void *ptr)
{
    free(*(void **)ptr);
}

static inline void cleanup_close(int *fd)
{
    *fd = close_fd(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static inline void cleanup_closedir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

/* Defines cleanup_<name>() for a type whose destructor is `fn(ptr)`. */
#define DEFINE_CLEANUP(type, name, fn)           \
    static inline void cleanup_##name(type *ptr) \
    {                                            \
        if (*ptr)                                \
            fn(*ptr);                            \
    }

#endif
