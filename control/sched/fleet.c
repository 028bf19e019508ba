/* SPDX-License-Identifier: Apache-2.0 */
/* fleet - see fleet.h. */
#include "control/sched/fleet.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "control/db/hosts.h"
#include "control/db/pool.h"
#include "control/db/tx.h"

enum { FLEET_EVERY_MS = 1000, FLEET_ARENA_MAX = 64 * MIB, FLEET_READ_MS = 5000 };
enum { FLEET_HOSTS, FLEET_CATALOG };

struct fleet_template {
    const char *slug, *version;
    bool ready;
    int64_t cpu_count, memory_mb; /* 0: not told */
};

struct fleet_entry {
    struct host_row row;
    struct fleet_template *templates;
    size_t templates_count;
};

/* One reading of the tables. */
struct fleet_view {
    struct arena *arena; /* owned; holds all of it */
    uint64_t read_ms;    /* loop time */
    struct fleet_entry *hosts;
    size_t hosts_count;
    struct catalog catalog;
};

struct fleet_waiter {
    struct op op;
    struct list node;
    bool begun; /* waits for the reading that runs; else for the next one */
    fleet_done_fn *done;
    void *arg;
};

struct fleet {
    struct loop *loop;
    struct db *db;
    uint32_t fresh_ms;
    struct fleet_view view;
    struct timer *timer;
    struct op *reading;
    struct list waiters;
    bool again; /* read once more when this reading is done */
};

static struct metric fleet_fresh = {
    .name = "bivouac_control_hosts_fresh",
    .help = "Hosts whose last report is young enough for new sandboxes.",
    .kind = METRIC_GAUGE};

static void fleet_read(struct fleet *f);

static void fleet_view_free(struct fleet_view *v)
{
    arena_free(v->arena);
    *v = (struct fleet_view){0};
}

/* ---- reading ---- */
static int fleet_decode_templates(struct arena *a, struct fleet_entry *h)
{
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    int r = json_parse(&doc, h->row.templates, strlen(h->row.templates), NULL);
    const struct json *list = r == 0 ? json_root(doc) : NULL;

    if (r < 0)
        return r;
    h->templates = arena_alloc(a, json_count(list) * sizeof(*h->templates));
    if (!h->templates)
        return -ENOMEM;
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *item = json_at(list, i);
        const char *slug = json_str(json_get(item, "slug")),
                   *version = json_str(json_get(item, "version"));
        struct fleet_template t = {.ready = str_eq(json_str(json_get(item, "status")), "ready")};

        if (!slug || !version)
            continue;
        t.slug = arena_strdup(a, slug);
        t.version = arena_strdup(a, version);
        if (!t.slug || !t.version)
            return -ENOMEM;
        (void)json_int(json_get(item, "cpu_count"), &t.cpu_count); /* absent: 0 */
        (void)json_int(json_get(item, "memory_mb"), &t.memory_mb);
        h->templates[h->templates_count++] = t;
    }
    return 0;
}

static int fleet_decode(const struct db_tx *tx, struct fleet_view *v)
{
    int rows = tx_rows(tx, FLEET_HOSTS), r = 0;

    v->arena = arena_new(FLEET_ARENA_MAX);
    v->hosts = arena_alloc(v->arena, (size_t)rows * sizeof(*v->hosts));
    if (!v->hosts)
        return -ENOMEM;
    for (int i = 0; i < rows && r == 0; i++) {
        r = hosts_decode(tx, FLEET_HOSTS, i, v->arena, &v->hosts[i].row);
        if (r == 0)
            r = fleet_decode_templates(v->arena, &v->hosts[i]);
    }
    v->hosts_count = (size_t)rows;
    return r < 0 ? r : catalog_decode(tx, FLEET_CATALOG, v->arena, &v->catalog);
}

static void fleet_tell(struct fleet *f, int r)
{
    struct list todo = LIST_INIT(todo);

    LIST_FOR_EACH_SAFE(n, tmp, &f->waiters)
    {
        struct fleet_waiter *w = LIST_ENTRY(n, struct fleet_waiter, node);

        if (w->begun) {
            list_del(&w->node);
            list_append(&todo, &w->node);
        }
    }
    while (!list_empty(&todo)) {
        struct fleet_waiter *w = LIST_ENTRY(todo.next, struct fleet_waiter, node);

        list_del(&w->node);
        op_finish(&w->op);
        w->done(w->arg, r);
        free(w);
    }
}

static void fleet_on_read(void *arg, int r, const struct db_tx *tx)
{
    struct fleet *f = arg;
    struct fleet_view v = {.read_ms = loop_now_ms(f->loop)};
    int decoded = r == DB_OK ? fleet_decode(tx, &v) : 0;

    if (decoded < 0)
        log_error(NULL, "cannot decode hosts and templates", "reason", strerror(-decoded));
    if (r == DB_OK && decoded == 0) {
        fleet_view_free(&f->view);
        f->view = v;
        metric_set(&fleet_fresh, fleet_hosts_fresh(f));
    } else {
        fleet_view_free(&v);
    }
    if (f->again)
        fleet_read(f);
    else
        timer_set(f->timer, FLEET_EVERY_MS);
    fleet_tell(f, r);
}

static void fleet_read(struct fleet *f)
{
    struct db_tx *tx = tx_new();

    f->again = false;
    timer_cancel(f->timer);
    hosts_add_list(tx);
    templates_add_catalog(tx);
    LIST_FOR_EACH(n, &f->waiters)
    LIST_ENTRY(n, struct fleet_waiter, node)->begun = true;
    db_run(f->db, tx, FLEET_READ_MS, &f->reading, fleet_on_read, f);
}

