/* SPDX-License-Identifier: Apache-2.0 */
/* ender - see ender.h. */
#include "control/life/ender.h"
#include <stdlib.h>
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "control/db/pool.h"
#include "control/db/sandboxes_life.h"
#include "control/db/tx.h"
#include "control/hosts/host_client.h"
#include "control/sched/fleet.h"

struct ender {
    struct loop *loop;
    struct db *db;
    struct fleet *fleet;
    struct host_clients *clients;
    uint32_t call_ms;
    struct map *by_key; /* of struct ending */
};

struct ending_key {
    int64_t host_id, sandbox_id, generation;
};

struct ending {
    struct ender *ender;
    struct ending_key key;
    struct op *op;       /* the call to the host, then the database's */
    struct defer failed; /* the host is not known */
    struct list waiters;
    char actor[96];
};

struct ending_waiter {
    struct op op;
    struct list node;
    ender_done_fn *done;
    void *arg;
};

static void ending_free(struct ending *x)
{
    map_del_n(x->ender->by_key, &x->key, sizeof(x->key));
    op_cancel(&x->op);
    defer_cancel(&x->failed);
    free(x);
}

static void ending_tell(struct ending *x, int outcome)
{
    while (!list_empty(&x->waiters)) {
        struct ending_waiter *w = LIST_ENTRY(x->waiters.next, struct ending_waiter, node);

        list_del(&w->node);
        op_finish(&w->op);
        w->done(w->arg, outcome);
        free(w);
    }
}

static void ending_on_db(void *arg, int r, const struct db_tx *tx)
{
    struct ending *x = arg;

    (void)tx;
    if (r != DB_OK) /* the host's next report, which does not name the VM, frees the room */
        log_debug(NULL, "room on host is not given back yet", "sandbox",
                  LOG_I64(x->key.sandbox_id));
    ending_tell(x, HOST_OK); /* who came after the host's answer */
    ending_free(x);
}

static void ending_on_host(void *arg, const struct host_answer *a)
{
    struct ending *x = arg;

    ending_tell(x, a->outcome);
    if (a->outcome != HOST_OK && a->outcome != HOST_E_UNKNOWN) {
        log_warn(NULL,
                 "cannot end a sandbox on its host now; its next report will bring it up again",
                 "sandbox", LOG_I64(x->key.sandbox_id), "host", LOG_I64(x->key.host_id), "outcome",
                 host_outcome_text(a->outcome), "reason", a->message);
        ending_free(x);
        return;
    }
    struct db_tx *tx = tx_new();

    tx_actor(tx, x->actor, NULL);
    life_add_off_host(tx, x->key.sandbox_id, x->key.generation);
    db_run(x->ender->db, tx, 0, &x->op, ending_on_db, x);
}

static void ending_on_no_host(void *arg)
{
    struct host_answer a = {.outcome = HOST_E_UNREACHABLE,
                            .message = "the host is not known here yet"};

    ending_on_host(arg, &a);
}

static struct ending *ending_new(struct ender *e, const struct ending_key *key, const char *actor)
{
    struct ending *x = xnew(struct ending);
    struct fleet_host to;

    x->ender = e;
    x->key = *key;
    list_init(&x->waiters);
    (void)str_copy(x->actor, sizeof(x->actor), actor); /* ours are short */
    map_put_n(e->by_key, key, sizeof(*key), x);
    if (fleet_host(e->fleet, key->host_id, &to))
        host_vm_delete(e->clients, &to, key->sandbox_id, key->generation, e->call_ms, &x->op,
                       ending_on_host, x);
    else
        loop_defer(e->loop, &x->failed, ending_on_no_host, x);
    return x;
}

static struct ending *ender_begin(struct ender *e, int64_t host_id, int64_t sandbox_id,
                                  int64_t generation, const char *actor)
{
    struct ending_key key = {
        .host_id = host_id, .sandbox_id = sandbox_id, .generation = generation};
    struct ending *x = map_get_n(e->by_key, &key, sizeof(key));

    return x ? x : ending_new(e, &key, actor);
}

void ender_end(struct ender *e, int64_t host_id, int64_t sandbox_id, int64_t generation,
               const char *actor)
{
    (void)ender_begin(e, host_id, sandbox_id, generation, actor); /* lives by itself */
}

static void ending_waiter_cancel(struct op *o)
{
    struct ending_waiter *w = CONTAINER_OF(o, struct ending_waiter, op);

    list_del(&w->node);
    free(w);
}

void ender_end_wait(struct ender *e, int64_t host_id, int64_t sandbox_id, int64_t generation,
                    const char *actor, struct op **slot, ender_done_fn *done, void *arg)
{
    struct ending *x = ender_begin(e, host_id, sandbox_id, generation, actor);
    struct ending_waiter *w = xnew(struct ending_waiter);

    w->done = done;
    w->arg = arg;
    op_begin(&w->op, slot, ending_waiter_cancel);
    list_append(&x->waiters, &w->node);
}

struct ender *ender_new(struct loop *l, struct db *db, struct fleet *f, struct host_clients *h,
                        uint32_t call_ms)
{
    struct ender *e = xnew(struct ender);

    e->loop = l;
    e->db = db;
    e->fleet = f;
    e->clients = h;
    e->call_ms = call_ms;
    e->by_key = map_new();
    return e;
}

void ender_free(struct ender *e)
{
    if (!e)
        return;
    for (;;) {
        struct map_iter it = MAP_ITER_INIT;
        struct ending *x = map_next(e->by_key, &it, NULL);

        if (!x)
            break;
        while (!list_empty(&x->waiters)) {
            struct ending_waiter *w = LIST_ENTRY(x->waiters.next, struct ending_waiter, node);

            op_finish(&w->op);
            ending_waiter_cancel(&w->op);
        }
        ending_free(x);
    }
    map_free(e->by_key);
    free(e);
}
