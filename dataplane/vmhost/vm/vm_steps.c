/* SPDX-License-Identifier: Apache-2.0 */
/* vm_steps - see vm_steps.h */
#include "dataplane/vmhost/vm/vm_steps.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/agent.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vm_save.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STATE_MS = 20000, STATE_POLL_MS = 2, QMP_MS = 10000, INIT_MS = 15000 };

int vm_work_journal(void *arg, struct err *e)
{
    const struct vm *v = arg;

    return journal_write(v->host->conf->state_dir, &v->j, e);
}

void vm_cancel(struct vm *v)
{
    op_cancel(&v->op);
    timer_cancel(v->timer);
}

void vm_forget_secrets(struct vm *v)
{
    for (size_t i = 0; i < v->env.count; i++)
        mem_wipe(v->env.items[i].value, strlen(v->env.items[i].value));
    v->env = (struct json_map){0};
    arena_free(v->arena);
    v->arena = NULL;
}

int vm_step_settle(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;

    (void) f;
    (void) e;
    v->flow_waits_for_save = vm_save_busy(v);
    return v->flow_waits_for_save ? FLOW_WAIT : FLOW_NEXT;
}

/* ---- slot ---- */

static void vm_on_slot(void *arg, int r, unsigned slot, const char *text)
{
    struct vm *v = arg;

    if (r < 0) {
        flow_fail(&v->flow, r, "no slot: %s", text);
        return;
    }
    v->j.slot = slot;
    flow_next(&v->flow);
}

int vm_step_slot(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = pool_take(v->host->pool, &v->op, vm_on_slot, v);

    (void) f;
    return r < 0 ? err_set(e, r, "all slots are in use") : FLOW_WAIT;
}

static void vm_on_slot_clean(void *arg)
{
    struct vm *v = arg;

    machine_free(v->machine);
    v->machine = NULL;
    v->j.slot = -1;
    v->j.pid = 0;
    flow_next(&v->flow);
}

int vm_undo_slot(struct flow *f, void *arg)
{
    struct vm *v = arg;

    (void) f;
    vm_cancel(v);
    if (v->j.slot < 0)
        return FLOW_NEXT;
    pool_release(v->host->pool, (unsigned) v->j.slot, vm_on_slot_clean, v);
    return FLOW_WAIT;
}

/* ---- QEMU ---- */

const char *vm_status_text(const struct json *data)
{
    return json_str(json_get(data, "status"));
}

static void vm_on_greeted(void *arg, int r, const struct json *data, const char *text)
{
    struct vm *v = arg;

    (void) data;
    if (r != 0)
        flow_fail(&v->flow, r < 0 ? r : -EPROTO, "QEMU's monitor: %s %s", r < 0 ? strerror(-r) : text, machine_said(v->machine));
    else
        flow_next(&v->flow);
}

static void vm_on_started(void *arg, int r, const char *text)
{
    struct vm *v = arg;

    if (r < 0) {
        flow_fail(&v->flow, r, "start QEMU: %s", text);
        return;
    }
    v->j.pid = machine_pid(v->machine);
    v->j.start_time = machine_start_time(v->machine);
    r = machine_qmp(v->machine, "query-status", NULL, -1, QMP_MS, &v->op, vm_on_greeted, v);
    if (r < 0)
        flow_fail(&v->flow, r, "QEMU's monitor: %s", strerror(-r));
}

int vm_start_machine(struct vm *v, unsigned mode, struct err *e)
{
    const struct template *t = v->template;
    bool boots = mode == PRIV_MODE_COLD;
    struct machine_start start = {
        .slot = (unsigned) v->j.slot, .mode = (enum priv_mode) mode, .cpu_count = (unsigned) v->j.cpu_count,
        .memory_mb = (unsigned) v->j.memory_mb, .disk_mb = (unsigned) (t->disk_virtual_bytes / MIB), .unfinished = t->unfinished,
        .name = v->j.id, .snap = t->snap, .rootfs = t->rootfs,
        .kernel = boots ? t->kernel : NULL, .initrd = boots ? t->initrd : NULL,
        .qmp_listener = take_fd(&v->qmp_listener), .disk = take_fd(&v->disk),
    };
    char cmdline[PRIV_CMDLINE_SIZE + 128]; /* one that is too long is refused by machine_start() */
    int r;

    if (boots) {
        snprintf(cmdline, sizeof(cmdline), "%s bivouac.boot=%s", t->cmdline, v->j.agent_token);
        start.cmdline = cmdline;
    }
    vm_machine_open(v);
    r = machine_start(v->machine, &start, &v->op, vm_on_started, v);
    mem_wipe(cmdline, sizeof(cmdline));
    return r < 0 ? err_set(e, r, "start QEMU: %s", strerror(-r)) : FLOW_WAIT;
}

int vm_undo_qemu(struct flow *f, void *arg)
{
    struct vm *v = arg;

    (void) f;
    vm_cancel(v);
    fd_closep(&v->qmp_listener);
    fd_closep(&v->disk);
    if (v->machine)
        machine_kill(v->machine); /* the slot is released next, and waits for its end */
    return FLOW_NEXT;
}

