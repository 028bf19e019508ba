/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper - runs a function in a short-lived process of its own: for work that changes what a process is (namespaces, root) or that
 * another program does. Descriptors and one text for the operator come back. Parent only; blocks until the end or the deadline.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct err;
struct helper_pipe;

/* In the helper. Returns 0, or < 0 with the text; may exec (then stderr is the text and the exit code decides). */
typedef int helper_fn(void *arg, struct helper_pipe *out, struct err *e);
int helper_send_fds(struct helper_pipe *out, const int *fds, size_t nfds, struct err *e) must_check;

/* On success exactly nfds descriptors are in fds (owned by the caller). nfds may be 0. */
int helper_run(helper_fn *fn, void *arg, uint32_t deadline_ms, int *fds, size_t nfds, struct err *e) must_check;
