/* SPDX-License-Identifier: Apache-2.0 */
/* vm - states and descriptions; the flows are in vm_create.c, vm_end.c, vm_adopt.c, vm_reboot.c */
#include "dataplane/vmhost/vm/vm.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include <assert.h>

static const char *const vm_state_names[VM_STATE_COUNT] = {"creating", "running", "stopping", "gone"};

const char *vm_state_name(enum vm_state s)
{
    assert(s < VM_STATE_COUNT);
    return vm_state_names[s];
}

/* Rows: from; bits: to. */
static const unsigned vm_state_moves[VM_STATE_COUNT] = {
    [VM_CREATING] = 1 << VM_RUNNING | 1 << VM_STOPPING,
    [VM_RUNNING] = 1 << VM_STOPPING,
    [VM_STOPPING] = 1 << VM_GONE,
    [VM_GONE] = 0,
};

bool vm_state_may_follow(enum vm_state from, enum vm_state to)
{
    return from < VM_STATE_COUNT && to < VM_STATE_COUNT && (vm_state_moves[from] & (1u << to));
}

void vm_set_state(struct vm *v, enum vm_state to)
{
    const struct log_ctx ctx = {.sandbox = v->j.id, .team = v->j.team};

    assert(vm_state_may_follow(v->state, to));
    log_info(&ctx, "vm state", "from", vm_state_name(v->state), "to", vm_state_name(to), "reason", v->end_reason[0] ? v->end_reason : NULL);
    v->state = to;
    (void) str_copy(v->j.state, sizeof(v->j.state), vm_state_name(to));
}

bool vm_is_internal(const struct vm *v)
{
    return v->j.id[0] < '0' || v->j.id[0] > '9';
}

void vm_describe(const struct vm *v, struct host_vm *out)
{
    *out = (struct host_vm){
        .id = (char *) v->j.id,
        .generation = v->j.generation,
        .state = (char *) vm_state_name(v->state),
        .end_reason = v->state == VM_GONE ? (char *) v->j.end_reason : NULL,
        .started_at_ms = v->j.started_at_ms,
        .ended_at_ms = v->state == VM_GONE ? v->j.ended_at_ms : 0,
        .deadline_ms = v->j.deadline_ms,
        .cpu_count = v->j.cpu_count,
        .memory_mb = v->j.memory_mb,
        .template_ref = {.slug = (char *) v->j.slug, .version = (char *) v->j.template_version},
        .has_timings = v->has_timings,
        .timings_us = v->timings,
    };
}
