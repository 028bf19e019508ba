/* SPDX-License-Identifier: Apache-2.0 */
/* launch - see launch.h. */
#include "control/life/launch.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/metrics/metrics.h"
#include "common/wire/host_api.h"
#include "control/auth/box.h"
#include "control/db/idempotency.h"
#include "control/db/pool.h"
#include "control/db/sandboxes.h"
#include "control/db/sandboxes_life.h"
#include "control/db/tx.h"
#include "control/hosts/host_client.h"
#include "control/life/ender.h"
#include "control/life/state.h"
#include "control/sched/fleet.h"

enum {
    LAUNCH_HOSTS_MAX = 4,
    LAUNCH_START_TRIES = 3,
    LAUNCH_RETRY_MS = 250,
    LAUNCH_LEASE_EXTRA_MS = 30000,
    LAUNCH_ENV_MAX = 4 * MIB
};

enum launch_state {
    LAUNCH_PLACING,   /* waits for a fresh view of the fleet, or chooses */
    LAUNCH_INSERTING, /* the row is being written */
    LAUNCH_MOVING,    /* the row goes to another host */
    LAUNCH_STARTING,  /* the host works */
    LAUNCH_READYING,  /* the row becomes ready */
    LAUNCH_UNDOING,   /* the row becomes failed */
    LAUNCH_UNSURE,    /* answered; the insert may have happened without our knowing: looked up and
                         failed */
    LAUNCH_OVER,
};

struct launches {
    struct launches_conf conf;
    struct list all;
    unsigned count;
};

struct launch {
    struct launches *owner;
    struct list node;
    struct arena *arena; /* owned; the spec's texts */
    struct launch_spec spec;
    enum launch_state state;
    struct op *op;
    struct defer first;
    struct timer *deadline, *again;
    launch_done_fn *done; /* NULL: nobody waits */
    void *arg;
    struct sandbox_row row;             /* as it will be answered */
    int64_t host_ids[LAUNCH_HOSTS_MAX]; /* tried */
    unsigned hosts_count, start_tries;
    struct fleet_host host; /* name and url copied into the arena */
    bool refreshed, inserted;
    int outcome;        /* why it is undone */
    const char *reason; /* for the row */
    char message[300];
    struct buf answer;
    uint64_t begin_us, insert_us, start_us;
};

static struct metric launch_seconds = {.name = "bivouac_control_create_seconds",
                                       .help = "Time from a create's admission to a ready sandbox.",
                                       .kind = METRIC_HISTOGRAM};
static struct metric launch_ok = {.name = "bivouac_control_creates_total",
                                  .labels = "outcome=\"ok\"",
                                  .help = "Creates by outcome.",
                                  .kind = METRIC_COUNTER};
static struct metric launch_failed = {.name = "bivouac_control_creates_total",
                                      .labels = "outcome=\"failed\"",
                                      .help = "Creates by outcome.",
                                      .kind = METRIC_COUNTER};

static void launch_place(struct launch *x);
static void launch_start_vm(struct launch *x);
static void launch_ready(struct launch *x);
static void launch_undo(struct launch *x, int outcome, const char *reason, const char *message);
static void launch_undone(struct launch *x);
static void launch_unsure(struct launch *x);
static void launch_write_failure(struct launch *x);
static void launch_look_up(struct launch *x);

void launch_answer_bound(int64_t team_id, const char *key, char out[320])
{
    snprintf(out, 320, "idempotency:%lld:%s", (long long)team_id, key);
}

static uint64_t launch_now_us(void)
{
    return clock_mono_ns() / 1000;
}

static struct log_ctx launch_log(const struct launch *x)
{
    return (struct log_ctx){.request = x->spec.request_id, .team = x->spec.team_slug};
}

/* ---- the end ---- */
static void launch_free(void *object)
{
    struct launch *x = object;

    timer_free(x->deadline);
    timer_free(x->again);
    if (x->answer.base)
        mem_wipe(x->answer.base, x->answer.cap);
    buf_deinit(&x->answer);
    arena_free(x->arena);
    free(x);
}

static void launch_close(struct launch *x)
{
    assert(x->state != LAUNCH_OVER);
    x->state = LAUNCH_OVER;
    op_cancel(&x->op);
    defer_cancel(&x->first);
    timer_cancel(x->deadline);
    timer_cancel(x->again);
    list_del(&x->node);
    x->owner->count--;
    loop_reap(x->owner->conf.loop, x, launch_free);
}