/* ---- device state ---- */

static void vm_on_state(void *arg, int r, const struct json *data, const char *text);

static int vm_ask_state(struct vm *v)
{
    return machine_qmp(v->machine, "query-status", NULL, -1, QMP_MS, &v->op, vm_on_state, v);
}

static void vm_on_state_poll(void *arg)
{
    struct vm *v = arg;
    int r = vm_ask_state(v);

    if (r < 0)
        flow_fail(&v->flow, r, "QEMU's monitor: %s", strerror(-r));
}

static void vm_on_state(void *arg, int r, const struct json *data, const char *text)
{
    struct vm *v = arg;
    const char *status = r == 0 ? vm_status_text(data) : NULL;

    if (!status) {
        flow_fail(&v->flow, r < 0 ? r : -EPROTO, "load the device state: %s %s", r < 0 ? strerror(-r) : text ? text : "no status",
                  machine_said(v->machine));
    } else if (str_eq(status, "paused")) {
        flow_next(&v->flow);
    } else if (!str_eq(status, "inmigrate")) {
        flow_fail(&v->flow, -EPROTO, "load the device state: QEMU is '%.32s'", status);
    } else if (clock_mono_ms() > v->poll_until_ms) {
        flow_fail(&v->flow, -ETIMEDOUT, "load the device state: not done in time");
    } else {
        timer_free(v->timer);
        v->timer = timer_new(v->host->loop, vm_on_state_poll, v);
        timer_set(v->timer, STATE_POLL_MS);
    }
}

int vm_step_state(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r;

    (void) f;
    v->poll_until_ms = clock_mono_ms() + STATE_MS;
    r = vm_ask_state(v);
    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

/* ---- cont ---- */

static void vm_on_running(void *arg, int r, const struct json *data, const char *text)
{
    struct vm *v = arg;
    const char *status = r == 0 ? vm_status_text(data) : NULL;

    if (status && str_eq(status, "running"))
        flow_next(&v->flow);
    else
        flow_fail(&v->flow, r < 0 ? r : -EPROTO, "it does not run after cont: %.64s %s",
                  r < 0 ? strerror(-r) : status ? status : text ? text : "no status", machine_said(v->machine));
}

/* Its refusal shows in the status that is asked for right behind it. */
int vm_step_run(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = machine_qmp(v->machine, "cont", NULL, -1, QMP_MS, NULL, NULL, NULL);

    (void) f;
    if (r == 0)
        r = machine_qmp(v->machine, "query-status", NULL, -1, QMP_MS, &v->op, vm_on_running, v);
    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

/* ---- init ---- */

static void vm_on_init(void *arg, int r, const char *text)
{
    struct vm *v = arg;

    if (r < 0) {
        flow_fail(&v->flow, r, "init of the agent: %s", text);
        return;
    }
    agent_free(v->agent); /* rarely needed again: no connection is kept */
    v->agent = NULL;
    flow_next(&v->flow);
}

static int vm_send_init(struct vm *v)
{
    uint8_t entropy[AGENT_ENTROPY_LEN];
    char machine_id[33];
    struct agent_init m = {
        .token = v->j.agent_token, .generation = v->j.generation, .sandbox_id = v->j.id, .hostname = v->j.hostname,
        .machine_id = machine_id, .entropy = {entropy, sizeof(entropy)}, .time_ns = (int64_t) clock_real_ns(), .env = v->env,
    };
    int r;

    random_bytes(entropy, sizeof(entropy));
    id_random_hex(machine_id, 16);
    r = agent_send_init(v->agent, &m, INIT_MS, &v->op, vm_on_init, v);
    mem_wipe(entropy, sizeof(entropy));
    return r;
}

/* The token of the snapshot opens it; after a cold boot it is the VM's own. */
int vm_step_init(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r = 0;

    (void) f;
    if (!v->agent)
        r = agent_new(&v->agent, v->host, (unsigned) v->j.slot, v->template->token);
    if (r == 0)
        r = vm_send_init(v);
    return r < 0 ? err_set(e, r, "init of the agent: %s", strerror(-r)) : FLOW_WAIT;
}

int vm_undo_init(struct flow *f, void *arg)
{
    struct vm *v = arg;

    (void) f;
    vm_cancel(v);
    agent_free(v->agent);
    v->agent = NULL;
    return FLOW_NEXT;
}

/* ---- commit ---- */

int vm_step_commit(struct flow *f, void *arg, struct err *e)
{
    struct vm *v = arg;
    int r;

    (void) str_copy(v->j.state, sizeof(v->j.state), vm_state_name(VM_RUNNING));
    if (v->j.started_at_ms == 0)
        v->j.started_at_ms = clock_real_ms();
    r = flow_work(f, vm_work_journal, v);
    return r < 0 ? err_set(e, r, "journal: %s", strerror(-r)) : FLOW_WAIT;
}
