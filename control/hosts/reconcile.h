/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reconcile - what is to be done so that a host's report and the database's rows agree. The plan is
 * a pure function of both.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;
struct host_vm;
struct life_row;

enum reconcile_kind {
    RECONCILE_KILL,     /* the host has a VM that nobody wants: DELETE with the VM's generation */
    RECONCILE_DEADLINE, /* the host's deadline is not the row's: tell it */
    RECONCILE_END,      /* the VM has ended by itself, or is lost: the row ends, its room is free */
    RECONCILE_OFF_HOST, /* the row has ended and the host has nothing of it: its room is free */
    RECONCILE_MISSING,  /* the host does not show it: the clock starts */
    RECONCILE_SEEN,     /* the host shows it again */
    RECONCILE_ACK,      /* the host may forget that it has ended */
};

struct reconcile_action {
    enum reconcile_kind kind;
    int64_t id, generation;
    int64_t deadline_ms;        /* DEADLINE: unix ms */
    const char *state, *reason; /* END; constants */
};

struct reconcile_plan {
    struct reconcile_action *items; /* arena */
    size_t count;
};

/* rows: of life_add_of_host() for this host's name, whose id is host_id. -ENOMEM. */
int reconcile_make(int64_t host_id, const struct host_vm *vms, size_t vms_count,
                   const struct life_row *rows, size_t rows_count, int64_t missing_grace_ms,
                   struct arena *a, struct reconcile_plan *out) must_check;
