/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * input - what clients send to a process, on its way into its stdin pipe or terminal. In order; each item is answered once, when the
 * process (its pipe) has taken all its bytes or when that can no longer happen. Bounded: an item beyond the limit is refused.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"

struct io;
struct loop;

/* One message of the largest size always fits behind what is under way. */
enum { INPUT_BYTES_MAX = 2 * MIB };

struct input_ref { /* who wants the answer */
    uint64_t link;
    uint32_t req;
};

enum input_result { INPUT_TAKEN, INPUT_CLOSED, INPUT_FULL, INPUT_NONE /* was never open */ };
typedef void input_done_fn(void *arg, const struct input_ref *ref, enum input_result r);

struct input_budget { /* of all processes together */
    size_t bytes, bytes_max;
};

struct input {
    int fd; /* owned; -1 = closed or none */
    bool terminal;
    bool opened;
    bool ready; /* the program runs: bytes may flow */
    struct io *io;
    struct list items;
    size_t bytes;
    struct input_budget *budget; /* borrowed */
    input_done_fn *done;
    void *arg;
};

void input_init(struct input *in, struct loop *l, int fd /* taken, or -1 */, bool terminal, struct input_budget *budget,
                input_done_fn *done, void *arg);
void input_deinit(struct input *in); /* answers what is left with INPUT_CLOSED */
void input_start(struct input *in);  /* the program runs */
void input_write(struct input *in, const struct input_ref *ref, const void *p, size_t len);
/* After what is queued: closes the pipe; on a terminal sends its end-of-file character. */
void input_close(struct input *in, const struct input_ref *ref);
/* The process has gone. */
void input_fail(struct input *in);
