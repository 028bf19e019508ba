/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_adopt - a VM that the journal calls running, after a restart of this service: is its process still that process, what does QEMU say of
 * itself, was something under way when the service died (it may have died between stop and cont)?
 */
#include "common/base/log.h"
#include "common/base/str.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include <errno.h>
#include <string.h>

enum { QMP_MS = 10000 };

static void vm_on_adopted(void *arg, int r, const char *text)
{
    struct vm *v = arg;

    if (r < 0)
        flow_fail(&v->flow, r, "%s", r == -ESRCH ? "its process has ended" : text);
    else
        flow_next(&v->flow);
}

static int vm_step_process(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r;

    (void) f;
    if (v->j.pid < 2)
        return err_set(e, -ESRCH, "it had no process");
    vm_machine_open(v);
    r = machine_adopt(v->machine, (unsigned) v->j.slot, v->j.id, (pid_t) v->j.pid, v->j.start_time, &v->op, vm_on_adopted, v);
    return r < 0 ? err_set(e, r, "adopt: %s", strerror(-r)) : FLOW_WAIT;
}

/* Nothing of ours runs jobs or adds nodes yet: whatever is there beyond the plain chain is told. */
static void vm_on_jobs(void *arg, int r, const struct json *data, const char *text)
{
    struct vm *v = arg;

    (void) text;
    if (r < 0) {
        flow_fail(&v->flow, r, "QEMU's monitor: %s", strerror(-r));
        return;
    }
    if (r == 0 && json_count(data) > 0)
        log_warn(NULL, "adopted virtual machine has block jobs", "sandbox", v->j.id, "jobs", LOG_U64(json_count(data)));
    flow_next(&v->flow);
}

static int vm_step_jobs(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = machine_qmp(v->machine, "query-block-jobs", NULL, -1, QMP_MS, &v->op, vm_on_jobs, v);

    (void) f;
    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

static void vm_on_status(void *arg, int r, const struct json *data, const char *text)
{
    struct vm *v = arg;
    const char *status = r == 0 ? vm_status_text(data) : NULL;
    struct err e = ERR_INIT;

    (void) text;
    if (!status) {
        flow_fail(&v->flow, r < 0 ? r : -EPROTO, "QEMU does not say how it is");
    } else if (str_eq(status, "running")) {
        flow_next(&v->flow);
    } else if (str_eq(status, "io-error")) {
        v->io_error = true; /* found by the retry timer */
        flow_next(&v->flow);
    } else if (str_eq(status, "paused")) {
        log_warn(NULL, "adopted virtual machine was stopped, it goes on", "sandbox", v->j.id);
        r = vm_step_run(&v->flow, v, &e);
        if (r < 0)
            flow_fail(&v->flow, r, "%s", e.text);
    } else if (str_eq(status, "shutdown")) {
        (void) str_copy(v->end_reason, sizeof(v->end_reason), "guest_shutdown");
        flow_fail(&v->flow, -ESHUTDOWN, "the guest had shut down");
    } else if (str_eq(status, "guest-panicked")) {
        (void) str_copy(v->end_reason, sizeof(v->end_reason), "guest_panic");
        flow_fail(&v->flow, -ESHUTDOWN, "the guest had panicked");
    } else {
        flow_fail(&v->flow, -EPROTO, "QEMU is '%.32s'", status);
    }
}

static int vm_step_status(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = machine_qmp(v->machine, "query-status", NULL, -1, QMP_MS, &v->op, vm_on_status, v);

    (void) f;
    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

static int vm_undo_adopt(struct flow *f, void *arg)
{
    (void) f;
    vm_cancel(arg);
    return FLOW_NEXT; /* the end flow does the rest */
}

const struct flow_step vm_adopt_steps[] = {
    {"process", vm_step_process, vm_undo_adopt},
    {"jobs", vm_step_jobs, vm_undo_adopt},
    {"status", vm_step_status, vm_undo_adopt},
    {0},
};
