/* SPDX-License-Identifier: Apache-2.0 */
/* accel - see accel.h */
#include "dataplane/vmhost/template/accel.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/image/manifest.h"
#include "dataplane/vmhost/priv/probe_guest.h"
#include "dataplane/vmhost/vm/flow.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vmdir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PROBE_DEADLINE_MS = 10000, PROBE_MEMORY_MB = 512, KERNEL_BYTES_MAX = 256 * MIB, CACHE_MAX = 512 };
#define PROBE_NAME "probe"

struct accel_probe {
    struct host *host;
    struct flow flow;
    struct op *op;
    struct timer *timer;     /* owned */
    int slot;                /* -1 */
    struct machine *machine; /* owned */
    int qmp_listener, kernel; /* owned, -1 */
    bool seen;               /* the guest's user space spoke */
    bool dead;               /* QEMU has ended */
    char why[300];           /* why KVM does not work */
    accel_done_fn *done;
    void *arg;
};

/* ---- CPU model ---- */

static bool accel_has(const char *flags, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = strstr(flags, word); p; p = strstr(p + 1, word))
        if ((p == flags || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' ' || p[len] == '\n'))
            return true;
    return false;
}

const char *accel_pick_cpu(const char *vendor, const char *flags)
{
    bool avx2 = accel_has(flags, "avx2") && accel_has(flags, "bmi2") && accel_has(flags, "fma");

    if (strstr(vendor, "AuthenticAMD"))
        return avx2 ? "EPYC" : "Opteron_G3";
    if (avx2 && accel_has(flags, "avx512f") && accel_has(flags, "ibrs"))
        return "Skylake-Server-noTSX-IBRS";
    return avx2 ? "Haswell-noTSX" : "Nehalem";
}

static void accel_cpuinfo(const char *text, const char *key, char *out, size_t size)
{
    const char *p = strstr(text, key);
    size_t len;

    out[0] = '\0';
    p = p ? strchr(p, ':') : NULL;
    if (!p)
        return;
    p += 1 + strspn(p + 1, " \t");
    len = strcspn(p, "\n");
    snprintf(out, size, "%.*s", (int) (len < size ? len : size - 1), p);
}

static unsigned accel_cpu_model(const struct host *h, enum priv_accel accel)
{
    struct buf text = BUF_INIT(4 * MIB);
    char vendor[64], flags[4096];
    const char *name = "Nehalem";

    if (accel == PRIV_ACCEL_TCG)
        return (unsigned) privop_cpu_find("max");
    if (!str_eq(h->conf->cpu_model, "auto")) {
        name = h->conf->cpu_model;
    } else if (file_read("/proc/cpuinfo", 4 * MIB - 1, &text, NULL) == 0 && buf_cstr(&text)) {
        accel_cpuinfo((const char *) buf_data(&text), "vendor_id", vendor, sizeof(vendor));
        accel_cpuinfo((const char *) buf_data(&text), "flags", flags, sizeof(flags));
        name = accel_pick_cpu(vendor, flags);
    }
    buf_deinit(&text);
    return (unsigned) privop_cpu_find(name);
}

/* ---- the answer, kept until the host boots again ---- */

static void accel_cache_key(const struct host *h, char *out, size_t size)
{
    struct buf id = BUF_INIT(128);
    const char *text = file_read("/proc/sys/kernel/random/boot_id", 100, &id, NULL) == 0 ? buf_cstr(&id) : NULL;

    snprintf(out, size, "%.36s %s %s ", text ? text : "?", h->qemu_version, privop_cpu_name(accel_cpu_model(h, PRIV_ACCEL_KVM)));
    buf_deinit(&id);
}

static void accel_cache_path(const struct host *h, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/vms/.probe", h->conf->state_dir);
}

