/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * child - the unprivileged process: everything that speaks JSON, HTTP, TLS and QMP. Started by the parent with the socket to it as
 * descriptor 3 and the settings as descriptor 4. Ends when the parent has gone; virtual machines outlive both.
 */
#include <stdbool.h>

enum { CHILD_FD_PRIV = 3, CHILD_FD_CONFIG = 4 };

/* selftest_count: 0 = serve. Returns the exit code. */
int child_main(bool selftest, unsigned selftest_count);
