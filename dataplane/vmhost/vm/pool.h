/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pool - slots: a few are made ahead of time (namespace, tap, cgroup), one is taken per VM, and after the VM it is torn down completely
 * and made anew. A slot's number is its QEMU's uid, so it is not used again before nothing of that uid lives.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

struct host;
struct op;
struct pool;

int pool_new(struct pool **out, struct host *h) must_check;
void pool_free(struct pool *p); /* NULL is fine; slots stay as they are */
/* Begins to fill; before that only pool_reserve() and pool_release() are allowed (adoption). */
void pool_open(struct pool *p);

/* r: 0 with a slot, or -errno with the reason (borrowed). Answers from the loop. */
typedef void pool_taken_fn(void *arg, int r, unsigned slot, const char *text);
int pool_take(struct pool *p, struct op **op_slot, pool_taken_fn *done, void *arg) must_check; /* -ENOSPC: all are in use */
bool pool_reserve(struct pool *p, unsigned slot); /* a VM that was adopted sits there; false: it is taken */
/* Kills what is left in it and cleans it; done (may be NULL) when it is free. Tries until it succeeds. */
typedef void pool_released_fn(void *arg);
void pool_release(struct pool *p, unsigned slot, pool_released_fn *done, void *arg);
void pool_cancel_release(struct pool *p, unsigned slot); /* done will not be called; the cleaning goes on */

/* Asks the parent what exists under our names and cleans what belongs to nobody; every 30 s from pool_open() on. */
typedef void pool_swept_fn(void *arg, int r);
void pool_sweep(struct pool *p, pool_swept_fn *done, void *arg); /* done may be NULL */
unsigned pool_ready(const struct pool *p);
unsigned pool_used(const struct pool *p);
/* While creates run, the refill waits: it would take their CPU. */
void pool_hold(struct pool *p, bool hold);
