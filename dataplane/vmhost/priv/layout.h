/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * layout - the folders of the service and who owns them. Parent only.
 *
 *     <state_dir>          root 0711    lock
 *     <state_dir>/store    root 0700    templates (store.h)
 *     <state_dir>/vms      child 0700   <id>/{disk.qcow2,qmp.sock} of each VM
 *     <state_dir>/journal  child 0700   <id>.json of each VM
 *     <run_dir>/cell       root         mount point of QEMU's root, empty outside of it
 *     folder of gate_socket  child 0755
 */
#include <stddef.h>
#include "common/base/attr.h"

struct conf;
struct err;

/* *lock: held as long as it is open; -EBUSY when another service uses this state folder. */
int layout_make(const struct conf *c, int *lock, struct err *e) must_check;
int layout_purge(const struct conf *c, struct err *e) must_check; /* VMs, journal and run files; templates stay */
int layout_shim_path(const struct conf *c, char *out, size_t size, struct err *e) must_check;
