/* SPDX-License-Identifier: Apache-2.0 */
/* template_build - see template_build.h; the steps that touch the store are in template_store.c */
#include "dataplane/vmhost/template/template_build.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/template/template_steps.h"
#include "dataplane/vmhost/vm/agent.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include "dataplane/vmhost/vm/vms.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QMP_MS = 30000, QUIT_MS = 60000, HEALTH_MS = 2000, HEALTH_POLL_MS = 100, QUIESCE_MS = 20000, SETTLE_MS = 500 };

/* ---- slot and folder ---- */

static void build_on_slot(void *arg, int r, unsigned slot, const char *text)
{
    struct template_build *b = arg;

    if (r < 0) {
        flow_fail(&b->flow, r, "no slot: %s", text);
        return;
    }
    b->slot = (int) slot;
    flow_next(&b->flow);
}

static int build_step_slot(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = pool_take(b->host->pool, &b->op, build_on_slot, b);

    (void) f;
    return r < 0 ? err_set(e, r, "all slots are in use") : FLOW_WAIT;
}

static void build_on_slot_clean(void *arg)
{
    struct template_build *b = arg;

    machine_free(b->machine);
    b->machine = NULL;
    b->slot = -1;
    flow_next(&b->flow);
}

static int build_release_slot(struct template_build *b)
{
    build_cancel(b);
    if (b->slot < 0)
        return FLOW_NEXT;
    pool_release(b->host->pool, (unsigned) b->slot, build_on_slot_clean, b);
    return FLOW_WAIT;
}

static int build_undo_slot(struct flow *f, void *arg)
{
    (void) f;
    return build_release_slot(arg);
}

static int build_step_release(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    (void) e;
    return build_release_slot(arg);
}

static int build_work_folder(void *arg, struct err *e)
{
    struct template_build *b = arg;

    return vmdir_make(b->host->conf->state_dir, b->name, &b->qmp_listener, e);
}

