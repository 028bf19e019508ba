/* SPDX-License-Identifier: Apache-2.0 */
/* selftest - see selftest.h */
#include "dataplane/vmhost/selftest.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/vms.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SELFTEST_POLL_MS = 200 };

struct selftest {
    struct host *host;
    unsigned count, round;
    struct timer *timer;      /* owned */
    struct op *op;
    struct template *template; /* owned reference: under test */
    struct template *tested[64]; /* done with; compared only */
    unsigned tested_count;
    int64_t *total_us, *destroy_us; /* owned: one a round */
    uint64_t began_ns;
    unsigned failed;
    selftest_done_fn *done;
    void *arg;
};

static void selftest_next_template(struct selftest *t);
static void selftest_round(struct selftest *t);

static void selftest_end(struct selftest *t, int code)
{
    printf(code ? "FAILED\n" : "all good\n");
    fflush(stdout);
    t->done(t->arg, code);
}

static int selftest_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

static void selftest_line(const char *what, int64_t *us, unsigned n)
{
    qsort(us, n, sizeof(*us), selftest_compare);
    printf("  %-8s median %6.1f ms   min %6.1f   max %6.1f   (%u runs)\n", what, (double) us[n / 2] / 1000, (double) us[0] / 1000,
           (double) us[n - 1] / 1000, n);
}

static void selftest_template_done(struct selftest *t)
{
    if (t->round > 0) {
        selftest_line("create", t->total_us, t->round);
        selftest_line("destroy", t->destroy_us, t->round);
    }
    if (t->tested_count < 64)
        t->tested[t->tested_count++] = t->template;
    template_unref(t->template);
    t->template = NULL;
    selftest_next_template(t);
}

static void selftest_on_ended(void *arg, enum vm_error r)
{
    struct selftest *t = arg;

    if (r != VM_OK) {
        printf("  destroy failed\n");
        t->failed++;
        selftest_template_done(t);
        return;
    }
    t->destroy_us[t->round++] = (int64_t) ((clock_mono_ns() - t->began_ns) / 1000);
    if (t->round < t->count)
        selftest_round(t);
    else
        selftest_template_done(t);
}

static void selftest_on_created(void *arg, enum vm_error r, struct vm *v, const char *text)
{
    struct selftest *t = arg;
    const struct host_timings *m;

    if (r != VM_OK) {
        printf("  create failed: %s\n", text);
        t->failed++;
        selftest_template_done(t);
        return;
    }
    m = &v->timings;
    t->total_us[t->round] = m->total;
    printf("  create %2u  slot %5.1f  qemu %5.1f  state %5.1f  run %5.1f  init %5.1f  total %6.1f ms\n", t->round + 1,
           (double) m->slot / 1000, (double) m->qemu / 1000, (double) m->state / 1000, (double) m->run / 1000, (double) m->init / 1000,
           (double) m->total / 1000);
    fflush(stdout);
    t->began_ns = clock_mono_ns();
    vms_delete(t->host->vms, v->j.id, 0, true, &t->op, selftest_on_ended, t);
}

static void selftest_create(void *arg)
{
    struct selftest *t = arg;
    char id[PRIV_NAME_SIZE];

    snprintf(id, sizeof(id), "selftest-%u-%u", t->tested_count, t->round);
    vms_create_from(t->host->vms, id, t->template, &t->op, selftest_on_created, t);
}

/* A moment between rounds: the pool makes its next slot, as between the creates of a service. */
static void selftest_round(struct selftest *t)
{
    timer_free(t->timer);
    t->timer = timer_new(t->host->loop, selftest_create, t);
    timer_set(t->timer, SELFTEST_POLL_MS);
}

static void selftest_find(void *arg, struct template *template)
{
    struct selftest *t = arg;

    if (t->template)
        return;
    for (unsigned i = 0; i < t->tested_count; i++)
        if (t->tested[i] == template)
            return;
    t->template = template_ref(template);
}

static void selftest_next_template(struct selftest *t)
{
    templates_each(t->host->templates, selftest_find, t);
    if (!t->template) {
        if (t->tested_count == 0)
            printf("no template: images_dir holds no image\n");
        selftest_end(t, t->failed || t->tested_count == 0);
        return;
    }
    printf("template %s %s: %s%s%s\n", t->template->slug, t->template->version, template_status_name(t->template->status),
           t->template->message[0] ? ", " : "", t->template->message);
    t->round = 0;
    if (t->template->status == TEMPLATE_READY) {
        selftest_round(t);
        return;
    }
    t->failed++;
    selftest_template_done(t);
}

static void selftest_on_wait(void *arg)
{
    struct selftest *t = arg;

    if (!t->host->accel_known || !templates_settled(t->host->templates)) {
        timer_set(t->timer, SELFTEST_POLL_MS);
        return;
    }
    printf("qemu %s, accelerator %s, cpu %s\n", t->host->qemu_version, fingerprint_accel_name(t->host->accel),
           privop_cpu_name(t->host->cpu_model));
    selftest_next_template(t);
}

struct selftest *selftest_start(struct host *h, unsigned count, selftest_done_fn *done, void *arg)
{
    struct selftest *t = xnew(struct selftest);

    t->host = h;
    t->count = count;
    t->total_us = xcalloc(count, sizeof(*t->total_us));
    t->destroy_us = xcalloc(count, sizeof(*t->destroy_us));
    t->done = done;
    t->arg = arg;
    t->timer = timer_new(h->loop, selftest_on_wait, t);
    timer_set(t->timer, 0);
    return t;
}

void selftest_free(struct selftest *t)
{
    if (!t)
        return;
    op_cancel(&t->op);
    timer_free(t->timer);
    template_unref(t->template);
    free(t->total_us);
    free(t->destroy_us);
    free(t);
}
