/* SPDX-License-Identifier: Apache-2.0 */
/* test_pool - slots ahead of time, waiting, cleaning until it succeeds, orphans; the test plays the parent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/priv.h"
#include "dataplane/vmhost/vm/pool.h"

struct fixture {
    struct host host;
    struct conf conf;
    int parent;
    unsigned made, destroyed, busy; /* busy: so many times -EAGAIN */
    bool fail_make, closed;
    uint8_t leftovers[PRIV_SLOTS_MAX / 8];
    int state[PRIV_SLOTS_MAX];      /* 1: exists */
    unsigned taken, released, swept;
    int r, last_slot;
};

static int setup(void **state)
{
    static struct fixture f;
    int pair[2];

    memset(&f, 0, sizeof(f));
    f.conf.pool_slots = 2;
    f.conf.max_vms = 4;
    f.host.conf = &f.conf;
    assert_int_equal(loop_new(&f.host.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f.parent = pair[1];
    assert_int_equal(priv_open(&f.host.priv, f.host.loop, pair[0], NULL, NULL), 0);
    assert_int_equal(pool_new(&f.host.pool, &f.host), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pool_free(f->host.pool);
    priv_close(f->host.priv);
    close(f->parent);
    loop_free(f->host.loop);
    return 0;
}

static int parent_do(struct fixture *f, const union priv_message *m, struct priv_reply *rep)
{
    switch (m->head.op) {
    case PRIV_SLOT_MAKE:
        assert_int_equal(f->state[m->slot.slot], 0); /* never twice */
        if (f->fail_make)
            return -ENOMEM;
        f->state[m->slot.slot] = 1;
        f->made++;
        return 0;
    case PRIV_SLOT_DESTROY:
        if (f->busy) {
            f->busy--;
            return -EAGAIN;
        }
        f->state[m->slot.slot] = 0;
        f->destroyed++;
        return 0;
    default:
        memcpy(rep->slots, f->leftovers, sizeof(rep->slots));
        return 0;
    }
}

/* The parent answers what it was asked, the loop turns; until nothing happens. */
static void turn(struct fixture *f)
{
    for (int idle = 0; idle < 12;) {
        union priv_message m;
        size_t nfds = 0;
        ssize_t n = net_recv_fds(f->parent, &m, sizeof(m), NULL, &nfds);

        if (n > 0) {
            struct priv_reply rep = {.id = m.head.id};

            assert_int_equal(privop_check(&m, (size_t) n, 0, NULL), 0);
            rep.result = parent_do(f, &m, &rep);
            assert_int_equal(net_send_fds(f->parent, &rep, sizeof(rep), NULL, 0), 0);
            idle = 0;
        } else {
            idle++;
        }
        assert_int_equal(loop_turn(f->host.loop, 3), 0);
    }
}

static void on_taken(void *arg, int r, unsigned slot, const char *text)
{
    struct fixture *f = arg;

    f->taken++;
    f->r = r;
    f->last_slot = r == 0 ? (int) slot : -1;
    assert_true(r == 0 || text);
}

static void on_released(void *arg)
{
    struct fixture *f = arg;

    f->released++;
}

static void on_swept(void *arg, int r)
{
    struct fixture *f = arg;

    f->swept++;
    assert_int_equal(r, 0);
}

static void test_fills_ahead(void **state)
{
    struct fixture *f = *state;

    turn(f);
    assert_int_equal(f->made, 0); /* not before it is opened */
    pool_open(f->host.pool);
    turn(f);
    assert_int_equal(f->made, 2);
    assert_int_equal(pool_ready(f->host.pool), 2);
    assert_int_equal(pool_take(f->host.pool, &(struct op *){NULL}, on_taken, f), 0);
    turn(f);
    assert_int_equal(f->taken, 1);
    assert_int_equal(f->r, 0);
    assert_int_equal(f->made, 3); /* filled up again */
    assert_int_equal(pool_used(f->host.pool), 1);
}

static void test_more_than_are_ready(void **state)
{
    struct fixture *f = *state;
    struct op *ops[6] = {NULL};

    pool_open(f->host.pool);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pool_take(f->host.pool, &ops[i], on_taken, f), 0);
    op_cancel(&ops[3]);
    turn(f);
    assert_int_equal(f->taken, 5);
    assert_int_equal(pool_used(f->host.pool), 5);
}

static void test_cleaning_takes_its_time(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;

    pool_open(f->host.pool);
    assert_int_equal(pool_take(f->host.pool, &op, on_taken, f), 0);
    turn(f);
    f->busy = 3;
    pool_release(f->host.pool, (unsigned) f->last_slot, on_released, f);
    for (int i = 0; i < 20 && !f->released; i++)
        turn(f);
    assert_int_equal(f->released, 1);
    assert_int_equal(f->busy, 0);
    assert_int_equal(pool_used(f->host.pool), 0);
}

static void test_a_slot_that_cannot_be_made(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;

    f->fail_make = true;
    pool_open(f->host.pool);
    assert_int_equal(pool_take(f->host.pool, &op, on_taken, f), 0);
    turn(f);
    assert_int_equal(f->taken, 1);
    assert_int_equal(f->r, -ENOMEM);
    f->fail_make = false;
    for (int i = 0; i < 100 && pool_ready(f->host.pool) < 2; i++)
        turn(f);
    assert_int_equal(pool_ready(f->host.pool), 2); /* tried again by itself */
}

static void test_hz15_orphans(void **state)
{
    struct fixture *f = *state;

    f->leftovers[0] = 1 << 2 | 1 << 5;
    f->leftovers[127] = 1 << 7;
    f->state[2] = f->state[5] = f->state[1023] = 1;
    assert_true(pool_reserve(f->host.pool, 5)); /* a machine that was adopted */
    assert_false(pool_reserve(f->host.pool, 5));
    assert_false(pool_reserve(f->host.pool, PRIV_SLOTS_MAX));
    pool_sweep(f->host.pool, on_swept, f);
    turn(f);
    assert_int_equal(f->swept, 1);
    assert_int_equal(f->destroyed, 2);
    assert_int_equal(f->state[2] + f->state[1023], 0);
    assert_int_equal(f->state[5], 1);
}

static void test_refill_waits_for_creates(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;

    pool_open(f->host.pool);
    turn(f);
    pool_hold(f->host.pool, true);
    assert_int_equal(pool_take(f->host.pool, &op, on_taken, f), 0);
    turn(f);
    assert_int_equal(f->made, 2);
    pool_hold(f->host.pool, false);
    for (int i = 0; i < 20 && f->made < 3; i++)
        turn(f);
    assert_int_equal(f->made, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fills_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_are_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cleaning_takes_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slot_that_cannot_be_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz15_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refill_waits_for_creates, setup, teardown),
    };

    log_init("test_pool", 2, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
