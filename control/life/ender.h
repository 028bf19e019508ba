/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ender - ends VMs on their hosts in the background, for rows that have ended in the database:
 * DELETE to the host, then the row's room is free. Nothing is lost when it fails: the host's next
 * report names the VM and it is asked again. One call a sandbox at a time.
 */
#include <stdint.h>
#include "common/base/attr.h"

struct db;
struct ender;
struct fleet;
struct host_clients;
struct loop;
struct op;

struct ender *ender_new(struct loop *l, struct db *db, struct fleet *f, struct host_clients *h,
                        uint32_t call_ms);
void ender_free(struct ender *e); /* NULL is fine */

/* actor: who ends it, for the events. */
void ender_end(struct ender *e, int64_t host_id, int64_t sandbox_id, int64_t generation,
               const char *actor);
/* As above, and tells when the host has answered (HOST_*); op_cancel() stops waiting, not the
 * ending. */
typedef void ender_done_fn(void *arg, int outcome);
void ender_end_wait(struct ender *e, int64_t host_id, int64_t sandbox_id, int64_t generation,
                    const char *actor, struct op **slot, ender_done_fn *done, void *arg);
