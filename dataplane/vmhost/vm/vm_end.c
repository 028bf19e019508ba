/* SPDX-License-Identifier: Apache-2.0 */
/* vm_end - from a VM in any condition to nothing but, where control does not know yet, an entry that says how it ended */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/vm/agent.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vmdir.h"

/* A failure here must not keep a VM alive: it is told, and the end goes on. */
static int vm_work_told(void *arg, struct err *e)
{
    const struct vm *v = arg;

    if (journal_write(v->host->conf->state_dir, &v->j, e) < 0)
        log_error(NULL, "journal cannot be written", "sandbox", v->j.id, "error", e->text);
    return 0;
}

static int vm_work_last(void *arg, struct err *e)
{
    struct vm *v = arg;
    const char *state_dir = v->host->conf->state_dir;
    int r = vmdir_remove(state_dir, v->j.id, e);

    if (r < 0)
        log_error(NULL, "files of a virtual machine are left", "sandbox", v->j.id, "error", err_text(e, r));
    r = v->forget ? journal_remove(state_dir, v->j.id, e) : journal_write(state_dir, &v->j, e);
    if (r < 0)
        log_error(NULL, "journal cannot be written", "sandbox", v->j.id, "error", err_text(e, r));
    return 0;
}

static int vm_step_told(struct flow *f, void *arg, struct err *e)
{
    (void) e;
    return flow_work(f, vm_work_told, arg) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

static int vm_step_kill(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;

    (void) f;
    (void) e;
    agent_free(v->agent);
    v->agent = NULL;
    vm_forget_secrets(v);
    fd_closep(&v->qmp_listener);
    fd_closep(&v->disk);
    if (v->machine)
        machine_kill(v->machine);
    return FLOW_NEXT;
}

static int vm_step_release(struct flow *f, void *arg, struct err *e)
{
    (void) e;
    return vm_undo_slot(f, arg);
}

static int vm_step_last(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;

    (void) e;
    (void) str_copy(v->j.state, sizeof(v->j.state), vm_state_name(VM_GONE));
    (void) str_copy(v->j.end_reason, sizeof(v->j.end_reason), v->end_reason);
    v->j.ended_at_ms = clock_real_ms();
    return flow_work(f, vm_work_last, v) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

const struct flow_step vm_end_steps[] = {
    {"settle", vm_step_settle, NULL},
    {"told", vm_step_told, NULL},
    {"kill", vm_step_kill, NULL},
    {"release", vm_step_release, NULL},
    {"last", vm_step_last, NULL},
    {0},
};