static void fleet_on_timer(void *arg)
{
    struct fleet *f = arg;

    if (!f->reading)
        fleet_read(f);
}

void fleet_refresh_soon(struct fleet *f)
{
    if (f->reading)
        f->again = true; /* what runs may have read before the change */
    else
        fleet_read(f);
}

static void fleet_waiter_cancel(struct op *o)
{
    struct fleet_waiter *w = CONTAINER_OF(o, struct fleet_waiter, op);

    list_del(&w->node);
    free(w);
}

void fleet_refresh(struct fleet *f, struct op **slot, fleet_done_fn *done, void *arg)
{
    struct fleet_waiter *w = xnew(struct fleet_waiter);

    w->done = done;
    w->arg = arg;
    op_begin(&w->op, slot, fleet_waiter_cancel);
    list_append(&f->waiters, &w->node);
    fleet_refresh_soon(f);
}

/* ---- answers ---- */
bool fleet_loaded(const struct fleet *f)
{
    return f->view.arena != NULL;
}

const struct catalog *fleet_catalog(const struct fleet *f)
{
    return &f->view.catalog;
}

static bool fleet_is_fresh(const struct fleet *f, const struct fleet_entry *h)
{
    int64_t since = (int64_t)(loop_now_ms(f->loop) - f->view.read_ms);

    return h->row.heartbeat_age_ms + since <= (int64_t)f->fresh_ms;
}

unsigned fleet_hosts_fresh(const struct fleet *f)
{
    unsigned n = 0;

    for (size_t i = 0; i < f->view.hosts_count; i++)
        n += fleet_is_fresh(f, &f->view.hosts[i]);
    return n;
}

static struct fleet_entry *fleet_entry(const struct fleet *f, int64_t id)
{
    for (size_t i = 0; i < f->view.hosts_count; i++) {
        if (f->view.hosts[i].row.id == id)
            return &f->view.hosts[i];
    }
    return NULL;
}

bool fleet_host(const struct fleet *f, int64_t id, struct fleet_host *out)
{
    const struct fleet_entry *h = fleet_entry(f, id);

    if (!h)
        return false;
    *out = (struct fleet_host){.id = h->row.id, .name = h->row.name, .api_url = h->row.api_url};
    return true;
}

static bool fleet_has_template(const struct fleet_entry *h, const char *slug, const char *version,
                               const struct sched_need *need)
{
    for (size_t i = 0; i < h->templates_count; i++) {
        const struct fleet_template *t = &h->templates[i];

        if (t->ready && str_eq(t->slug, slug) && str_eq(t->version, version) &&
            (!t->cpu_count || t->cpu_count == need->cpu_count) &&
            (!t->memory_mb || t->memory_mb == need->memory_mb))
            return true;
    }
    return false;
}

bool fleet_pick(struct fleet *f, const char *slug, const char *version,
                const struct sched_need *need, const int64_t *except, size_t except_count,
                struct fleet_host *out)
{
    size_t n = f->view.hosts_count;
    cleanup(freep) struct sched_host *hosts = xcalloc(n + 1, sizeof(*hosts));

    for (size_t i = 0; i < n; i++) {
        const struct fleet_entry *h = &f->view.hosts[i];

        hosts[i] = (struct sched_host){
            .id = h->row.id,
            .draining = h->row.draining,
            .fresh = fleet_is_fresh(f, h),
            .has_template = fleet_has_template(h, slug, version, need),
            .capacity_vcpus = h->row.capacity_vcpus,
            .capacity_memory_mb = h->row.capacity_memory_mb,
            .capacity_vms = h->row.capacity_vms,
            .reserved_vcpus = h->row.reserved_vcpus,
            .reserved_memory_mb = h->row.reserved_memory_mb,
            .reserved_vms = h->row.reserved_vms,
            .disk_bytes_total = h->row.disk_bytes_total,
            .disk_bytes_free = h->row.disk_bytes_free,
        };
    }
    const struct sched_host *best = sched_pick(hosts, n, need, except, except_count);

    if (!best)
        return false;
    struct fleet_entry *h = &f->view.hosts[best - hosts];

    h->row.reserved_vms++;
    h->row.reserved_vcpus += need->cpu_count;
    h->row.reserved_memory_mb += need->memory_mb;
    *out = (struct fleet_host){.id = h->row.id, .name = h->row.name, .api_url = h->row.api_url};
    return true;
}

/* ---- life ---- */
struct fleet *fleet_new(struct loop *l, struct db *db, uint32_t fresh_ms)
{
    struct fleet *f = xnew(struct fleet);

    f->loop = l;
    f->db = db;
    f->fresh_ms = fresh_ms;
    list_init(&f->waiters);
    f->timer = timer_new(l, fleet_on_timer, f);
    metrics_register(&fleet_fresh);
    fleet_read(f);
    return f;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    op_cancel(&f->reading);
    LIST_FOR_EACH_SAFE(n, tmp, &f->waiters)
    {
        struct fleet_waiter *w = LIST_ENTRY(n, struct fleet_waiter, node);

        op_finish(&w->op);
        fleet_waiter_cancel(&w->op);
    }
    timer_free(f->timer);
    fleet_view_free(&f->view);
    free(f);
}
