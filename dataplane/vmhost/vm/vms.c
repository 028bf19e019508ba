/* SPDX-License-Identifier: Apache-2.0 */
/* vms - see vms.h */
#include "dataplane/vmhost/vm/vms.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/gate/gate.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/agent.h"
#include "dataplane/vmhost/vm/disk_watch.h"
#include "dataplane/vmhost/vm/machine.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/tombs.h"
#include "dataplane/vmhost/vm/vm_save.h"
#include "dataplane/vmhost/vm/vm_steps.h"
#include "dataplane/vmhost/vm/vms_internal.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

enum { TOMBS_MAX = 4096, MEMORY_RESERVE_MB = 2048 };

static struct metric metric_creates = {.name = "bivouac_vmhost_creates_total", .help = "Virtual machines made.", .kind = METRIC_COUNTER};
static struct metric metric_create_fails = {
    .name = "bivouac_vmhost_create_failures_total", .help = "Virtual machines that could not be made.", .kind = METRIC_COUNTER,
};
static struct metric metric_create_us = {
    .name = "bivouac_vmhost_create_seconds", .help = "Time of a create, from slot to accepted init.", .kind = METRIC_HISTOGRAM,
};
static struct metric metric_ends = {.name = "bivouac_vmhost_ends_total", .help = "Virtual machines that ended.", .kind = METRIC_COUNTER};
static struct metric metric_vms = {.name = "bivouac_vmhost_vms", .help = "Virtual machines that are not gone.", .kind = METRIC_GAUGE};

/* ---- those who wait ---- */

struct vm_waiter {
    struct op op;
    struct list node;
    vms_created_fn *created; /* one of the two */
    vms_ended_fn *ended;
    void *arg;
};

static void vm_waiter_on_cancel(struct op *op)
{
    struct vm_waiter *w = CONTAINER_OF(op, struct vm_waiter, op);

    list_del(&w->node);
    free(w);
}

static void vm_wait(struct list *list, vms_created_fn *created, vms_ended_fn *ended, struct op **op_slot, void *arg)
{
    struct vm_waiter *w = xnew(struct vm_waiter);

    w->created = created;
    w->ended = ended;
    w->arg = arg;
    list_append(list, &w->node);
    op_begin(&w->op, op_slot, vm_waiter_on_cancel);
}

static void vm_answer(struct list *list, enum vm_error r, struct vm *v, const char *text)
{
    while (!list_empty(list)) {
        struct vm_waiter w = *LIST_ENTRY(list->next, struct vm_waiter, node);
        struct vm_waiter *first = LIST_ENTRY(list->next, struct vm_waiter, node);

        list_del(&first->node);
        op_finish(&first->op);
        free(first);
        if (w.created)
            w.created(w.arg, r, r == VM_OK ? v : NULL, text);
        else
            w.ended(w.arg, r);
    }
}

static void vm_move_waiters(struct list *to, struct list *from)
{
    list_init(to);
    while (!list_empty(from)) {
        struct list *n = from->next;

        list_del(n);
        list_append(to, n);
    }
}

/* ---- objects ---- */

static void vms_count(struct vms *s)
{
    int64_t n = 0;

    LIST_FOR_EACH(node, &s->all)
        n += LIST_ENTRY(node, struct vm, node)->state != VM_GONE;
    metric_set(&metric_vms, n);
}

struct vm *vms_new_vm(struct vms *s, const struct journal_entry *j)
{
    struct vm *v = xnew(struct vm);

    v->host = s->host;
    v->state = VM_CREATING;
    v->j = *j;
    v->qmp_listener = v->disk = -1;
    list_init(&v->waiters);
    list_init(&v->end_waiters);
    list_init(&v->save_waiters);
    list_append(&s->all, &v->node);
    map_put(s->by_id, v->j.id, v);
    if (v->j.route_token[0])
        map_put(s->by_rt, v->j.route_token, v);
    vms_count(s);
    return v;
}

static void vm_free(void *object)
{
    struct vm *v = object;

    mem_wipe(&v->j, sizeof(v->j));
    free(v);
}

