/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* vms_internal - shared by vms.c (registry) and vms_adopt.c (after a restart). */
#include "common/base/list.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/vm/vms.h"

struct map;
struct tombs;

struct vms {
    struct host *host;
    struct map *by_id, *by_rt;  /* owned; struct vm */
    struct list all;            /* struct vm */
    struct tombs *tombs;        /* owned */
    int64_t vcpus, memory_mb;   /* of the machine, or as set */
    /* adoption */
    unsigned adopting;          /* VMs not settled yet, plus one while the journal is read */
    vms_ready_fn *ready;
    void *ready_arg;
};

struct vm *vms_new_vm(struct vms *s, const struct journal_entry *j); /* in the state creating, listed */
void vms_drop_vm(struct vm *v);                                      /* unlists and frees */
void vms_settle(struct vm *v);                                       /* nothing to wait for at the start any more */
void vms_begin_end(struct vm *v);                                    /* the state is stopping: runs the end flow */