static void launch_tell(struct launch *x, int outcome)
{
    launch_done_fn *done = x->done;
    void *arg = x->arg;

    metric_add(outcome == LAUNCH_OK ? &launch_ok : &launch_failed, 1);
    x->done = NULL;
    if (done)
        done(arg, outcome, outcome == LAUNCH_OK ? &x->answer : NULL);
}

static void launch_finish(struct launch *x, int outcome)
{
    launch_tell(x, outcome);
    launch_close(x);
}

static void launch_retry(struct launch *x, uint64_t after_ms)
{
    timer_set(x->again, after_ms);
}

static void launch_on_again(void *arg)
{
    struct launch *x = arg;

    switch (x->state) {
    case LAUNCH_STARTING:
        launch_start_vm(x);
        return;
    case LAUNCH_READYING:
        launch_ready(x);
        return;
    case LAUNCH_UNDOING:
        launch_write_failure(x);
        return;
    case LAUNCH_UNSURE:
        launch_look_up(x);
        return;
    default:
        assert(!"only these states wait");
    }
}

static void launch_on_deadline(void *arg)
{
    struct launch *x = arg;

    op_cancel(&x->op);
    timer_cancel(x->again);
    if (x->state == LAUNCH_UNDOING) { /* the database does not come back: the lease ends it */
        launch_undone(x);
        return;
    }
    if (x->state == LAUNCH_UNSURE) { /* likewise */
        launch_close(x);
        return;
    }
    if (!x->inserted) {
        if (x->state == LAUNCH_INSERTING)
            launch_unsure(x);
        else
            launch_finish(x, LAUNCH_E_NO_CAPACITY);
        return;
    }
    launch_undo(x, LAUNCH_E_TIMEOUT, "start_timeout", "the sandbox was not ready in time");
}

/* ---- an insert without an answer ---- */
static void launch_on_looked_up(void *arg, int r, const struct db_tx *tx)
{
    struct launch *x = arg;

    (void)tx;
    if (r == DB_E_AWAY || r == DB_E_TIMEOUT)
        launch_retry(x, LAUNCH_RETRY_MS);
    else
        launch_close(x);
}

/* Its route token is known to nobody else. */
static void launch_look_up(struct launch *x)
{
    struct db_tx *tx = tx_new();

    tx_actor(tx, x->spec.actor, x->spec.request_id);
    life_add_end_unsure(tx, x->row.route_token, "database_away",
                        "the database was lost while the sandbox was made");
    idempotency_add_drop_of_token(tx, x->row.route_token);
    db_run(x->owner->conf.db, tx, 0, &x->op, launch_on_looked_up, x);
}

/* The client hears at once that it did not work; whether a row is there turns out when the database
 * is back. */
static void launch_unsure(struct launch *x)
{
    x->state = LAUNCH_UNSURE;
    launch_tell(x, LAUNCH_E_AWAY);
    timer_set(x->deadline, LAUNCH_LEASE_EXTRA_MS);
    launch_retry(x, LAUNCH_RETRY_MS);
}

/* ---- undo ---- */
/* The row has failed first, so that its host's reports do not bring it back; then the VM is ended,
 * if one may exist. */
static void launch_undone(struct launch *x)
{
    ender_end(x->owner->conf.ender, x->host.id, x->row.id, x->row.generation, x->spec.actor);
    launch_finish(x, x->outcome);
}

static void launch_on_failure_written(void *arg, int r, const struct db_tx *tx)
{
    struct launch *x = arg;

    (void)tx;
    if (r == DB_E_AWAY || r == DB_E_TIMEOUT) {
        launch_retry(x, LAUNCH_RETRY_MS); /* until the deadline; then the lease */
        return;
    }
    launch_undone(x);
}

static void launch_write_failure(struct launch *x)
{
    struct db_tx *tx = tx_new();

    tx_actor(tx, x->spec.actor, x->spec.request_id);
    life_add_end(tx, x->row.id, x->row.generation,
                 x->outcome == LAUNCH_E_ENDED ? "destroyed" : "failed", x->reason, x->message);
    idempotency_add_drop_of_sandbox(tx, x->row.id);
    db_run(x->owner->conf.db, tx, 0, &x->op, launch_on_failure_written, x);
}

