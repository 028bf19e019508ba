/* SPDX-License-Identifier: Apache-2.0 */
/* vm_reboot - see vm_reboot.h */
#include "dataplane/vmhost/vm/vm_reboot.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/gate/gate.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/agent.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vm_save.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include <errno.h>
#include <string.h>

enum { BOOT_POLL_MS = 100, HEALTH_MS = 2000 };

/* The old process keeps nothing: its slot is torn down like that of a VM that ends. */
static int vm_step_leave(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;

    (void) e;
    v->leaving = true;
    if (v->machine)
        machine_kill(v->machine);
    return vm_undo_slot(f, arg);
}

static int vm_work_reopen(void *arg, struct err *e)
{
    struct vm *v = arg;
    const char *state_dir = v->host->conf->state_dir;
    int r = journal_write(state_dir, &v->j, e);

    if (r == 0)
        r = vmdir_new_listener(state_dir, v->j.id, &v->qmp_listener, e);
    return r < 0 ? r : vmdir_open_disk(state_dir, v->j.id, &v->disk, e);
}

/* The agent of the boot knows a new token; with its init it becomes another one again, as after each start. */
static int vm_step_reopen(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r;

    id_random_hex(v->j.agent_token, AGENT_TOKEN_LEN / 2);
    r = flow_work(f, vm_work_reopen, v);
    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static int vm_step_cold(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return vm_start_machine(arg, PRIV_MODE_COLD, e);
}

static void vm_on_health(void *arg, int r, const char *text);

static void vm_on_boot_poll(void *arg)
{
    struct vm *v = arg;
    int r = agent_health(v->agent, HEALTH_MS, &v->op, vm_on_health, v);

    if (r < 0)
        flow_fail(&v->flow, r, "agent: %s", strerror(-r));
}

static void vm_on_health(void *arg, int r, const char *text)
{
    struct vm *v = arg;

    if (r == 0) {
        flow_next(&v->flow);
    } else if (r == -EACCES || clock_mono_ms() > v->poll_until_ms) {
        flow_fail(&v->flow, r, "the agent does not come back: %s", text);
    } else {
        timer_free(v->timer);
        v->timer = timer_new(v->host->loop, vm_on_boot_poll, v);
        timer_set(v->timer, BOOT_POLL_MS);
    }
}

static int vm_step_boot(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = agent_new(&v->agent, v->host, (unsigned) v->j.slot, v->j.agent_token);

    (void) f;
    v->poll_until_ms = clock_mono_ms() + (uint64_t) v->host->conf->template_boot_s * 1000;
    if (r == 0)
        r = agent_health(v->agent, HEALTH_MS, &v->op, vm_on_health, v);
    return r < 0 ? err_set(e, r, "agent: %s", strerror(-r)) : FLOW_WAIT;
}

/* A new token for the gateway and the agent; the journal gets it in the last step, before anybody is told. */
static int vm_step_reinit(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;

    id_random_hex(v->j.agent_token, AGENT_TOKEN_LEN / 2);
    return vm_step_init(f, arg, e);
}

static int vm_undo_wait(struct flow *f, void *arg)
{
    (void) f;
    vm_cancel(arg);
    return FLOW_NEXT; /* the end flow does the rest */
}

const struct flow_step vm_reboot_steps[] = {
    {"settle", vm_step_settle, NULL},
    {"leave", vm_step_leave, vm_undo_wait},
    {"slot", vm_step_slot, vm_undo_wait},
    {"reopen", vm_step_reopen, vm_undo_wait},
    {"cold", vm_step_cold, vm_undo_wait},
    {"boot", vm_step_boot, vm_undo_init},
    {"init", vm_step_reinit, vm_undo_init},
    {"commit", vm_step_commit, NULL},
    {0},
};

static void vm_rebooted(void *arg, int r, const struct err *e)
{
    struct vm *v = arg;

    if (r < 0) {
        log_error(NULL, "guest could not be started again", "sandbox", v->j.id, "error", err_text(e, r));
        vm_end(v, v->end_wanted ? "killed" : "failed");
        return;
    }
    log_info(NULL, "guest has been started again from its disk", "sandbox", v->j.id);
    if (v->end_wanted) {
        vm_end(v, "killed");
        return;
    }
    gate_route(v->host->gate, v);
    vm_arm_deadline(v);
    vm_save_resume(v);
}

void vm_reboot(struct vm *v)
{
    if (!v->template) {
        vm_end(v, "guest_shutdown"); /* its image is not on this host any more: no kernel to boot it with */
        return;
    }
    log_info(NULL, "guest resets itself, starting it from its disk", "sandbox", v->j.id);
    gate_gone(v->host->gate, v, "reboot");
    flow_start(&v->flow, v->host->loop, vm_reboot_steps, vm_rebooted, v);
}