static int build_step_folder(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_folder, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static int build_work_unfolder(void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = vmdir_remove(b->host->conf->state_dir, b->name, e);

    if (r < 0)
        log_error(NULL, "folder of a template build is left", "error", err_text(e, r));
    return 0;
}

static int build_undo_folder(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    fd_closep(&b->qmp_listener);
    return flow_work(f, build_work_unfolder, b) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

static int build_step_unfolder(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_unfolder, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

/* ---- QEMU ---- */

/* The end of the console tells why a guest did not come up; the token must not be in it. */
static const char *build_last_words(struct template_build *b, char *out, size_t size)
{
    const char *said = machine_said(b->machine), *console = machine_console(b->machine);
    size_t len = strlen(console);
    char *at;

    snprintf(out, size, "%s | console: %s", said, len > 300 ? console + len - 300 : console);
    while ((at = strstr(out, "bivouac.boot=")))
        memcpy(at, "bivouac.****=", 13);
    if (strstr(out, b->t->token))
        snprintf(out, size, "%s", said);
    for (char *p = out; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return out;
}

static void build_on_event(void *arg, const char *name, const struct json *data)
{
    struct template_build *b = arg;
    char words[400];

    (void) data;
    if (!b->quitting && (str_eq(name, "SHUTDOWN") || str_eq(name, "GUEST_PANICKED")))
        flow_fail(&b->flow, -EIO, "the guest stopped while it was made ready: %s", build_last_words(b, words, sizeof(words)));
}

static void build_on_exit(void *arg)
{
    struct template_build *b = arg;
    char words[400];

    if (flow_undoing(&b->flow))
        return;
    if (b->quitting) {
        b->quitting = false;
        timer_cancel(b->timer);
        flow_next(&b->flow);
        return;
    }
    flow_fail(&b->flow, -EIO, "QEMU ended: %s", build_last_words(b, words, sizeof(words)));
}

static void build_on_qmp_lost(void *arg)
{
    struct template_build *b = arg;

    if (!b->quitting && !flow_undoing(&b->flow))
        flow_fail(&b->flow, -EIO, "QEMU's monitor broke: %s", machine_said(b->machine));
}

static void build_on_started(void *arg, int r, const char *text)
{
    struct template_build *b = arg;

    if (r < 0)
        flow_fail(&b->flow, r, "start QEMU: %s", text);
    else
        flow_next(&b->flow);
}

static int build_step_qemu(struct flow *f, void *arg, struct err *e)
{
    static const struct machine_ops ops = {.on_event = build_on_event, .on_exit = build_on_exit, .on_qmp_lost = build_on_qmp_lost};
    struct template_build *b = arg;
    struct template *t = b->t;
    char cmdline[PRIV_CMDLINE_SIZE + 128]; /* one that is too long is refused by machine_start() */
    struct machine_start start = {
        .slot = (unsigned) b->slot, .mode = PRIV_MODE_TEMPLATE, .cpu_count = t->cpu_count, .memory_mb = t->memory_mb,
        .disk_mb = (unsigned) (t->disk_virtual_bytes / MIB), .name = b->name, .snap = t->snap, .rootfs = t->rootfs,
        .kernel = t->kernel, .initrd = t->initrd, .cmdline = cmdline, .qmp_listener = take_fd(&b->qmp_listener), .disk = -1,
    };
    int r;

    (void) f;
    snprintf(cmdline, sizeof(cmdline), "%s bivouac.boot=%s", t->cmdline, t->token);
    b->machine = machine_new(b->host, &ops, b);
    r = machine_start(b->machine, &start, &b->op, build_on_started, b);
    mem_wipe(cmdline, sizeof(cmdline));
    return r < 0 ? err_set(e, r, "start QEMU: %s", strerror(-r)) : FLOW_WAIT;
}

static int build_undo_qemu(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) f;
    build_cancel(b);
    if (b->machine)
        machine_kill(b->machine);
    return FLOW_NEXT;
}

/* ---- the guest comes up ---- */

static void build_on_health(void *arg, int r, const char *text);

static void build_ask_health(void *arg)
{
    struct template_build *b = arg;
    int r = agent_health(b->agent, HEALTH_MS, &b->op, build_on_health, b);

    if (r < 0)
        flow_fail(&b->flow, r, "agent: %s", strerror(-r));
}

static void build_on_health(void *arg, int r, const char *text)
{
    struct template_build *b = arg;
    char words[400];

    if (r == 0) {
        flow_next(&b->flow);
    } else if (r == -EACCES) {
        flow_fail(&b->flow, r, "the agent does not know the token it was booted with: %s", text);
    } else if (clock_mono_ms() > b->until_ms) {
        flow_fail(&b->flow, -ETIMEDOUT, "no answer of the agent (%s) | %s", text, build_last_words(b, words, sizeof(words)));
    } else {
        timer_free(b->timer);
        b->timer = timer_new(b->host->loop, build_ask_health, b);
        timer_set(b->timer, HEALTH_POLL_MS);
    }
}

static int build_step_boot(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = agent_new(&b->agent, b->host, (unsigned) b->slot, b->t->token);

    (void) f;
    b->until_ms = clock_mono_ms() + (uint64_t) b->host->conf->template_boot_s * 1000;
    if (r == 0)
        r = agent_health(b->agent, HEALTH_MS, &b->op, build_on_health, b);
    return r < 0 ? err_set(e, r, "agent: %s", strerror(-r)) : FLOW_WAIT;
}

static int build_undo_agent(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) f;
    build_cancel(b);
    agent_free(b->agent);
    b->agent = NULL;
    return FLOW_NEXT;
}

static void build_on_quiesced(void *arg, int r, const char *text)
{
    struct template_build *b = arg;

    if (r < 0) {
        flow_fail(&b->flow, r, "quiesce: %s", text);
        return;
    }
    agent_free(b->agent); /* its connection is closed before the snapshot: no clone wakes up with a dead peer */
    b->agent = NULL;
    flow_next(&b->flow);
}

static int build_step_quiesce(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = agent_quiesce(b->agent, QUIESCE_MS, &b->op, build_on_quiesced, b);

    (void) f;
    return r < 0 ? err_set(e, r, "quiesce: %s", strerror(-r)) : FLOW_WAIT;
}

static void build_on_settled(void *arg)
{
    struct template_build *b = arg;

    flow_next(&b->flow);
}

/* The last packets of that connection leave the guest's sockets and timers. */
static int build_step_settle(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    (void) e;
    timer_free(b->timer);
    b->timer = timer_new(b->host->loop, build_on_settled, b);
    timer_set(b->timer, SETTLE_MS);
    return FLOW_WAIT;
}

/* ---- the snapshot ---- */

static void build_on_qmp(void *arg, int r, const struct json *data, const char *text)
{
    struct template_build *b = arg;

    (void) data;
    if (r != 0)
        flow_fail(&b->flow, r < 0 ? r : -EPROTO, "QEMU's monitor: %s", r < 0 ? strerror(-r) : text);
    else
        flow_next(&b->flow);
}

static int build_qmp(struct template_build *b, const char *command, const char *args, int fd, struct err *e)
{
    int r = machine_qmp(b->machine, command, args, fd, QMP_MS, &b->op, build_on_qmp, b);

    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

static int build_step_stop(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_qmp(arg, "stop", NULL, -1, e);
}

static int build_step_add_fd(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    return build_qmp(b, "add-fd", "{\"fdset-id\":100,\"opaque\":\"state\"}", b->state_fd, e);
}

static int build_step_save(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    fd_closep(&b->state_fd); /* QEMU's own copy writes */
    return build_qmp(b, "xen-save-devices-state", "{\"filename\":\"/dev/fdset/100\",\"live\":false}", -1, e);
}

static void build_on_quit_late(void *arg)
{
    struct template_build *b = arg;

    flow_fail(&b->flow, -ETIMEDOUT, "QEMU does not quit");
}

/* quit, not kill: the disk image's own caches are written at its end. */
static int build_step_quit(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = machine_qmp(b->machine, "quit", NULL, -1, QMP_MS, NULL, NULL, NULL);

    (void) f;
    b->quitting = true;
    timer_free(b->timer);
    b->timer = timer_new(b->host->loop, build_on_quit_late, b);
    timer_set(b->timer, QUIT_MS);
    return r < 0 ? err_set(e, r, "QEMU's monitor: %s", strerror(-r)) : FLOW_WAIT;
}

/* ---- the proof: a VM made of it ---- */

static void build_on_test_ended(void *arg, enum vm_error r)
{
    struct template_build *b = arg;

    if (r == VM_OK)
        flow_next(&b->flow);
    else
        flow_fail(&b->flow, -EIO, "the test machine could not be removed");
}

static void build_on_tested(void *arg, enum vm_error r, struct vm *v, const char *text)
{
    struct template_build *b = arg;
    char id[PRIV_NAME_SIZE];

    if (r != VM_OK) {
        flow_fail(&b->flow, -EIO, "a machine could not be restored from it: %s", text);
        return;
    }
    (void) str_copy(id, sizeof(id), v->j.id);
    log_info(NULL, "snapshot restored as a test", "template", b->t->slug, "total_ms", LOG_I64(v->timings.total / 1000));
    vms_delete(b->host->vms, id, 0, true, &b->op, build_on_test_ended, b);
}

static int build_step_test(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    (void) e;
    b->t->unfinished = true;
    vms_create_from(b->host->vms, b->name, b->t, &b->op, build_on_tested, b);
    return FLOW_WAIT;
}

static int build_undo_test(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) f;
    build_cancel(b); /* the machine is ended before its files go */
    if (vms_find(b->host->vms, b->name)) {
        vms_delete(b->host->vms, b->name, 0, true, &b->op, build_on_test_ended, b);
        return FLOW_WAIT;
    }
    return FLOW_NEXT;
}

static const struct flow_step build_steps[] = {
    {"kernel", build_step_kernel, NULL},
    {"look", build_step_look, build_undo_store},
    {"create", build_step_create, build_undo_blob},
    {"copy", build_step_copy, build_undo_blob},
    {"keep", build_step_blob, build_undo_blob},
    {"initramfs", build_step_initrd, NULL},
    {"look", build_step_look, build_undo_store},
    {"create", build_step_create, build_undo_blob},
    {"copy", build_step_copy, build_undo_blob},
    {"keep", build_step_blob, build_undo_blob},
    {"root disk", build_step_rootfs, NULL},
    {"look", build_step_look, build_undo_store},
    {"create", build_step_create, build_undo_blob},
    {"copy", build_step_copy, build_undo_blob},
    {"keep", build_step_blob, build_undo_blob},
    {"begin", build_step_begin, build_undo_begin},
    {"disk file", build_step_disk, build_undo_store},
    {"overlay", build_step_write_disk, build_undo_store},
    {"memory file", build_step_memory, build_undo_store},
    {"state file", build_step_state, build_undo_store},
    {"slot", build_step_slot, build_undo_slot},
    {"folder", build_step_folder, build_undo_folder},
    {"start", build_step_qemu, build_undo_qemu},
    {"boot", build_step_boot, build_undo_agent},
    {"quiesce", build_step_quiesce, build_undo_agent},
    {"settle", build_step_settle, build_undo_qemu},
    {"stop", build_step_stop, build_undo_qemu},
    {"add fd", build_step_add_fd, build_undo_qemu},
    {"save", build_step_save, build_undo_qemu},
    {"quit", build_step_quit, build_undo_qemu},
    {"release", build_step_release, NULL},
    {"unfolder", build_step_unfolder, NULL},
    {"open state", build_step_open_state, build_undo_store},
    {"open disk", build_step_open_disk, build_undo_store},
    {"checksums", build_step_sums, build_undo_store},
    {"sums file", build_step_create_sums, build_undo_store},
    {"sums", build_step_write_sums, build_undo_store},
    {"meta file", build_step_create_meta, build_undo_store},
    {"meta", build_step_write_meta, build_undo_store},
    {"test", build_step_test, build_undo_test},
    {"commit", build_step_commit, build_undo_store},
    {0},
};

/* ---- life ---- */

static const struct build_words {
    const char *step, *text;
} build_words[] = {
    {"root disk", "taking the root disk into the store"},
    {"boot", "booting the guest, waiting for its agent"},
    {"quiesce", "saving the machine"},
    {"release", "computing checksums"},
    {"test", "restoring it once as a test"},
};

/* Progress: the words of the step that comes after the one that ended. */
static void build_on_step(void *arg, const char *name, uint64_t ns)
{
    struct template_build *b = arg;
    const char *next = b->flow.steps[b->flow.at + 1].name;

    log_debug(NULL, "template step done", "template", b->t->slug, "step", name, "ms", LOG_U64(ns / 1000000));
    for (size_t i = 0; i < ARRAY_LEN(build_words); i++) {
        if (!str_eq(build_words[i].step, next))
            continue;
        (void) str_copy(b->t->message, sizeof(b->t->message), build_words[i].text);
        log_info(NULL, "making a template", "template", b->t->slug, "version", b->t->version, "now", build_words[i].text);
    }
}

void build_cancel(struct template_build *b)
{
    op_cancel(&b->op);
    timer_cancel(b->timer);
}

static void build_close(struct template_build *b)
{
    build_cancel(b);
    agent_free(b->agent);
    machine_free(b->machine);
    timer_free(b->timer);
    fd_closep(&b->qmp_listener);
    fd_closep(&b->state_fd);
    fd_closep(&b->memory_fd);
    fd_closep(&b->fd);
    buf_deinit(&b->sums);
}

static void build_reap(void *object)
{
    free(object);
}

void template_build_drop(struct template_build *b)
{
    if (!b)
        return;
    flow_drop(&b->flow);
    build_close(b);
    loop_reap(b->host->loop, b, build_reap);
}

static void build_done(void *arg, int r, const struct err *e)
{
    struct template_build *b = arg;
    struct err why = *e;
    template_built_fn *done = b->done;
    void *done_arg = b->arg;

    if (r == 0)
        log_info(NULL, "template made", "template", b->t->slug, "ms", LOG_U64(clock_mono_ms() - b->began_ms), "memory_mb_used",
                 LOG_U64(b->memory_used / MIB));
    b->t->build = NULL;
    template_build_drop(b);
    done(done_arg, r, &why);
}

int template_build_start(struct template *t, template_built_fn *done, void *arg)
{
    struct template_build *b = xnew(struct template_build);

    b->host = t->host;
    b->t = t;
    b->slot = -1;
    b->qmp_listener = b->state_fd = b->memory_fd = b->fd = -1;
    b->began_ms = clock_mono_ms();
    b->done = done;
    b->arg = arg;
    buf_init(&b->sums, SUMS_BYTES_MAX);
    snprintf(b->name, sizeof(b->name), "template-%.16s", t->snap);
    id_random_hex(t->token, sizeof(t->token) / 2);
    t->build = b;
    log_info(NULL, "making a template", "template", t->slug, "version", t->version, "snapshot", t->snap);
    b->flow.on_step = build_on_step;
    flow_start(&b->flow, b->host->loop, build_steps, build_done, b);
    return 0;
}