void vms_drop_vm(struct vm *v)
{
    struct vms *s = v->host->vms;

    assert(list_empty(&v->waiters) && list_empty(&v->end_waiters) && !v->saving);
    vm_answer(&v->save_waiters, VM_E_INVALID, NULL, "the virtual machine has ended");
    flow_drop(&v->flow);
    vm_cancel(v);
    list_del(&v->node);
    map_del(s->by_id, v->j.id);
    if (v->j.route_token[0] && map_get(s->by_rt, v->j.route_token) == v)
        map_del(s->by_rt, v->j.route_token);
    agent_free(v->agent);
    machine_free(v->machine);
    template_unref(v->template);
    v->template = NULL;
    vm_forget_secrets(v);
    timer_free(v->timer);
    timer_free(v->deadline);
    timer_free(v->io_retry);
    fd_closep(&v->qmp_listener);
    fd_closep(&v->disk);
    vms_count(s);
    loop_reap(v->host->loop, v, vm_free);
}

struct vm *vms_find(struct vms *s, const char *id)
{
    return map_get(s->by_id, id);
}

struct vm *vms_find_rt(struct vms *s, const char *route_token)
{
    return map_get(s->by_rt, route_token);
}

void vms_each(struct vms *s, vms_each_fn *fn, void *arg)
{
    LIST_FOR_EACH_SAFE(node, next, &s->all)
        fn(arg, LIST_ENTRY(node, struct vm, node));
}

/* ---- the end ---- */

static void vm_ended(void *arg, int r, const struct err *e)
{
    struct vm *v = arg;
    struct vms *s = v->host->vms;
    bool forget = v->forget || vm_is_internal(v);
    const char *id = v->j.id;

    (void) e;
    assert(r == 0); /* no step of the end fails */
    metric_add(&metric_ends, 1);
    vm_set_state(v, VM_GONE);
    vms_count(s);
    template_unref(v->template);
    v->template = NULL;
    vms_settle(v);
    if (forget) {
        if (!v->undone)
            tombs_put(s->tombs, id, v->j.generation);
        vm_answer(&v->end_waiters, VM_OK, NULL, NULL);
        vms_drop_vm(v);
    } else {
        vm_answer(&v->end_waiters, VM_OK, NULL, NULL);
        if (s->host->on_vms_changed)
            s->host->on_vms_changed(s->host->on_vms_changed_arg);
    }
}

void vms_begin_end(struct vm *v)
{
    assert(v->state == VM_STOPPING);
    timer_cancel(v->deadline);
    timer_cancel(v->io_retry);
    vm_cancel(v);
    vm_answer(&v->save_waiters, VM_OK, v, NULL); /* taken, and over already; what the end writes is durable too */
    flow_start(&v->flow, v->host->loop, vm_end_steps, vm_ended, v);
}

void vm_end(struct vm *v, const char *reason)
{
    if (!v->end_reason[0])
        (void) str_copy(v->end_reason, sizeof(v->end_reason), reason);
    if (v->state == VM_STOPPING || v->state == VM_GONE)
        return;
    if (v->state == VM_CREATING || flow_running(&v->flow)) {
        v->end_wanted = true;
        flow_fail(&v->flow, -ECANCELED, "ended (%.20s) before it was ready", reason);
        return;
    }
    vm_set_state(v, VM_STOPPING);
    gate_gone(v->host->gate, v, v->end_reason);
    vms_begin_end(v);
}

/* ---- create ---- */

static void vm_timing(void *arg, const char *name, uint64_t ns)
{
    struct vm *v = arg;
    int64_t us = (int64_t) (ns / 1000);

    if (str_eq(name, "slot") || str_eq(name, "files"))
        v->timings.slot += us;
    else if (str_eq(name, "qemu"))
        v->timings.qemu = us;
    else if (str_eq(name, "state"))
        v->timings.state = us;
    else if (str_eq(name, "run"))
        v->timings.run = us;
    else
        v->timings.init += us;
}

static void vm_create_failed(struct vm *v, int r, const struct err *e)
{
    struct log_ctx ctx = {.sandbox = v->j.id, .team = v->j.team};
    char text[sizeof(e->text)];

    memcpy(text, e->text, sizeof(text)); /* v goes first, so that those who wait may try again at once */
    metric_add(&metric_create_fails, 1);
    if (!v->end_wanted)
        log_error(&ctx, "virtual machine could not be made", "error", err_text(e, r));
    if (v->end_wanted)
        tombs_put(v->host->vms->tombs, v->j.id, v->j.generation);
    struct list waiters, enders;

    vm_move_waiters(&waiters, &v->waiters);
    vm_move_waiters(&enders, &v->end_waiters);
    vms_drop_vm(v);
    vm_answer(&waiters, r == -ENOSPC ? VM_E_NO_CAPACITY : VM_E_FAILED, NULL, text);
    vm_answer(&enders, VM_OK, NULL, NULL);
}

