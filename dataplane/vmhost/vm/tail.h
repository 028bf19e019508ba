/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* tail - reads a descriptor for ever and keeps the last bytes as printable text: what a guest or QEMU says must not fill anything. */
#include <stddef.h>
#include "common/base/attr.h"

struct loop;
struct tail;

typedef void tail_fn(void *arg); /* something was added; may be NULL */
int tail_open(struct tail **out, struct loop *l, int fd /* taken, non-blocking */, size_t bytes_max, tail_fn *fn, void *arg) must_check;
const char *tail_text(const struct tail *t); /* "" for NULL */
void tail_drain(struct tail *t);             /* reads what is there now */
void tail_close(struct tail *t);             /* NULL is fine */
