/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* slots - the parent's side of a slot: what it holds open for it and what may be done in which state. */
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/privop.h"

struct cgroups;
struct conf;
struct err;
struct store;

struct slot {
    enum priv_slot_state state;
    int ns;     /* owned: network namespace, -1 */
    int tap;    /* owned until QEMU has it, -1 */
    int pidfd;  /* owned: its QEMU, -1 */
    pid_t pid;
    uint64_t start_time;
};

struct slots {
    const struct conf *conf;  /* borrowed, as all below */
    struct cgroups *cgroups;
    struct store *store;
    int jail;                 /* mount namespace of the cell */
    int own_ns;               /* network namespace of the parent */
    struct slot slot[PRIV_SLOTS_MAX];
};

void slots_init(struct slots *s);
void slots_deinit(struct slots *s); /* closes; VMs go on */

/* The operations: message checked, state right. They fill what they give back in rep and fds (owned by the caller afterwards). */
int slots_make(struct slots *s, const struct priv_slot *m, struct err *e) must_check;
int slots_destroy(struct slots *s, const struct priv_slot *m, struct err *e) must_check;
int slots_socket(struct slots *s, const struct priv_slot *m, int *fd, struct err *e) must_check;
int slots_start(struct slots *s, const struct priv_qemu_start *m, const int *fds, struct priv_reply *rep, int *fd, struct err *e) must_check;
int slots_adopt(struct slots *s, const struct priv_qemu_adopt *m, int *fd, struct err *e) must_check;
int slots_kill(struct slots *s, const struct priv_slot *m, struct err *e) must_check;
int slots_memory(struct slots *s, const struct priv_slot *m, int fds[2], struct err *e) must_check;
int slots_leftovers(struct slots *s, uint8_t bits[PRIV_SLOTS_MAX / 8], struct err *e) must_check;
