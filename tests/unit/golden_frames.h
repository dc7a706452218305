/* SPDX-License-Identifier: Apache-2.0 */
/* The golden frames as they lie in a directory: the manifest's blocks, each with its bytes. libc
 * only: the 32-bit check reads them as well. */
#ifndef MTLS_TESTS_GOLDEN_FRAMES_H
#define MTLS_TESTS_GOLDEN_FRAMES_H

#include "common/wire.h"

#define GOLDEN_FRAMES_MAX 64

struct golden_frame {
    char name[64];
    uint8_t type;
    char *fields; /* the manifest's lines, without comments */
    uint8_t *data;
    size_t len;
};

struct golden_frames {
    size_t count;
    struct golden_frame frames[GOLDEN_FRAMES_MAX];
};

/**
 * golden_frames_load() - read DIR/manifest and the .hex file of each block
 * @ret_frames: filled; golden_frames_deinit() releases it, also after a failure
 *
 * Return: 0, or -errno; the first problem is printed on stderr.
 */
int golden_frames_load(const char *dir, struct golden_frames *ret_frames) _must_check_;
void golden_frames_deinit(struct golden_frames *frames);

#endif
