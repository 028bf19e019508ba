/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* selftest - the whole cycle on this machine: templates (made when they are missing), create, init, destroy; timings on standard output. */

struct host;
struct selftest;

typedef void selftest_done_fn(void *arg, int exit_code);
struct selftest *selftest_start(struct host *h, unsigned count, selftest_done_fn *done, void *arg);
void selftest_free(struct selftest *t); /* NULL is fine */
