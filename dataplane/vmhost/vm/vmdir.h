/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * vmdir - the folder of one VM, <state_dir>/vms/<name>/: its monitor socket and its disk. All of it blocks, shortly: for worker threads.
 * A socket's path may be too long for its address, hence it is named through a descriptor of its folder.
 */
#include <stdint.h>
#include "common/base/attr.h"

struct err;

#define VMDIR_DISK "disk.qcow2"
#define VMDIR_QMP "qmp.sock"

/* Makes it anew (an old one is removed) with a listening monitor socket. */
int vmdir_make(const char *state_dir, const char *name, int *qmp_listener, struct err *e) must_check;
/* An empty overlay, open for reading and writing. */
int vmdir_make_disk(const char *state_dir, const char *name, uint64_t virtual_bytes, const char *backing, int *disk, struct err *e) must_check;
int vmdir_open_disk(const char *state_dir, const char *name, int *disk, struct err *e) must_check; /* a new open file description */
int vmdir_new_listener(const char *state_dir, const char *name, int *qmp_listener, struct err *e) must_check; /* replaces the old one */
int vmdir_connect(const char *state_dir, const char *name, int *qmp, struct err *e) must_check;
int vmdir_remove(const char *state_dir, const char *name, struct err *e) must_check; /* fine if it is gone */
