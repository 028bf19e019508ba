/* SPDX-License-Identifier: Apache-2.0 */
/* vm_watch - what happens to a VM from outside of its flows: events of QEMU, its death, its deadline, a full disk */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/metrics/metrics.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/vm/disk_watch.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/vm_reboot.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vms.h"
#include <errno.h>
#include <string.h>

enum { DEADLINE_LOOK_MS = 60000, IO_RETRY_MS = 5000, QMP_MS = 10000 };

static const struct log_ctx *vm_ctx(const struct vm *v, struct log_ctx *c)
{
    *c = (struct log_ctx){.sandbox = v->j.id, .team = v->j.team};
    return c;
}

/* ---- QEMU's events ---- */

static void vm_on_shutdown(struct vm *v, const char *reason)
{
    struct log_ctx c;

    log_info(vm_ctx(v, &c), "guest has stopped", "reason", reason);
    if (v->state != VM_RUNNING || flow_running(&v->flow)) {
        if (v->state != VM_STOPPING && v->state != VM_GONE)
            flow_fail(&v->flow, -EIO, "the guest stopped (%.32s)", reason);
        return;
    }
    if (str_eq(reason, "guest-reset"))
        vm_reboot(v);
    else
        vm_end(v, str_eq(reason, "guest-panic") ? "guest_panic" : "guest_shutdown");
}

static void vm_on_io_retry(void *arg)
{
    struct vm *v = arg;

    if (v->state != VM_RUNNING || !v->io_error)
        return;
    if (disk_watch_may_go_on(v->host)) {
        int r = machine_qmp(v->machine, "cont", NULL, -1, QMP_MS, NULL, NULL, NULL);

        if (r < 0)
            log_error(NULL, "a stopped virtual machine cannot be asked to go on", "sandbox", v->j.id, "error", strerror(-r));
    }
    timer_set(v->io_retry, IO_RETRY_MS);
}

/* The guest waits and loses nothing; it goes on as soon as there is space. */
static void vm_on_io_error(struct vm *v, const struct json *data)
{
    struct log_ctx c;
    const char *action = json_str(json_get(data, "action"));

    metric_add(&metric_vm_io_errors, 1);
    log_error(vm_ctx(v, &c), "ALARM: disk of a virtual machine failed; it waits until it can be written again", "operation",
              json_str(json_get(data, "operation")), "action", action);
    if (!action || !str_eq(action, "stop"))
        return;
    vm_watch_io_error(v);
}

void vm_watch_io_error(struct vm *v)
{
    v->io_error = true;
    disk_watch_free_reserve(v->host);
    if (!v->io_retry)
        v->io_retry = timer_new(v->host->loop, vm_on_io_retry, v);
    timer_set(v->io_retry, 100);
}

void vm_io_error_clear(struct vm *v)
{
    struct log_ctx c;

    if (v->io_error)
        log_info(vm_ctx(v, &c), "virtual machine goes on after a disk failure");
    v->io_error = false;
    timer_cancel(v->io_retry);
}

static void vm_on_event(void *arg, const char *name, const struct json *data)
{
    struct vm *v = arg;
    const char *reason = json_str(json_get(data, "reason"));

    if (str_eq(name, "SHUTDOWN"))
        vm_on_shutdown(v, reason ? reason : "unknown");
    else if (str_eq(name, "GUEST_PANICKED"))
        vm_on_shutdown(v, "guest-panic");
    else if (str_eq(name, "BLOCK_IO_ERROR"))
        vm_on_io_error(v, data);
    else if (str_eq(name, "RESUME"))
        vm_io_error_clear(v);
}

static void vm_on_exit(void *arg)
{
    struct vm *v = arg;
    struct log_ctx c;

    if (v->state == VM_STOPPING || v->state == VM_GONE || v->leaving || flow_undoing(&v->flow))
        return;
    log_warn(vm_ctx(v, &c), "qemu of a virtual machine has ended", "said", machine_said(v->machine));
    if (flow_running(&v->flow))
        flow_fail(&v->flow, -EIO, "QEMU ended: %.300s", machine_said(v->machine));
    else
        vm_end(v, "qemu_died");
}

static void vm_on_qmp_lost(void *arg)
{
    struct vm *v = arg;

    if (v->state == VM_STOPPING || v->state == VM_GONE || v->leaving || flow_undoing(&v->flow))
        return;
    if (flow_running(&v->flow))
        flow_fail(&v->flow, -EIO, "QEMU's monitor broke");
    else
        vm_end(v, "failed");
}

void vm_machine_open(struct vm *v)
{
    static const struct machine_ops ops = {.on_event = vm_on_event, .on_exit = vm_on_exit, .on_qmp_lost = vm_on_qmp_lost};

    v->leaving = false;
    machine_free(v->machine);
    v->machine = machine_new(v->host, &ops, v);
}

/* ---- deadline ---- */

/* Wall clock: it may be set, so a far deadline is looked at again and again. */
static void vm_on_deadline(void *arg)
{
    struct vm *v = arg;
    int64_t left = v->j.deadline_ms - clock_real_ms();

    if (v->state != VM_RUNNING || v->j.deadline_ms == 0)
        return;
    if (left > 0) {
        timer_set(v->deadline, left < DEADLINE_LOOK_MS ? (uint64_t) left : DEADLINE_LOOK_MS);
        return;
    }
    vm_end(v, "timeout");
}

void vm_arm_deadline(struct vm *v)
{
    if (!v->deadline)
        v->deadline = timer_new(v->host->loop, vm_on_deadline, v);
    if (v->j.deadline_ms == 0) {
        timer_cancel(v->deadline);
        return;
    }
    int64_t left = v->j.deadline_ms - clock_real_ms();

    timer_set(v->deadline, left < 0 ? 0 : left < DEADLINE_LOOK_MS ? (uint64_t) left : DEADLINE_LOOK_MS);
}