static void launch_undo(struct launch *x, int outcome, const char *reason, const char *message)
{
    struct log_ctx ctx = launch_log(x);

    log_warn(&ctx, "create failed", "sandbox", LOG_I64(x->row.id), "reason", reason, "message",
             message);
    x->state = LAUNCH_UNDOING;
    x->outcome = outcome;
    x->reason = reason;
    snprintf(x->message, sizeof(x->message), "%s", message);
    timer_set(x->deadline, LAUNCH_LEASE_EXTRA_MS / 2);
    launch_write_failure(x);
}

/* Nobody would ever learn of it. */
static bool launch_abandoned(struct launch *x)
{
    if (x->done || x->spec.idempotency_key)
        return false;
    launch_undo(x, LAUNCH_E_ENDED, "client_gone", "the client left before the sandbox was ready");
    return true;
}

/* ---- ready ---- */
static void launch_on_ready(void *arg, int r, const struct db_tx *tx)
{
    struct launch *x = arg;
    struct log_ctx ctx = launch_log(x);

    if (r == DB_E_AWAY ||
        r == DB_E_TIMEOUT) { /* may have happened: the statement can be said again */
        launch_retry(x, LAUNCH_RETRY_MS);
        return;
    }
    if (r != DB_OK) {
        launch_undo(x, LAUNCH_E_FAILED, "internal", tx_message(tx));
        return;
    }
    if (tx_affected(tx, 0) == 0) { /* deleted or taken back meanwhile */
        ender_end(x->owner->conf.ender, x->host.id, x->row.id, x->row.generation, x->spec.actor);
        launch_finish(x, LAUNCH_E_ENDED);
        return;
    }
    if (launch_abandoned(x))
        return;
    uint64_t now = launch_now_us();

    metric_observe_us(&launch_seconds, now - x->begin_us);
    log_info(&ctx, "sandbox is ready", "sandbox", LOG_I64(x->row.id), "host", x->host.name,
             "total_us", LOG_U64(now - x->begin_us), "insert_us", LOG_U64(x->insert_us), "start_us",
             LOG_U64(x->start_us));
    launch_finish(x, LAUNCH_OK);
}

static void launch_add_answer(struct launch *x, struct db_tx *tx)
{
    cleanup(buf_deinit) struct buf box = BUF_INIT(MIB);
    char bound[320];

    if (!x->spec.idempotency_key)
        return;
    launch_answer_bound(x->spec.team_id, x->spec.idempotency_key, bound);
    /* An answer that cannot be kept leaves the key without one: it runs out by its time. */
    if (boxes_seal(x->owner->conf.boxes, bound, buf_data(&x->answer), x->answer.len, &box) == 0)
        idempotency_add_finish(tx, x->spec.team_id, x->spec.idempotency_key, 201, buf_data(&box),
                               box.len);
}

static void launch_ready(struct launch *x)
{
    struct db_tx *tx = tx_new();

    x->state = LAUNCH_READYING;
    tx_actor(tx, x->spec.actor, x->spec.request_id);
    life_add_ready(tx, x->row.id, x->row.generation, x->row.started_us);
    launch_add_answer(x, tx);
    db_run(x->owner->conf.db, tx, 0, &x->op, launch_on_ready, x);
}

static void launch_compose(struct launch *x)
{
    x->row.state = state_name(STATE_READY);
    x->row.started_us = clock_real_ms() * 1000;
    buf_clear(&x->answer);
    if (x->owner->conf.compose(x->owner->conf.app, &x->row, &x->answer) < 0) {
        launch_undo(x, LAUNCH_E_FAILED, "internal", "the answer could not be made");
        return;
    }
    launch_ready(x);
}

/* ---- start ---- */
static void launch_on_moved(void *arg, int r, const struct db_tx *tx)
{
    struct launch *x = arg;

    if (r == DB_OK && tx_rows(tx, 0) == 0) {
        launch_finish(x, LAUNCH_E_ENDED);
        return;
    }
    if (r != DB_OK) {
        bool full = r == DB_E_REFUSED && str_eq(tx_sqlstate(tx), DB_STATE_HOST_FULL);

        launch_undo(x, full ? LAUNCH_E_NO_CAPACITY : LAUNCH_E_AWAY,
                    full ? "no_capacity" : "internal",
                    r == DB_E_REFUSED ? tx_message(tx) : "the database is away");
        return;
    }
    x->row.generation = tx_col_i64(tx, 0, 0, 0);
    x->row.host_id = x->host.id;
    launch_start_vm(x);
}

