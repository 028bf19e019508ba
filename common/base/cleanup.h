/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cleanup - scope-bound release of local resources.
 *
 *     cleanup(freep) char *path = NULL;
 *     cleanup(fd_closep) int fd = -1;
 *     ...
 *     *out = take_ptr(&path);     // hand over: the scope no longer owns it
 */
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

#define take_ptr(pp)                                                                               \
    ({                                                                                             \
        __typeof__(pp) take_pp_ = (pp);                                                            \
        __typeof__(*take_pp_) take_v_ = *take_pp_;                                                 \
        *take_pp_ = NULL;                                                                          \
        take_v_;                                                                                   \
    })

static inline int take_fd(int *fd)
{
    int v = *fd;

    *fd = -1;
    return v;
}

static inline void freep(void *pp)
{
    void **p = (void **) pp;

    free(*p);
    *p = NULL;
}

/* Closes *fd if it is >= 0 and sets it to -1. errno is kept. */
void fd_closep(int *fd);
