/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* vms - all virtual machines of this host: create or find, end, deadlines, capacity, adoption after a restart. */
#include <stdint.h>
#include "dataplane/vmhost/vm/vm.h"

struct err;
struct host;
struct vms;

struct vms_usage {
    int64_t vcpus, memory_mb, vms;
};

int vms_new(struct vms **out, struct host *h) must_check;
void vms_free(struct vms *s); /* NULL is fine; QEMUs go on */

/* Reads the journal, adopts what runs, finishes or undoes what was under way, then cleans what belongs to nobody. done once all is settled. */
typedef void vms_ready_fn(void *arg, int r);
int vms_adopt(struct vms *s, vms_ready_fn *done, void *arg, struct err *e) must_check;

struct vm *vms_find(struct vms *s, const char *id); /* NULL */
struct vm *vms_find_rt(struct vms *s, const char *route_token);
typedef void vms_each_fn(void *arg, struct vm *v);
void vms_each(struct vms *s, vms_each_fn *fn, void *arg); /* v may end in fn */

/* v: NULL unless r is VM_OK; borrowed during the callback. text: for people. Called from the loop or at once. */
typedef void vms_created_fn(void *arg, enum vm_error r, struct vm *v, const char *text);
/* Create or find by (id, generation). *op_slot (may be NULL): cancelling stops the waiting, not the create. */
void vms_create(struct vms *s, const char *id, const struct host_vm_spec *spec, struct op **op_slot, vms_created_fn *done, void *arg);
/* The same for a test of an unfinished snapshot or a selftest: id begins with a letter, nobody is told of it. */
void vms_create_from(struct vms *s, const char *id, struct template *t, struct op **op_slot, vms_created_fn *done, void *arg);

/* r: 0 gone (also when it never was), VM_E_STALE. */
typedef void vms_ended_fn(void *arg, enum vm_error r);
void vms_delete(struct vms *s, const char *id, uint64_t generation, bool any_generation, struct op **op_slot, vms_ended_fn *done, void *arg);
/* Durable when done is called. VM_E_INVALID: there is no such VM that runs. */
void vms_set_deadline(struct vms *s, const char *id, const struct host_deadline *d, struct op **op_slot, vms_created_fn *done, void *arg);
void vms_ack_ended(struct vms *s, const char *id); /* control knows: the entry may go */

void vms_usage(const struct vms *s, struct vms_usage *out);    /* promised */
void vms_capacity(const struct vms *s, struct vms_usage *out); /* may be promised */
/* fraction of the file system of state_dir that is in use, in percent; free bytes */
void vms_disk(const struct vms *s, int64_t *total, int64_t *free_bytes, int *used_pct);