/* The first host refused: another one. */
static void launch_move(struct launch *x)
{
    struct db_tx *tx = tx_new();

    x->state = LAUNCH_MOVING;
    tx_actor(tx, x->spec.actor, x->spec.request_id);
    life_add_place(tx, x->row.id, x->row.generation, x->host.id);
    db_run(x->owner->conf.db, tx, 0, &x->op, launch_on_moved, x);
}

static bool launch_pick(struct launch *x)
{
    struct sched_need need = {.cpu_count = x->spec.cpu_count, .memory_mb = x->spec.memory_mb};
    struct fleet_host to;

    if (x->hosts_count == LAUNCH_HOSTS_MAX)
        return false;
    if (!fleet_pick(x->owner->conf.fleet, x->spec.template_slug, x->spec.version, &need,
                    x->host_ids, x->hosts_count, &to))
        return false;
    x->host.id = to.id;
    x->host.name = arena_strdup(x->arena, to.name);
    x->host.api_url = arena_strdup(x->arena, to.api_url);
    assert(x->host.name && x->host.api_url); /* bounded by LAUNCH_HOSTS_MAX */
    x->host_ids[x->hosts_count++] = to.id;
    return true;
}

static void launch_host_refused(struct launch *x, const struct host_answer *a)
{
    struct log_ctx ctx = launch_log(x);

    log_warn(&ctx, "host did not start the sandbox", "sandbox", LOG_I64(x->row.id), "host",
             x->host.name, "outcome", host_outcome_text(a->outcome), "message", a->message);
    switch (a->outcome) {
    case HOST_E_UNREACHABLE:
        /* The same call again is harmless: it finds what the first one began. */
        if (++x->start_tries < LAUNCH_START_TRIES) {
            launch_retry(x, LAUNCH_RETRY_MS);
            return;
        }
        /* fallthrough */
    case HOST_E_NO_CAPACITY:
    case HOST_E_NO_TEMPLATE:
        x->start_tries = 0;
        if (launch_pick(x))
            launch_move(x);
        else
            launch_undo(x, LAUNCH_E_NO_CAPACITY, "no_capacity", "no host could start the sandbox");
        return;
    case HOST_E_TIMEOUT:
        launch_undo(x, LAUNCH_E_TIMEOUT, "start_timeout", a->message);
        return;
    default:
        launch_undo(x, LAUNCH_E_FAILED, "start_failed", a->message);
    }
}

static void launch_on_started(void *arg, const struct host_answer *a)
{
    struct launch *x = arg;

    x->start_us = launch_now_us() - x->start_us;
    if (a->outcome != HOST_OK) {
        launch_host_refused(x, a);
        return;
    }
    if (!str_eq(a->vm->state, "running") || (int64_t)a->vm->generation != x->row.generation) {
        launch_undo(x, LAUNCH_E_FAILED, "start_failed",
                    "the host's answer does not show a running sandbox");
        return;
    }
    if (!launch_abandoned(x))
        launch_compose(x);
}

static void launch_start_vm(struct launch *x)
{
    char hostname[32];
    struct host_vm_spec spec = {
        .generation = (uint64_t)x->row.generation,
        .template_ref = {.slug = (char *)x->spec.template_slug, .version = (char *)x->spec.version},
        .cpu_count = x->spec.cpu_count,
        .memory_mb = x->spec.memory_mb,
        .route_token = (char *)x->row.route_token,
        .team = (char *)x->spec.team,
        .hostname = hostname,
        .deadline_ms = x->row.deadline_us / 1000,
        .on_timeout = (char *)x->spec.on_timeout,
        .env = *x->spec.env,
    };

    snprintf(hostname, sizeof(hostname), "sandbox-%lld", (long long)x->row.id);
    x->state = LAUNCH_STARTING;
    x->start_us = launch_now_us();
    host_vm_start(x->owner->conf.clients, &x->host, x->row.id, &spec, x->owner->conf.start_ms,
                  &x->op, launch_on_started, x);
}

