/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * detached - pipes of processes that have ended while a background child still holds the other end. They are read and thrown away, at a
 * bounded rate, so that the child neither gets SIGPIPE nor hangs.
 */
#include "common/base/list.h"

struct loop;

enum { DETACHED_COUNT_MAX = 1024 }; /* beyond it the oldest is closed */

struct detached {
    struct loop *loop; /* borrowed */
    struct list pipes;
    unsigned count;
};
void detached_init(struct detached *d, struct loop *l);
void detached_add(struct detached *d, int fd /* taken, non-blocking */);
void detached_deinit(struct detached *d);
