/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tombs - the last generation of VMs that were deleted: a late create with a generation that is over must not bring one back. The oldest are
 * forgotten beyond a limit; in memory only (a create that is late by a restart of this service is found by control's reconcile loop).
 */
#include <stdbool.h>
#include <stdint.h>

struct tombs;

struct tombs *tombs_new(unsigned limit);
void tombs_free(struct tombs *t); /* NULL is fine */
void tombs_put(struct tombs *t, const char *id, uint64_t generation);
bool tombs_covers(const struct tombs *t, const char *id, uint64_t generation); /* generation <= the one that was deleted */