/* ---- insert ---- */
static void launch_on_inserted(void *arg, int r, const struct db_tx *tx)
{
    struct launch *x = arg;
    struct log_ctx ctx = launch_log(x);
    unsigned stmt = x->spec.idempotency_key ? 1 : 0;

    if (r == DB_OK) {
        x->inserted = true;
        x->insert_us = launch_now_us() - x->insert_us;
        x->row.id = tx_col_i64(tx, stmt, 0, 0);
        x->row.created_us = tx_col_i64(tx, stmt, 0, 1);
        x->row.deadline_us = tx_col_i64(tx, stmt, 0, 2);
        x->row.generation = 1;
        x->row.host_id = x->host.id;
        launch_start_vm(x);
        return;
    }
    if (r != DB_E_REFUSED) {
        launch_unsure(x);
    } else if (str_eq(tx_sqlstate(tx), DB_STATE_QUOTA)) {
        launch_finish(x, LAUNCH_E_QUOTA);
    } else if (str_eq(tx_sqlstate(tx), DB_STATE_UNIQUE) &&
               str_eq(tx_constraint(tx), IDEMPOTENCY_UNIQUE)) {
        launch_finish(x, LAUNCH_E_KEY_USED);
    } else if (str_eq(tx_sqlstate(tx),
                      DB_STATE_HOST_FULL)) { /* our view was old: look again, at the other hosts */
        x->refreshed = false;
        launch_place(x);
    } else {
        log_error(&ctx, "cannot insert a sandbox", "sqlstate", tx_sqlstate(tx), "message",
                  tx_message(tx));
        launch_finish(x, LAUNCH_E_FAILED);
    }
}

static int launch_seal_env(const struct launch *x, struct buf *out)
{
    cleanup(buf_deinit) struct buf plain = BUF_INIT(LAUNCH_ENV_MAX);
    struct json_writer w;
    int r;

    if (!x->spec.env->count)
        return 0;
    json_writer_init(&w, &plain);
    jw_object(&w);
    for (size_t i = 0; i < x->spec.env->count; i++)
        jw_kstr(&w, x->spec.env->items[i].key, x->spec.env->items[i].value);
    jw_object_end(&w);
    r = json_writer_end(&w);
    if (r == 0)
        r = boxes_seal(x->owner->conf.boxes, x->row.route_token, buf_data(&plain), plain.len, out);
    if (plain.base)
        mem_wipe(plain.base, plain.cap);
    return r;
}

static void launch_insert(struct launch *x)
{
    cleanup(buf_deinit) struct buf env = BUF_INIT(2 * LAUNCH_ENV_MAX);
    const struct launch_spec *s = &x->spec;
    struct db_tx *tx;

    x->state = LAUNCH_INSERTING;
    if (launch_seal_env(x, &env) < 0) {
        launch_finish(x, LAUNCH_E_FAILED);
        return;
    }
    struct sandbox_new row = {
        .team_id = s->team_id,
        .key_id = s->key_id,
        .name = s->name,
        .host_id = x->host.id,
        .template_id = s->template_id,
        .version_id = s->version_id,
        .route_token = x->row.route_token,
        .cpu_count = s->cpu_count,
        .memory_mb = s->memory_mb,
        .timeout_s = s->timeout_s,
        .on_timeout = s->on_timeout,
        .auto_resume = s->auto_resume,
        .keep_hot = s->keep_hot,
        .metadata = s->metadata,
        .network = s->network,
        .env_box = env.len ? buf_data(&env) : NULL,
        .env_len = env.len,
        .lease_ms = x->owner->conf.total_ms + LAUNCH_LEASE_EXTRA_MS,
    };

    tx = tx_new();
    tx_actor(tx, s->actor, s->request_id);
    if (s->idempotency_key)
        idempotency_add_begin(tx, s->team_id, s->idempotency_key, s->request_hash,
                              x->owner->conf.idempotency_keep_s);
    life_add_insert(tx, &row);
    if (s->idempotency_key)
        idempotency_add_bind_new_sandbox(tx, s->team_id, s->idempotency_key);
    x->insert_us = launch_now_us();
    db_run(x->owner->conf.db, tx, 0, &x->op, launch_on_inserted, x);
}

/* ---- place ---- */
static void launch_on_fleet(void *arg, int r)
{
    struct launch *x = arg;

    if (r == DB_E_AWAY || r == DB_E_TIMEOUT)
        launch_finish(x, LAUNCH_E_AWAY);
    else
        launch_place(x);
}

