/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * vm - one sandbox's virtual machine on this host: made by restoring a template snapshot, ended by its deadline, by control, by its guest
 * or by an accident, adopted again after a crash of this service. vm_set_state() alone changes the state.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/json/json.h"
#include "common/wire/host_api.h"
#include "dataplane/vmhost/vm/flow.h"
#include "dataplane/vmhost/vm/journal.h"

struct agent;
struct host;
struct machine;
struct op;
struct template;
struct timer;

enum vm_state {
    VM_CREATING, /* the create flow runs, or is being undone */
    VM_RUNNING,
    VM_STOPPING, /* the end flow runs */
    VM_GONE,     /* nothing of it is left but the entry that tells control */
    VM_STATE_COUNT,
};
const char *vm_state_name(enum vm_state s);
bool vm_state_may_follow(enum vm_state from, enum vm_state to);

/* Why a create did not work: the API's codes. */
enum vm_error {
    VM_OK, VM_E_FAILED, VM_E_STALE, VM_E_ENDING, VM_E_NO_CAPACITY, VM_E_NO_TEMPLATE, VM_E_TEMPLATE_BUILDING, VM_E_TEMPLATE_FAILED,
    VM_E_SIZE, VM_E_INVALID,
};

struct vm {
    struct host *host;
    struct list node;              /* in vms */
    enum vm_state state;
    struct journal_entry j;        /* the facts; id, generation, slot, deadline ... */
    struct machine *machine;       /* owned */
    struct agent *agent;           /* owned, while init is under way */
    struct flow flow;              /* create, adopt, reboot or end */
    struct op *op;                 /* what the current step waits for */
    struct timer *timer;           /* owned: the current step's pauses */
    struct timer *deadline;        /* owned */
    struct template *template;     /* owned reference */
    struct arena *arena;           /* owned: env. In memory only: after a restart of this service a guest that resets has none */
    struct json_map env;
    /* while it is made */
    int qmp_listener, disk;        /* owned between steps, -1 */
    uint64_t poll_until_ms;
    struct host_timings timings;
    bool has_timings;
    uint64_t began_ns;
    /* how it ends */
    bool forget;                   /* control asked for its end: no entry stays */
    bool undone;                   /* a create that was cut by a crash: the same generation may come again */
    bool leaving;                  /* the end of QEMU is wanted: a cold boot follows */
    bool end_wanted;               /* in the middle of another flow: end afterwards, or undo */
    char end_reason[24];
    bool adopting;                 /* the start of the service waits for it */
    bool io_error;                 /* stopped for want of disk space */
    struct timer *io_retry;        /* owned */
    bool saving, save_again, flow_waits_for_save; /* vm_save.c */
    struct list waiters;           /* struct vm_waiter: creates */
    struct list save_waiters;      /* struct vm_waiter: new deadlines */
    struct list end_waiters;       /* struct vm_waiter: deletes */
};

void vm_set_state(struct vm *v, enum vm_state to);
void vm_describe(const struct vm *v, struct host_vm *out); /* borrowed from v */
bool vm_is_internal(const struct vm *v); /* a test of a template: not told to anybody */

extern const struct flow_step vm_create_steps[], vm_end_steps[], vm_adopt_steps[], vm_reboot_steps[];

/* vm_watch.c */
void vm_machine_open(struct vm *v);  /* makes v->machine */
void vm_arm_deadline(struct vm *v);
void vm_watch_io_error(struct vm *v); /* it was found stopped by a disk failure */
void vm_io_error_clear(struct vm *v);

/* vms.c */
void vm_end(struct vm *v, const char *reason); /* idempotent; the first reason stands */
