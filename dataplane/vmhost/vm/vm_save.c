/* SPDX-License-Identifier: Apache-2.0 */
/* vm_save - see vm_save.h */
#include "dataplane/vmhost/vm/vm_save.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/vm/vm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vm_save {
    struct vm *vm;          /* not freed while saving: its end waits */
    const char *state_dir;
    struct journal_entry j;
    struct err e;
};

static int vm_save_work(void *arg)
{
    struct vm_save *s = arg;

    return journal_write(s->state_dir, &s->j, &s->e);
}

static void vm_save_done(void *arg, int r)
{
    struct vm_save *s = arg;
    struct vm *v = s->vm;

    if (r < 0)
        log_error(NULL, "journal cannot be written", "sandbox", v->j.id, "error", err_text(&s->e, r));
    mem_wipe(&s->j, sizeof(s->j));
    free(s);
    v->saving = false;
    if (!v->save_again)
        vm_saved(v, r);
    if (flow_running(&v->flow)) {
        if (v->flow_waits_for_save) {
            v->flow_waits_for_save = false;
            flow_next(&v->flow);
        }
        return;
    }
    vm_save_resume(v);
}

static void vm_save_start(struct vm *v)
{
    struct vm_save *s = xnew(struct vm_save);

    v->save_again = false;
    v->saving = true;
    s->vm = v;
    s->state_dir = v->host->conf->state_dir;
    s->j = v->j;
    if (loop_work(v->host->loop, vm_save_work, vm_save_done, s) < 0)
        vm_save_done(s, -EAGAIN);
}

void vm_save_kick(struct vm *v)
{
    v->save_again = true;
    vm_save_resume(v);
}

void vm_save_resume(struct vm *v)
{
    if (v->save_again && !v->saving && !flow_running(&v->flow) && v->state == VM_RUNNING)
        vm_save_start(v);
}

bool vm_save_busy(const struct vm *v)
{
    return v->saving;
}