static void vm_created(void *arg, int r, const struct err *e)
{
    struct vm *v = arg;
    struct host *h = v->host;

    pool_hold(h->pool, false);
    v->flow.on_step = NULL;
    if (r < 0) {
        vm_create_failed(v, r, e);
        return;
    }
    v->timings.total = (int64_t) ((clock_mono_ns() - v->began_ns) / 1000);
    v->has_timings = true;
    metric_add(&metric_creates, 1);
    metric_observe_us(&metric_create_us, (uint64_t) v->timings.total);
    vm_set_state(v, VM_RUNNING);
    gate_route(h->gate, v);
    vm_arm_deadline(v);
    vm_answer(&v->waiters, VM_OK, v, NULL);
    vm_save_resume(v);
}

static void vm_begin_create(struct vm *v, struct template *t)
{
    v->template = template_ref(t);
    v->began_ns = clock_mono_ns();
    v->flow.on_step = vm_timing;
    pool_hold(v->host->pool, true);
    flow_start(&v->flow, v->host->loop, vm_create_steps, vm_created, v);
}

static bool vms_has_room(struct vms *s, int64_t vcpus, int64_t memory_mb)
{
    struct vms_usage used, all;

    vms_usage(s, &used);
    vms_capacity(s, &all);
    return used.vms + 1 <= all.vms && used.vcpus + vcpus <= all.vcpus && used.memory_mb + memory_mb <= all.memory_mb;
}

static bool vms_copy_env(struct vm *v, const struct json_map *env)
{
    struct json_pair *items;

    v->arena = arena_new(4 * MIB);
    items = env->count ? arena_alloc(v->arena, env->count * sizeof(*items)) : NULL;
    if (env->count && !items)
        return false;
    for (size_t i = 0; i < env->count; i++) {
        items[i].key = arena_strdup(v->arena, env->items[i].key);
        items[i].value = arena_strdup(v->arena, env->items[i].value);
        if (!items[i].key || !items[i].value)
            return false;
    }
    v->env = (struct json_map){items, env->count};
    return true;
}

static bool vms_fill_entry(struct journal_entry *j, const char *id, const struct host_vm_spec *spec, const struct template *t)
{
    *j = (struct journal_entry){
        .generation = spec->generation, .slot = -1, .cpu_count = spec->cpu_count, .memory_mb = spec->memory_mb,
        .deadline_ms = spec->deadline_ms,
    };
    id_random_hex(j->agent_token, AGENT_TOKEN_LEN / 2);
    return privop_name_valid(id, PRIV_NAME_SIZE) && spec->generation <= INT64_MAX && str_copy(j->id, sizeof(j->id), id) &&
           str_copy(j->state, sizeof(j->state), vm_state_name(VM_CREATING)) && str_copy(j->slug, sizeof(j->slug), t->slug) &&
           str_copy(j->template_version, sizeof(j->template_version), t->version) && str_copy(j->snap, sizeof(j->snap), t->snap) &&
           str_copy(j->route_token, sizeof(j->route_token), spec->route_token) && str_copy(j->team, sizeof(j->team), spec->team) &&
           str_copy(j->hostname, sizeof(j->hostname), spec->hostname) && str_copy(j->on_timeout, sizeof(j->on_timeout), spec->on_timeout);
}

static enum vm_error vms_check_template(const struct host *h, const struct template *t, const struct host_vm_spec *spec, const char **text)
{
    *text = NULL;
    if (!t && !h->accel_known) {
        *text = "this host does not know its accelerator yet";
        return VM_E_TEMPLATE_BUILDING;
    }
    if (!t) {
        *text = "this host has no such template";
        return VM_E_NO_TEMPLATE;
    }
    if (t->status == TEMPLATE_BUILDING) {
        *text = "the snapshot of this template is still being made";
        return VM_E_TEMPLATE_BUILDING;
    }
    if (t->status == TEMPLATE_FAILED) {
        *text = t->message;
        return VM_E_TEMPLATE_FAILED;
    }
    if (spec->cpu_count != t->cpu_count || spec->memory_mb != t->memory_mb) {
        *text = "this template has a snapshot for its own size only";
        return VM_E_SIZE;
    }
    return VM_OK;
}

