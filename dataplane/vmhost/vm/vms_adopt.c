/* SPDX-License-Identifier: Apache-2.0 */
/* vms_adopt - the journal after a restart of this service: each entry becomes a VM again, goes on ending, or stays as the news of an end */
#include "common/base/log.h"
#include "common/base/str.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/gate/gate.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vms_internal.h"
#include <string.h>

static void vms_settled(struct vms *s)
{
    if (--s->adopting == 0 && s->ready)
        s->ready(s->ready_arg, 0);
}

void vms_settle(struct vm *v)
{
    if (v->adopting) {
        v->adopting = false;
        vms_settled(v->host->vms);
    }
}

static void vm_adopted(void *arg, int r, const struct err *e)
{
    struct vm *v = arg;
    struct log_ctx ctx = {.sandbox = v->j.id, .team = v->j.team};

    if (r == 0 && !v->end_wanted) {
        log_info(&ctx, "virtual machine adopted", "pid", LOG_I64(v->j.pid));
        gate_route(v->host->gate, v);
        vm_arm_deadline(v);
        if (v->io_error)
            vm_watch_io_error(v);
        vms_settle(v);
        return;
    }
    log_warn(&ctx, "virtual machine cannot be adopted", "reason", err_text(e, r));
    if (!v->end_reason[0])
        (void) str_copy(v->end_reason, sizeof(v->end_reason), "qemu_died");
    vm_set_state(v, VM_STOPPING);
    vms_begin_end(v); /* it is settled when it has ended */
}

/* A create that was cut was never answered: control will ask again, or not at all. It is undone without a word. */
static void vm_begin_cleanup(struct vm *v, const char *reason, bool forget)
{
    (void) str_copy(v->end_reason, sizeof(v->end_reason), reason);
    v->forget = forget || vm_is_internal(v);
    v->undone = forget;
    v->state = VM_STOPPING;
    vms_begin_end(v);
}

static void vms_on_entry(void *arg, const struct journal_entry *j)
{
    struct vms *s = arg;
    struct vm *v = vms_new_vm(s, j);
    bool gone = str_eq(j->state, "gone");

    if (gone) {
        v->state = VM_GONE;
        (void) str_copy(v->end_reason, sizeof(v->end_reason), j->end_reason);
        return;
    }
    s->adopting++;
    v->adopting = true;
    v->template = template_ref(templates_find_snap(s->host->templates, j->snap));
    if (j->slot >= 0 && !pool_reserve(s->host->pool, (unsigned) j->slot)) {
        log_error(NULL, "two journal entries name one slot", "sandbox", j->id, "slot", LOG_I64(j->slot));
        v->j.slot = -1;
        vm_begin_cleanup(v, "failed", false);
    } else if (str_eq(j->state, "running") && j->slot >= 0 && !vm_is_internal(v)) {
        v->state = VM_RUNNING;
        flow_start(&v->flow, s->host->loop, vm_adopt_steps, vm_adopted, v);
    } else if (str_eq(j->state, "creating")) {
        vm_begin_cleanup(v, "failed", true);
    } else {
        vm_begin_cleanup(v, j->end_reason[0] ? j->end_reason : "failed", false);
    }
}

static void vms_on_swept(void *arg, int r)
{
    struct vms *s = arg;

    if (r < 0)
        log_error(NULL, "leftovers cannot be found", "error", strerror(-r));
    vms_settled(s);
}

int vms_adopt(struct vms *s, vms_ready_fn *done, void *arg, struct err *e)
{
    int r;

    s->ready = done;
    s->ready_arg = arg;
    s->adopting = 1;
    r = journal_each(s->host->conf->state_dir, vms_on_entry, s, e);
    if (r < 0)
        return r;
    pool_sweep(s->host->pool, vms_on_swept, s); /* reserved slots are known by now */
    return 0;
}
