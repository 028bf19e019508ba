/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reaper - collects every child that ends: those somebody waits for, and, as PID 1, all the orphans of the guest.
 * A pid may be used again only after its callback has been called.
 */
#include <sys/types.h>
#include "common/base/attr.h"

struct loop;
struct reaper;

typedef void reaper_fn(void *arg, int status /* as of waitpid */);

int reaper_new(struct reaper **out, struct loop *l) must_check;
/* Once, right after the fork. */
void reaper_watch(struct reaper *r, pid_t pid, reaper_fn *fn, void *arg);
void reaper_forget(struct reaper *r, pid_t pid); /* nobody wants to know any more; it is still collected */
void reaper_free(struct reaper *r);
