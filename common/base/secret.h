/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* secret - bytes that are never printed, compared in constant time and wiped when released. */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

struct err;

struct secret {
    unsigned char *bytes; /* owned; NUL-terminated, not counted */
    size_t len;
};

void secret_set(struct secret *s, const void *bytes, size_t len); /* copies, wipes what was there */
void secret_deinit(struct secret *s);
bool secret_equal(const struct secret *s, const void *bytes, size_t len); /* constant time; empty equals nothing */
/* Reads a file (<= 64 KiB), strips one trailing newline; refuses a file that others may read. */
int secret_load(struct secret *s, const char *path, struct err *e) must_check;