static bool accel_cache_read(const struct host *h, enum priv_accel *out)
{
    struct buf text = BUF_INIT(CACHE_MAX + 1);
    char path[PATH_MAX], key[CACHE_MAX];
    const char *s;
    bool known = false;

    accel_cache_path(h, path);
    accel_cache_key(h, key, sizeof(key));
    s = file_read(path, CACHE_MAX, &text, NULL) == 0 ? buf_cstr(&text) : NULL;
    if (s && str_starts(s, key)) {
        *out = str_eq(s + strlen(key), "kvm") ? PRIV_ACCEL_KVM : PRIV_ACCEL_TCG;
        known = str_eq(s + strlen(key), "kvm") || str_eq(s + strlen(key), "tcg");
    }
    buf_deinit(&text);
    return known;
}

static int accel_work_cache(void *arg, struct err *e)
{
    struct accel_probe *p = arg;
    char path[PATH_MAX], key[CACHE_MAX], text[CACHE_MAX + 8];

    accel_cache_path(p->host, path);
    accel_cache_key(p->host, key, sizeof(key));
    snprintf(text, sizeof(text), "%s%s", key, p->seen ? "kvm" : "tcg");
    if (file_write_atomic(path, text, strlen(text), 0600, e) < 0)
        log_warn(NULL, "result of the probe cannot be kept", "error", e->text);
    return 0;
}

/* ---- the probe ---- */

/* The kernel of the first image that is in order, in a memory file: QEMU may then open it whatever the image's modes are. */
static int probe_load_kernel(struct accel_probe *p, const char *dir, struct err *e)
{
    struct arena *a = arena_new(4 * MANIFEST_BYTES_MAX);
    struct buf text = BUF_INIT(MANIFEST_BYTES_MAX), kernel = BUF_INIT(KERNEL_BYTES_MAX);
    struct manifest m;
    char path[PATH_MAX + 256];
    int r;

    snprintf(path, sizeof(path), "%s/manifest.json", dir);
    r = file_read(path, MANIFEST_BYTES_MAX, &text, e);
    if (r == 0)
        r = manifest_parse(buf_data(&text), text.len, a, &m, e);
    if (r == 0) {
        snprintf(path, sizeof(path), "%s/%s", dir, m.kernel);
        r = file_read(path, KERNEL_BYTES_MAX - 1, &kernel, e);
    }
    if (r == 0) {
        p->kernel = memfd_create("kernel", MFD_CLOEXEC);
        r = p->kernel < 0 ? -errno : fd_write_all(p->kernel, buf_data(&kernel), kernel.len);
    }
    buf_deinit(&kernel);
    buf_deinit(&text);
    arena_free(a);
    return r;
}

