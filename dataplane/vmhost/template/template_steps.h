/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* template_steps - the object of a template build and its steps around the store. */
#include "common/base/buf.h"
#include "dataplane/vmhost/image/sums.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/template/template_build.h"
#include "dataplane/vmhost/vm/flow.h"

struct agent;
struct machine;
struct op;
struct timer;

struct template_build {
    struct host *host;
    struct template *t;
    struct flow flow;
    char name[PRIV_NAME_SIZE];   /* of its folder and its test machine */
    struct op *op;               /* what the current step waits for */
    struct timer *timer;         /* owned */
    int slot;                    /* -1 */
    struct machine *machine;     /* owned */
    struct agent *agent;         /* owned */
    uint64_t until_ms, began_ms;
    bool quitting;               /* the end of QEMU is what the step waits for */
    int qmp_listener, state_fd, memory_fd; /* owned, -1 */
    int fd;                      /* owned, -1: of the store object that the current step makes */
    enum priv_file file;         /* being opened */
    const char *blob_name, *blob_file; /* the image at hand: its checksum, its file in the image's folder */
    bool blob_there;             /* the store has it already */
    int64_t memory_bytes, state_bytes, disk_bytes;
    struct buf sums;
    uint64_t memory_used;
    template_built_fn *done;
    void *arg;
};

void build_cancel(struct template_build *b);

int build_step_kernel(struct flow *f, void *arg, struct err *e);
int build_step_initrd(struct flow *f, void *arg, struct err *e);
int build_step_rootfs(struct flow *f, void *arg, struct err *e);
int build_step_look(struct flow *f, void *arg, struct err *e);
int build_step_create(struct flow *f, void *arg, struct err *e);
int build_step_copy(struct flow *f, void *arg, struct err *e);
int build_step_blob(struct flow *f, void *arg, struct err *e);
int build_step_begin(struct flow *f, void *arg, struct err *e);
int build_step_disk(struct flow *f, void *arg, struct err *e);
int build_step_write_disk(struct flow *f, void *arg, struct err *e);
int build_step_memory(struct flow *f, void *arg, struct err *e);
int build_step_state(struct flow *f, void *arg, struct err *e);
int build_step_open_state(struct flow *f, void *arg, struct err *e);
int build_step_open_disk(struct flow *f, void *arg, struct err *e);
int build_step_sums(struct flow *f, void *arg, struct err *e);
int build_step_create_sums(struct flow *f, void *arg, struct err *e);
int build_step_write_sums(struct flow *f, void *arg, struct err *e);
int build_step_create_meta(struct flow *f, void *arg, struct err *e);
int build_step_write_meta(struct flow *f, void *arg, struct err *e);
int build_step_commit(struct flow *f, void *arg, struct err *e);
int build_undo_store(struct flow *f, void *arg); /* closes */
int build_undo_blob(struct flow *f, void *arg);  /* and removes the unfinished image */
int build_undo_begin(struct flow *f, void *arg); /* and removes the unfinished snapshot */