/* An object of that id that is there already. Returns false when a new one may be made. */
static bool vms_create_found(struct vms *s, const char *id, uint64_t generation, struct op **op_slot, vms_created_fn *done, void *arg)
{
    struct vm *v = vms_find(s, id);

    if (tombs_covers(s->tombs, id, generation) || (v && generation < v->j.generation)) {
        done(arg, VM_E_STALE, NULL, "a later generation of this sandbox is known");
        return true;
    }
    if (!v)
        return false;
    if (generation > v->j.generation) {
        if (v->state == VM_GONE) {
            vms_drop_vm(v); /* control starts it again, hence knows that it had ended */
            return false;
        }
        v->forget = true;
        vm_end(v, "killed");
        done(arg, VM_E_ENDING, NULL, "an earlier generation of this sandbox is still ending, try again");
        return true;
    }
    if (v->state == VM_CREATING)
        vm_wait(&v->waiters, done, NULL, op_slot, arg);
    else
        done(arg, VM_OK, v, NULL);
    return true;
}

void vms_create(struct vms *s, const char *id, const struct host_vm_spec *spec, struct op **op_slot, vms_created_fn *done, void *arg)
{
    struct journal_entry j;
    struct template *t;
    const char *text;
    enum vm_error r;
    struct vm *v;

    if (vms_create_found(s, id, spec->generation, op_slot, done, arg))
        return;
    t = templates_find(s->host->templates, spec->template_ref.slug, spec->template_ref.version);
    r = vms_check_template(s->host, t, spec, &text);
    if (r == VM_OK && s->host->draining) {
        r = VM_E_NO_CAPACITY;
        text = "this host is being drained";
    } else if (r == VM_OK && disk_watch_is_full(s->host)) {
        r = VM_E_NO_CAPACITY;
        text = "the disk of this host is nearly full";
    } else if (r == VM_OK && !vms_has_room(s, spec->cpu_count, spec->memory_mb)) {
        r = VM_E_NO_CAPACITY;
        text = "this host has no room for it";
    } else if (r == VM_OK && (!vms_fill_entry(&j, id, spec, t) || map_get(s->by_rt, spec->route_token))) {
        r = VM_E_INVALID;
        text = "a member is too long, or the route token is in use";
    }
    if (r != VM_OK) {
        done(arg, r, NULL, text);
        return;
    }
    v = vms_new_vm(s, &j);
    mem_wipe(&j, sizeof(j));
    if (!vms_copy_env(v, &spec->env)) {
        vms_drop_vm(v);
        done(arg, VM_E_INVALID, NULL, "env is too large");
        return;
    }
    vm_wait(&v->waiters, done, NULL, op_slot, arg);
    vm_begin_create(v, t);
}

void vms_create_from(struct vms *s, const char *id, struct template *t, struct op **op_slot, vms_created_fn *done, void *arg)
{
    const struct host_vm_spec spec = {
        .generation = 1, .cpu_count = t->cpu_count, .memory_mb = t->memory_mb, .route_token = (char *) "", .team = (char *) "",
        .hostname = (char *) "test", .on_timeout = (char *) "kill",
    };
    struct journal_entry j;
    struct vm *v;

    if (vms_find(s, id) || !vms_fill_entry(&j, id, &spec, t)) {
        done(arg, VM_E_INVALID, NULL, "name in use");
        return;
    }
    v = vms_new_vm(s, &j);
    mem_wipe(&j, sizeof(j));
    v->forget = true;
    vm_wait(&v->waiters, done, NULL, op_slot, arg);
    vm_begin_create(v, t);
}

/* ---- delete, deadline, acknowledgement ---- */

static int vms_forget_entry(void *arg)
{
    char **text = arg; /* state_dir, id */

    return journal_remove(text[0], text[1], NULL);
}

static void vms_forgot_entry(void *arg, int r)
{
    char **text = arg;

    if (r < 0)
        log_error(NULL, "journal entry cannot be removed", "sandbox", text[1], "error", strerror(-r));
    free(text[0]);
    free(text[1]);
    free(text);
}

/* The entry of one that is gone. */
static void vms_forget(struct vm *v)
{
    char **text = xcalloc(2, sizeof(*text));

    assert(v->state == VM_GONE);
    text[0] = xstrdup(v->host->conf->state_dir);
    text[1] = xstrdup(v->j.id);
    if (loop_work(v->host->loop, vms_forget_entry, vms_forgot_entry, text) < 0)
        vms_forgot_entry(text, 0); /* it is found gone again after a restart, and told again */
    tombs_put(v->host->vms->tombs, v->j.id, v->j.generation);
    vms_drop_vm(v);
}

