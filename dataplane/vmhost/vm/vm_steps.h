/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* vm_steps - parts that the flows of a VM share. */
#include "dataplane/vmhost/vm/vm.h"

/* worker threads: arg is the struct vm, of which they read j and write what their name says; the flow waits for them */
int vm_work_journal(void *arg, struct err *e);

int vm_step_settle(struct flow *f, void *arg, struct err *e); /* no save of the journal is under way */
int vm_step_slot(struct flow *f, void *arg, struct err *e);  /* takes one */
int vm_undo_slot(struct flow *f, void *arg);                 /* gives it back and waits until it is clean */
int vm_step_state(struct flow *f, void *arg, struct err *e); /* until the device state is loaded */
int vm_step_run(struct flow *f, void *arg, struct err *e);   /* cont, and it must run */
int vm_step_init(struct flow *f, void *arg, struct err *e);  /* the agent accepts init */
int vm_undo_init(struct flow *f, void *arg);
int vm_undo_qemu(struct flow *f, void *arg);
int vm_step_commit(struct flow *f, void *arg, struct err *e); /* pid, start time, state: durable */
/* The handle of the process; started: the monitor answers. */
int vm_start_machine(struct vm *v, unsigned mode, struct err *e);
/* "-> <status>" of query-status, in place; NULL when it is none. */
const char *vm_status_text(const struct json *data);
void vm_cancel(struct vm *v); /* what the current step waits for */
void vm_forget_secrets(struct vm *v); /* wipes the env */
