/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * err - words for an operator or a user, on the caller's stack, without allocation.
 * Functions return int: 0 done; < 0 = -errno, unexpected, forwarded; > 0 = an outcome named in the header of that function.
 * Every helper returns the code so that report-and-return is one line. `e` may be NULL everywhere.
 */
#include "common/base/attr.h"

struct err {
    int code;       /* 0 or what the helper returned */
    char text[500]; /* always terminated */
};

#define ERR_INIT {0}

/* Sets the text; returns code. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* Sets "<text>: <strerror(errno)>"; returns -errno (or -EIO if errno is 0). */
int err_errno(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Puts "<text>: " before what is there; returns code. */
int err_wrap(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* The text, or strerror(-code), never empty. */
const char *err_text(const struct err *e, int code);