void vms_delete(struct vms *s, const char *id, uint64_t generation, bool any_generation, struct op **op_slot, vms_ended_fn *done, void *arg)
{
    struct vm *v = vms_find(s, id);

    if (!v) {
        if (!any_generation && privop_name_valid(id, PRIV_NAME_SIZE))
            tombs_put(s->tombs, id, generation);
        done(arg, VM_OK);
        return;
    }
    if (!any_generation && generation < v->j.generation) {
        done(arg, VM_E_STALE);
        return;
    }
    v->forget = true;
    if (v->state == VM_GONE) {
        vms_forget(v);
        done(arg, VM_OK);
        return;
    }
    vm_wait(&v->end_waiters, NULL, done, op_slot, arg);
    vm_end(v, "killed");
}

void vms_set_deadline(struct vms *s, const char *id, const struct host_deadline *d, struct op **op_slot, vms_created_fn *done, void *arg)
{
    struct vm *v = vms_find(s, id);

    if (!v || v->state == VM_GONE || v->state == VM_STOPPING) {
        done(arg, VM_E_INVALID, NULL, "no such virtual machine runs here");
        return;
    }
    if (d->generation < v->j.generation) {
        done(arg, VM_E_STALE, NULL, "a later generation of this sandbox is known");
        return;
    }
    v->j.deadline_ms = d->deadline_ms;
    if (v->state == VM_RUNNING) {
        vm_arm_deadline(v);
        if (!flow_running(&v->flow))
            gate_route(v->host->gate, v);
    }
    vm_wait(&v->save_waiters, done, NULL, op_slot, arg);
    vm_save_kick(v);
}

void vm_saved(struct vm *v, int r)
{
    vm_answer(&v->save_waiters, r < 0 ? VM_E_FAILED : VM_OK, v, "the change could not be made durable");
}

void vms_ack_ended(struct vms *s, const char *id)
{
    struct vm *v = vms_find(s, id);

    if (v && v->state == VM_GONE)
        vms_forget(v);
}

/* ---- capacity ---- */

void vms_usage(const struct vms *s, struct vms_usage *out)
{
    *out = (struct vms_usage){0};
    LIST_FOR_EACH(node, &s->all) {
        const struct vm *v = LIST_ENTRY(node, struct vm, node);

        if (v->state == VM_GONE)
            continue;
        out->vms++;
        out->vcpus += v->j.cpu_count;
        out->memory_mb += v->j.memory_mb;
    }
}

void vms_capacity(const struct vms *s, struct vms_usage *out)
{
    const struct conf *c = s->host->conf;

    out->vms = c->max_vms;
    out->vcpus = s->vcpus * c->vcpu_pct / 100;
    out->memory_mb = s->memory_mb * c->memory_pct / 100;
}

void vms_disk(const struct vms *s, int64_t *total, int64_t *free_bytes, int *used_pct)
{
    struct disk_usage u;

    disk_watch_read(s->host, &u);
    *total = u.total;
    *free_bytes = u.free_bytes;
    *used_pct = u.used_pct;
}

static void vms_measure(struct vms *s)
{
    const struct conf *c = s->host->conf;
    struct sysinfo si = {0};
    int64_t total_mb, keep;

    (void) sysinfo(&si); /* zeros then, and the configuration must say */
    total_mb = (int64_t) ((uint64_t) si.totalram * si.mem_unit / MIB);
    keep = total_mb / 4 < MEMORY_RESERVE_MB ? total_mb / 4 : MEMORY_RESERVE_MB;
    s->memory_mb = c->memory_mb ? c->memory_mb : total_mb - keep;
    s->vcpus = c->vcpus ? c->vcpus : get_nprocs();
}

/* ---- life ---- */

int vms_new(struct vms **out, struct host *h)
{
    struct vms *s = xnew(struct vms);

    s->host = h;
    s->by_id = map_new();
    s->by_rt = map_new();
    s->tombs = tombs_new(TOMBS_MAX);
    list_init(&s->all);
    vms_measure(s);
    metrics_register(&metric_creates);
    metrics_register(&metric_create_fails);
    metrics_register(&metric_create_us);
    metrics_register(&metric_ends);
    metrics_register(&metric_vms);
    metrics_register(&metric_vm_io_errors);
    *out = s;
    return 0;
}

void vms_free(struct vms *s)
{
    if (!s)
        return;
    while (!list_empty(&s->all)) {
        struct vm *v = LIST_ENTRY(s->all.next, struct vm, node);

        vm_answer(&v->waiters, VM_E_FAILED, NULL, "this service is stopping");
        vm_answer(&v->end_waiters, VM_E_FAILED, NULL, NULL);
        v->saving = false; /* whatever is under way is finished by the worker; nobody is told */
        vms_drop_vm(v);
    }
    tombs_free(s->tombs);
    map_free(s->by_id);
    map_free(s->by_rt);
    free(s);
}