static int probe_work_prepare(void *arg, struct err *e)
{
    struct accel_probe *p = arg;
    struct dirent **names;
    int n = scandir(p->host->conf->images_dir, &names, NULL, alphasort);
    int r = -ENOENT;

    for (int i = 0; i < n; i++) {
        char dir[PATH_MAX];

        if (r < 0 && names[i]->d_name[0] != '.' &&
            snprintf(dir, sizeof(dir), "%s/%s", p->host->conf->images_dir, names[i]->d_name) < (int) sizeof(dir) &&
            probe_load_kernel(p, dir, NULL) == 0)
            r = 0;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    if (r < 0)
        return err_set(e, -ENOENT, "no image in '%s' to boot a test guest with", p->host->conf->images_dir);
    return vmdir_make(p->host->conf->state_dir, PROBE_NAME, &p->qmp_listener, e);
}

static int probe_step_prepare(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, probe_work_prepare, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static int probe_work_clear(void *arg, struct err *e)
{
    struct accel_probe *p = arg;

    return vmdir_remove(p->host->conf->state_dir, PROBE_NAME, e);
}

static int probe_undo_prepare(struct flow *f, void *arg)
{
    return flow_work(f, probe_work_clear, arg) < 0 ? FLOW_NEXT : FLOW_WAIT;
}

static int probe_step_clear(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, probe_work_clear, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static void probe_on_slot(void *arg, int r, unsigned slot, const char *text)
{
    struct accel_probe *p = arg;

    if (r < 0) {
        flow_fail(&p->flow, r, "no slot: %s", text);
        return;
    }
    p->slot = (int) slot;
    flow_next(&p->flow);
}

static int probe_step_slot(struct flow *f, void *arg, struct err *e)
{
    struct accel_probe *p = arg;
    int r = pool_take(p->host->pool, &p->op, probe_on_slot, p);

    (void) f;
    return r < 0 ? err_set(e, r, "all slots are in use") : FLOW_WAIT;
}

static void probe_on_clean(void *arg)
{
    struct accel_probe *p = arg;

    p->slot = -1;
    machine_free(p->machine);
    p->machine = NULL;
    flow_next(&p->flow);
}

static int probe_release(struct accel_probe *p)
{
    op_cancel(&p->op);
    timer_cancel(p->timer);
    if (p->slot < 0)
        return FLOW_NEXT;
    pool_release(p->host->pool, (unsigned) p->slot, probe_on_clean, p);
    return FLOW_WAIT;
}

static int probe_undo_slot(struct flow *f, void *arg)
{
    (void) f;
    return probe_release(arg);
}

static int probe_step_release(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    (void) e;
    return probe_release(arg);
}

/* Whatever happened, the probe has its answer: the flow goes on to clean up. */
static void probe_answer(struct accel_probe *p, const char *why)
{
    if (p->dead)
        return;
    p->dead = true;
    timer_cancel(p->timer);
    op_cancel(&p->op);
    if (!p->seen)
        snprintf(p->why, sizeof(p->why), "%s", why);
    if (p->machine)
        machine_kill(p->machine);
    flow_next(&p->flow);
}

static void probe_on_console(void *arg)
{
    struct accel_probe *p = arg;

    if (p->machine && strstr(machine_console(p->machine), PROBE_GUEST_TEXT)) {
        p->seen = true;
        probe_answer(p, NULL);
    }
}

static void probe_on_event(void *arg, const char *name, const struct json *data)
{
    (void) arg;
    (void) name;
    (void) data;
}

static void probe_on_exit(void *arg)
{
    struct accel_probe *p = arg;
    char why[280];

    probe_on_console(p);
    snprintf(why, sizeof(why), "QEMU ended: %.250s", machine_said(p->machine));
    probe_answer(p, why);
}

static void probe_on_qmp_lost(void *arg)
{
    (void) arg; /* its exit follows, or the deadline */
}

static void probe_on_late(void *arg)
{
    probe_answer(arg, "the test guest did not reach user space in time");
}

static void probe_on_started(void *arg, int r, const char *text)
{
    if (r < 0)
        probe_answer(arg, text);
}

static int probe_step_boot(struct flow *f, void *arg, struct err *e)
{
    static const struct machine_ops ops = {.on_event = probe_on_event, .on_exit = probe_on_exit, .on_qmp_lost = probe_on_qmp_lost};
    struct accel_probe *p = arg;
    const struct machine_start start = {
        .slot = (unsigned) p->slot, .mode = PRIV_MODE_PROBE, .cpu_count = 1, .memory_mb = PROBE_MEMORY_MB, .disk_mb = 1, .name = PROBE_NAME,
        .cmdline = "console=ttyS0 panic=-1 reboot=t", .qmp_listener = take_fd(&p->qmp_listener), .disk = -1, .kernel_fd = p->kernel,
        .on_console = probe_on_console, .on_console_arg = p,
    };
    int r;

    (void) f;
    p->host->accel = PRIV_ACCEL_KVM;
    p->host->cpu_model = accel_cpu_model(p->host, PRIV_ACCEL_KVM);
    p->machine = machine_new(p->host, &ops, p);
    p->timer = timer_new(p->host->loop, probe_on_late, p);
    timer_set(p->timer, PROBE_DEADLINE_MS);
    r = machine_start(p->machine, &start, &p->op, probe_on_started, p);
    return r < 0 ? err_set(e, r, "start QEMU: %s", strerror(-r)) : FLOW_WAIT;
}

static int probe_step_keep(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, accel_work_cache, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static const struct flow_step probe_steps[] = {
    {"prepare", probe_step_prepare, probe_undo_prepare},
    {"slot", probe_step_slot, probe_undo_slot},
    {"boot", probe_step_boot, NULL},
    {"release", probe_step_release, NULL},
    {"clear", probe_step_clear, NULL},
    {"keep", probe_step_keep, NULL},
    {0},
};

/* ---- the decision ---- */

static void probe_reap(void *object)
{
    free(object);
}

void accel_drop(struct accel_probe *p)
{
    if (!p)
        return;
    flow_drop(&p->flow);
    op_cancel(&p->op);
    timer_free(p->timer);
    machine_free(p->machine);
    fd_closep(&p->qmp_listener);
    fd_closep(&p->kernel);
    loop_reap(p->host->loop, p, probe_reap);
}

static void accel_use(struct host *h, enum priv_accel accel, const char *why_not_kvm)
{
    h->accel = accel;
    h->cpu_model = accel_cpu_model(h, accel);
    h->accel_known = true;
    if (accel == PRIV_ACCEL_KVM)
        log_info(NULL, "accelerator", "use", "kvm", "cpu_model", privop_cpu_name(h->cpu_model));
    else
        log_warn(NULL, "SOFTWARE EMULATION (tcg): guests are many times slower than on KVM", "reason", why_not_kvm, "cpu_model",
                 privop_cpu_name(h->cpu_model));
}

static void probe_done(void *arg, int r, const struct err *e)
{
    struct accel_probe *p = arg;
    struct host *h = p->host;
    accel_done_fn *done = p->done;
    void *done_arg = p->arg;
    struct err why = *e;

    if (r == 0 && p->seen)
        accel_use(h, PRIV_ACCEL_KVM, NULL);
    else if (r == 0 && str_eq(h->conf->accelerator, "kvm"))
        r = err_set(&why, -ENODEV, "accelerator is set to kvm, but no guest runs on it: %s", p->why);
    else if (r == 0)
        accel_use(h, PRIV_ACCEL_TCG, p->why);
    accel_drop(p);
    done(done_arg, r, &why);
}

static void accel_on_known(void *arg)
{
    struct accel_probe *p = arg;
    struct err e = ERR_INIT;
    accel_done_fn *done = p->done;
    void *done_arg = p->arg;

    accel_drop(p);
    done(done_arg, 0, &e);
}

int accel_find(struct accel_probe **out, struct host *h, accel_done_fn *done, void *arg)
{
    struct accel_probe *p = xnew(struct accel_probe);
    enum priv_accel kept;
    const char *reason = NULL;

    p->host = h;
    p->slot = p->qmp_listener = p->kernel = -1;
    p->done = done;
    p->arg = arg;
    *out = p;
    if (str_eq(h->conf->accelerator, "tcg"))
        reason = "the configuration says so";
    else if (str_eq(h->conf->accelerator, "auto") && access("/dev/kvm", F_OK) < 0)
        reason = "this machine has no /dev/kvm";
    else if (str_eq(h->conf->accelerator, "auto") && accel_cache_read(h, &kept))
        reason = kept == PRIV_ACCEL_TCG ? "a test guest did not run on KVM since the machine was booted" : "";
    if (!reason) {
        log_info(NULL, "probing KVM with a test guest", "deadline_s", LOG_U64(PROBE_DEADLINE_MS / 1000));
        flow_start(&p->flow, h->loop, probe_steps, probe_done, p);
        return 0;
    }
    accel_use(h, *reason ? PRIV_ACCEL_TCG : PRIV_ACCEL_KVM, reason);
    p->timer = timer_new(h->loop, accel_on_known, p);
    timer_set(p->timer, 0);
    return 0;
}
