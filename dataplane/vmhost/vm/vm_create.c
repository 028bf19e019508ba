/* SPDX-License-Identifier: Apache-2.0 */
/* vm_create - a sandbox is a restored snapshot: the steps from nothing to an agent that accepted its init, and back */
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include <limits.h>
#include <string.h>

/* Journal first: from here on what is made has an owner. */
static int vm_work_files(void *arg, struct err *e)
{
    struct vm *v = arg;
    const char *state_dir = v->host->conf->state_dir;
    char backing[PATH_MAX];
    int r = journal_write(state_dir, &v->j, e);

    template_disk_path(v->template, backing, sizeof(backing));
    if (r == 0)
        r = vmdir_make(state_dir, v->j.id, &v->qmp_listener, e);
    if (r == 0)
        r = vmdir_make_disk(state_dir, v->j.id, v->template->disk_virtual_bytes, backing, &v->disk, e);
    return r;
}

static int vm_work_unfiles(void *arg, struct err *e)
{
    struct vm *v = arg;
    const char *state_dir = v->host->conf->state_dir;
    int r = vmdir_remove(state_dir, v->j.id, e);

    if (r == 0)
        r = journal_remove(state_dir, v->j.id, e);
    if (r < 0)
        log_error(NULL, "files of a failed create are left", "sandbox", v->j.id, "error", err_text(e, r));
    return r;
}

static int vm_step_files(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, vm_work_files, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static int vm_undo_files(struct flow *f, void *arg)
{
    struct vm *v = arg;

    fd_closep(&v->qmp_listener);
    fd_closep(&v->disk);
    return flow_work(f, vm_work_unfiles, v) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

static int vm_step_qemu(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return vm_start_machine(arg, PRIV_MODE_RESTORE, e);
}

static int vm_undo_wait(struct flow *f, void *arg)
{
    (void) f;
    vm_cancel(arg);
    return FLOW_NEXT;
}

const struct flow_step vm_create_steps[] = {
    {"slot", vm_step_slot, vm_undo_slot},
    {"files", vm_step_files, vm_undo_files},
    {"qemu", vm_step_qemu, vm_undo_qemu},
    {"state", vm_step_state, vm_undo_wait},
    {"run", vm_step_run, vm_undo_wait},
    {"init", vm_step_init, vm_undo_init},
    {"commit", vm_step_commit, NULL},
    {0},
};