static void launch_place(struct launch *x)
{
    x->state = LAUNCH_PLACING;
    if (launch_pick(x)) {
        launch_insert(x);
    } else if (!x->refreshed) {
        x->refreshed = true;
        fleet_refresh(x->owner->conf.fleet, &x->op, launch_on_fleet, x);
    } else {
        launch_finish(x, LAUNCH_E_NO_CAPACITY);
    }
}

/* ---- begin ---- */
static const char *launch_dup(struct launch *x, const char *s)
{
    char *copy = s ? arena_strdup(x->arena, s) : NULL;

    assert(!s || copy); /* the arena is larger than the API's limits */
    return copy;
}

static const struct json_map *launch_dup_env(struct launch *x, const struct json_map *env)
{
    struct json_map *copy = arena_alloc(x->arena, sizeof(*copy));

    assert(copy);
    copy->count = env ? env->count : 0;
    copy->items = arena_alloc(x->arena, copy->count * sizeof(*copy->items));
    assert(copy->items);
    for (size_t i = 0; i < copy->count; i++) {
        copy->items[i].key = (char *)launch_dup(x, env->items[i].key);
        copy->items[i].value = (char *)launch_dup(x, env->items[i].value);
    }
    return copy;
}

static void launch_copy(struct launch *x, const struct launch_spec *s)
{
    struct launch_spec *c = &x->spec;
    char token[ROUTE_TOKEN_LEN + 1];

    *c = *s;
    c->team = launch_dup(x, s->team);
    c->team_slug = launch_dup(x, s->team_slug);
    c->key_id = launch_dup(x, s->key_id);
    c->request_id = launch_dup(x, s->request_id);
    c->actor = launch_dup(x, s->actor);
    c->name = launch_dup(x, s->name);
    c->template_slug = launch_dup(x, s->template_slug);
    c->template_name = launch_dup(x, s->template_name);
    c->version = launch_dup(x, s->version);
    c->on_timeout = launch_dup(x, s->on_timeout);
    c->metadata = launch_dup(x, s->metadata);
    c->network = launch_dup(x, s->network);
    c->env = launch_dup_env(x, s->env);
    c->idempotency_key = launch_dup(x, s->idempotency_key);
    id_route_token(token);
    x->row = (struct sandbox_row){
        .team_id = c->team_id,
        .team = c->team_slug,
        .name = c->name,
        .on_host = true,
        .template_id = c->template_id,
        .version_id = c->version_id,
        .template_slug = c->template_slug,
        .template_name = c->template_name,
        .version = c->version,
        .route_token = launch_dup(x, token),
        .cpu_count = c->cpu_count,
        .memory_mb = c->memory_mb,
        .timeout_s = c->timeout_s,
        .on_timeout = c->on_timeout,
        .auto_resume = c->auto_resume,
        .keep_hot = c->keep_hot,
        .metadata = c->metadata,
        .network = c->network,
    };
}

static void launch_on_first(void *arg)
{
    launch_place(arg);
}

struct launch *launch_start(struct launches *l, const struct launch_spec *spec,
                            launch_done_fn *done, void *arg)
{
    struct launch *x = xnew(struct launch);

    x->owner = l;
    x->arena = arena_new(8 * MIB);
    x->done = done;
    x->arg = arg;
    x->begin_us = launch_now_us();
    buf_init(&x->answer, MIB);
    launch_copy(x, spec);
    x->deadline = timer_new(l->conf.loop, launch_on_deadline, x);
    x->again = timer_new(l->conf.loop, launch_on_again, x);
    timer_set(x->deadline, l->conf.total_ms);
    list_append(&l->all, &x->node);
    l->count++;
    loop_defer(l->conf.loop, &x->first, launch_on_first, x); /* nothing is answered from within */
    return x;
}

void launch_forget(struct launch *x)
{
    x->done = NULL;
    x->arg = NULL;
}

struct launches *launches_new(const struct launches_conf *conf)
{
    struct launches *l = xnew(struct launches);

    l->conf = *conf;
    list_init(&l->all);
    metrics_register(&launch_seconds);
    metrics_register(&launch_ok);
    metrics_register(&launch_failed);
    return l;
}

unsigned launches_count(const struct launches *l)
{
    return l->count;
}

void launches_free(struct launches *l)
{
    if (!l)
        return;
    while (!list_empty(&l->all)) {
        struct launch *x = LIST_ENTRY(l->all.next, struct launch, node);

        x->done = NULL;
        launch_close(x);
    }
    free(l);
}
