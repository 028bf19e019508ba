/* SPDX-License-Identifier: Apache-2.0 */
/* reconcile - see reconcile.h. */
#include "control/hosts/reconcile.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/wire/host_api.h"
#include "control/db/sandboxes_life.h"
#include "control/life/state.h"
#include "control/sched/catalog.h"

enum { DEADLINE_SLACK_MS = 1500 }; /* less is rounding */

struct reconcile {
    int64_t host_id, grace_ms;
    struct life_row *rows; /* by id */
    bool *shown;           /* by place in rows: the report shows this row's own VM */
    size_t rows_count;
    struct reconcile_plan plan;
};

static int rows_compare(const void *a, const void *b)
{
    const struct life_row *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t row_find(const struct reconcile *c, int64_t id)
{
    size_t low = 0, high = c->rows_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (c->rows[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->rows_count && c->rows[low].id == id ? low : SIZE_MAX;
}

static struct reconcile_action *plan_add(struct reconcile *c, enum reconcile_kind kind, int64_t id,
                                         int64_t generation)
{
    struct reconcile_action *a = &c->plan.items[c->plan.count++];

    *a = (struct reconcile_action){.kind = kind, .id = id, .generation = generation};
    return a;
}

static void plan_end(struct reconcile *c, const struct life_row *row, const char *state,
                     const char *reason)
{
    struct reconcile_action *a = plan_add(c, RECONCILE_END, row->id, row->generation);

    a->state = state;
    a->reason = reason;
}

static bool row_ended(const struct life_row *row)
{
    enum sandbox_state s;

    return state_parse(row->state, &s) < 0 || state_ended(s);
}

/* The reasons that a host may give, and how a row ends by them. */
static const struct {
    const char *reason, *state;
} end_reasons[] = {
    {"killed", "destroyed"},   {"timeout", "destroyed"}, {"guest_shutdown", "destroyed"},
    {"guest_panic", "failed"}, {"qemu_died", "failed"},  {"failed", "failed"},
};

static void plan_ended_vm(struct reconcile *c, const struct host_vm *vm, const struct life_row *row,
                          int64_t id)
{
    bool own = row && row->on_host && row->host_id == c->host_id &&
               row->generation == (int64_t)vm->generation;

    if (own && str_eq(row->state, state_name(STATE_CREATING)) && !row->lease_expired)
        return; /* who makes it will hear of it; the host tells us again */
    plan_add(c, RECONCILE_ACK, id, (int64_t)vm->generation);
    if (!own)
        return;
    if (row_ended(row)) {
        plan_add(c, RECONCILE_OFF_HOST, row->id, row->generation);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(end_reasons); i++) {
        if (str_eq(end_reasons[i].reason, vm->end_reason)) {
            plan_end(c, row, end_reasons[i].state, end_reasons[i].reason);
            return;
        }
    }
    plan_end(c, row, "failed", "failed");
}

static void plan_live_vm(struct reconcile *c, const struct host_vm *vm, const struct life_row *row,
                         int64_t id)
{
    bool own = row && row->on_host && row->host_id == c->host_id &&
               row->generation == (int64_t)vm->generation;

    if (!own || row_ended(row)) {
        plan_add(c, RECONCILE_KILL, id, (int64_t)vm->generation);
        return;
    }
    if (row->missing_ms >= 0)
        plan_add(c, RECONCILE_SEEN, id, row->generation);
    int64_t wanted = row->deadline_us / 1000;

    if (str_eq(row->state, state_name(STATE_READY)) && str_eq(vm->state, "running") &&
        llabs(vm->deadline_ms - wanted) > DEADLINE_SLACK_MS)
        plan_add(c, RECONCILE_DEADLINE, id, row->generation)->deadline_ms = wanted;
}

static void plan_vm(struct reconcile *c, const struct host_vm *vm)
{
    int64_t id = id_parse(vm->id);
    size_t at = row_find(c, id);
    const struct life_row *row = at == SIZE_MAX ? NULL : &c->rows[at];
    bool gone = str_eq(vm->state, "gone");

    if (id < 0)
        return; /* not one of ours: its host's own matter */
    if (row && !c->shown[at] && row->generation == (int64_t)vm->generation)
        c->shown[at] = true;
    if (gone)
        plan_ended_vm(c, vm, row, id);
    else
        plan_live_vm(c, vm, row, id);
}

/* A row that the report does not show. */
static void plan_absent(struct reconcile *c, const struct life_row *row)
{
    if (!row->on_host || row->host_id != c->host_id)
        return; /* only looked up because the report names its id */
    if (row_ended(row)) {
        plan_add(c, RECONCILE_OFF_HOST, row->id, row->generation);
        return;
    }
    if (!str_eq(row->state, state_name(STATE_READY)))
        return; /* somebody works on it, and its lease ends */
    if (row->missing_ms < 0)
        plan_add(c, RECONCILE_MISSING, row->id, row->generation);
    else if (row->missing_ms >= c->grace_ms)
        plan_end(c, row, "failed", "lost");
}

int reconcile_make(int64_t host_id, const struct host_vm *vms, size_t vms_count,
                   const struct life_row *rows, size_t rows_count, int64_t missing_grace_ms,
                   struct arena *a, struct reconcile_plan *out)
{
    struct reconcile c = {
        .host_id = host_id, .grace_ms = missing_grace_ms, .rows_count = rows_count};

    c.rows = arena_alloc(a, rows_count * sizeof(*c.rows));
    c.shown = arena_alloc(a, rows_count * sizeof(*c.shown));
    /* A VM makes at most two actions, an absent row one. */
    c.plan.items = arena_alloc(a, (2 * vms_count + rows_count) * sizeof(*c.plan.items));
    if (!c.rows || !c.shown || !c.plan.items)
        return -ENOMEM;
    for (size_t i = 0; i < rows_count; i++)
        c.rows[i] = rows[i];
    qsort(c.rows, rows_count, sizeof(*c.rows), rows_compare);
    for (size_t i = 0; i < vms_count; i++)
        plan_vm(&c, &vms[i]);
    for (size_t i = 0; i < rows_count; i++) {
        if (!c.shown[i])
            plan_absent(&c, &c.rows[i]);
    }
    *out = c.plan;
    return 0;
}
