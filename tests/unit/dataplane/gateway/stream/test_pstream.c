/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pstream - frames on their way from agent to store to watchers while links and stores come and go: random runs against the rule that
 * each watcher sees each frame once, in order, only after it was stored; and that nothing is acknowledged before it is stored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/wire/gate_link.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"
#include "tests/unit/dataplane/gateway/stream/fake_world.h"

#define STARTED "{\"os_pid\":7,\"started_at_us\":1,\"cmd\":\"x\"}"
#define EXIT "{\"exit_code\":5,\"error\":null,\"finished_at_us\":1}"

enum { CLIENTS = 6, SEEN_MAX = 4096 };

struct client {
    struct watcher w;
    struct pstream *p; /* NULL: not attached */
    struct op *page;
    uint64_t to, since;
    unsigned started, exits;
    bool truncated;
    int closed;
    char code[64];
    uint64_t seen[SEEN_MAX];
    size_t seen_count;
    size_t queued;
};

struct world {
    struct loop *loop;
    struct stream_env env;
    struct sandbox_table *table;
    struct sandbox *sandbox;
    struct streams *s;
    struct client clients[CLIENTS];
};

static void on_sandbox(void *arg, struct sandbox *sb)
{
    (void) arg;
    (void) sb;
}

static void on_sandbox_changed(void *arg, struct sandbox *sb, bool restarted)
{
    (void) arg;
    (void) sb;
    (void) restarted;
}

static void on_sandbox_gone(void *arg, struct sandbox *sb, const char *reason)
{
    (void) arg;
    (void) sb;
    (void) reason;
}

static int setup(void **state)
{
    static const struct sandbox_table_ops ops = {on_sandbox, on_sandbox_changed, on_sandbox_gone};
    struct gate_msg m = {.t = (char *) "route", .id = (char *) "1", .rt = (char *) "aaaaaaaaaaaaaaaaaaaaaaaa", .generation = 1,
                         .state = (char *) "running",
                         .agent_token = (char *) "1111111111111111111111111111111111111111111111111111111111111111"};
    struct world *x = xnew(struct world);

    assert_int_equal(loop_new(&x->loop), 0);
    x->env = (struct stream_env){.loop = x->loop, .workers = 1,
                                 .limits = {.retention_bytes = 8 << 20, .sandbox_retention_bytes = 64 << 20, .frames_ttl_ms = 3600000,
                                            .proc_ttl_ms = 86400000, .sandbox_pending_bytes = 4096, .total_pending_bytes = 1 << 20,
                                            .watcher_queue_bytes = 600, .watchers_per_process = 64, .processes_per_sandbox = 100}};
    list_init(&x->env.all);
    list_init(&x->env.sessions);
    fake_store_reset();
    fake_link_reset();
    x->table = sandbox_table_new(&ops, NULL);
    assert_int_equal(sandbox_table_route(x->table, &m), 0);
    x->sandbox = sandbox_by_rt(x->table, m.rt);
    x->s = streams_new(&x->env, x->sandbox, NULL);
    *state = x;
    return 0;
}

/* ---- clients ---- */

static size_t client_send(void *arg, const void *p, size_t len)
{
    struct client *c = arg;
    char text[512];

    assert_int_equal(c->closed, 0);
    assert_true(len < sizeof(text));
    memcpy(text, p, len);
    text[len] = '\0';
    c->queued += len;
    if (strstr(text, "\"type\":\"started\"")) {
        assert_int_equal(c->seen_count + c->started, 0);
        c->started++;
        c->truncated = strstr(text, "truncated") != NULL;
        return c->queued;
    }
    assert_int_equal(c->started, 1);
    if (strstr(text, "\"type\":\"exit\"")) {
        assert_non_null(strstr(text, "\"exit_code\":5"));
        c->exits++;
        return c->queued;
    }
    c->seen[c->seen_count++] = strtoull(strstr(text, "\"cursor\":") + 9, NULL, 10);
    assert_true(c->seen_count < SEEN_MAX);
    return c->queued;
}

static void client_detach(struct client *c)
{
    op_cancel(&c->page);
    if (!c->p)
        return;
    pstream_unwatch(c->p, &c->w);
    c->p = NULL;
}

static void client_end(void *arg, int close_code, const char *code, const char *message)
{
    struct client *c = arg;

    (void) message;
    c->closed = close_code;
    snprintf(c->code, sizeof(c->code), "%s", code ? code : "");
    client_detach(c);
}

static void client_on_page(void *arg, int r, const struct redisReply *reply)
{
    cleanup(buf_deinit) struct buf scratch = BUF_INIT(0);
    struct client *c = arg;
    struct watcher_view v;
    size_t n;

    if (r < 0) {
        watcher_read_failed(&c->w);
        return;
    }
    n = store_range_count(reply);
    v = pstream_view(c->p);
    for (size_t i = 0; i < n && c->p; i++) {
        struct store_frame f;

        assert_int_equal(store_range_at(reply, i, &f), 0);
        watcher_page_frame(&c->w, &v, f.cursor, f.kind, (const uint8_t *) f.p, f.len, &scratch);
    }
    if (!c->p)
        return;
    v = pstream_view(c->p);
    watcher_page_end(&c->w, &v, c->to, n < 4);
}

static void client_read(void *arg, uint64_t from)
{
    struct client *c = arg;

    c->to = c->p->stored;
    if (store_range(NULL, "1", "p1", from, c->to, 4, &c->page, client_on_page, c) < 0)
        watcher_read_failed(&c->w);
}

static void client_attach(struct client *c, struct pstream *p, uint64_t since)
{
    static const struct watcher_ops ops = {client_send, client_end, client_read};

    memset(c, 0, sizeof(*c));
    c->since = since;
    c->p = p;
    watcher_init(&c->w, since, 600, &ops, c);
    pstream_watch(p, &c->w);
}

/* What a client saw is whole as far as it goes. */
static void client_check(const struct client *c)
{
    uint64_t next = cursor_replay_from(c->since);

    for (size_t i = 0; i < c->seen_count; i++, next += 2)
        assert_int_equal(c->seen[i], next);
    if (c->seen_count)
        assert_true(c->seen[c->seen_count - 1] <= fake_agent_last());
}

static void client_take(struct client *c)
{
    struct watcher_view v;

    c->queued = 0;
    if (!c->p)
        return;
    v = pstream_view(c->p);
    watcher_drain(&c->w, &v);
}

static int teardown(void **state)
{
    struct world *x = *state;

    for (int i = 0; i < CLIENTS; i++)
        client_detach(&x->clients[i]);
    fake_store_reset();
    streams_free(x->s);
    sandbox_table_free(x->table);
    (void) !loop_turn(x->loop, 0);
    loop_free(x->loop);
    fake_store_reset();
    fake_link_reset();
    free(x);
    return 0;
}

/* ---- steps ---- */

static void turn(struct world *x)
{
    assert_int_equal(loop_turn(x->loop, 0), 0);
}

static void print(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fake_agent_print(LINK_STDOUT, "0123456789", 10);
}

static void begin(struct world *x)
{
    fake_link_up(x->s);
    fake_agent_print(LINK_STARTED, STARTED, strlen(STARTED));
    assert_int_equal(fake_link_deliver(x->s, 1), 0);
    turn(x);
}

static void settle(struct world *x)
{
    for (int i = 0; i < 400; i++) {
        assert_int_equal(fake_link_deliver(x->s, 1000), 0);
        turn(x);
        fake_store_answer(1000);
        for (int k = 0; k < CLIENTS; k++)
            client_take(&x->clients[k]);
    }
}

static void tick(struct world *x)
{
    struct pstream *p = streams_find(x->s, "p1");

    if (p)
        (void) pstream_tick(p);
}

static void test_stored_before_it_is_seen_and_acknowledged(void **state)
{
    struct world *x = *state;
    struct pstream *p;

    begin(x);
    p = streams_find(x->s, "p1");
    client_attach(&x->clients[0], p, 0);
    fake_store_answer(1); /* the load */
    turn(x);
    assert_int_equal(fake_store_pending(), 1);
    assert_int_equal(x->clients[0].started, 0);
    fake_store_answer(1); /* the append */
    assert_int_equal(x->clients[0].started, 1);
    assert_int_equal(fake_agent_acked(), 0); /* it has to settle */
    for (int i = 0; i < 2; i++)
        tick(x);
    assert_int_equal(fake_agent_acked(), 0);
    tick(x);
    assert_int_equal(fake_agent_acked(), 1);
}

static void test_one_turn_makes_one_batch(void **state)
{
    struct world *x = *state;

    begin(x);
    settle(x);
    print(50);
    assert_int_equal(fake_link_deliver(x->s, 50), 0);
    turn(x);
    assert_int_equal(fake_store_pending(), 1);
    fake_store_answer(1);
    assert_int_equal(fake_store_last(), 101);
}

static void test_hz01_a_new_link_sends_again_what_was_not_acknowledged(void **state)
{
    struct world *x = *state;

    begin(x);
    client_attach(&x->clients[0], streams_find(x->s, "p1"), 0);
    print(20);
    settle(x);
    fake_link_down(x->s);
    print(5);
    fake_link_up(x->s);
    settle(x);
    fake_agent_print(LINK_EXIT, EXIT, strlen(EXIT));
    settle(x);
    client_check(&x->clients[0]);
    assert_int_equal(x->clients[0].seen_count, 25);
    assert_int_equal(x->clients[0].exits, 1);
    assert_int_equal(fake_store_count(), 27);
}

static void test_hz01_the_store_forgets_its_last_appends(void **state)
{
    struct world *x = *state;

    begin(x);
    client_attach(&x->clients[0], streams_find(x->s, "p1"), 0);
    for (int i = 0; i < 10; i++) {
        print(3);
        settle(x);
    }
    fake_store_down(x->s);
    print(3);
    settle(x);
    fake_store_up(x->s, 4);
    settle(x);
    assert_int_equal(fake_store_last(), 67);
    assert_int_equal(fake_store_count(), 34);
    client_check(&x->clients[0]);
    assert_int_equal(x->clients[0].seen_count, 33);
    assert_true(fake_agent_resends() > 0);
}

static void test_a_gap_is_never_filled(void **state)
{
    struct world *x = *state;

    begin(x);
    for (int i = 0; i < 10; i++) {
        print(3);
        settle(x);
    }
    for (int i = 0; i < 3; i++)
        tick(x);
    client_attach(&x->clients[0], streams_find(x->s, "p1"), 0);
    settle(x);
    assert_int_equal(fake_agent_acked(), 61);
    fake_store_down(x->s);
    fake_agent_forget(41);
    fake_store_up(x->s, 8);
    settle(x);
    print(3);
    settle(x);
    assert_int_equal(fake_store_last(), 67);
    assert_true(fake_store_count() < 34);
    client_check(&x->clients[0]); /* it had seen them before they went */
    client_attach(&x->clients[1], streams_find(x->s, "p1"), 0);
    settle(x);
    assert_int_equal(x->clients[1].closed, 1012); /* behind what is left in front of the gap */
    client_check(&x->clients[1]);
    client_attach(&x->clients[2], streams_find(x->s, "p1"), x->clients[1].seen[x->clients[1].seen_count - 1]);
    settle(x);
    assert_true(x->clients[2].truncated);
    assert_int_equal(x->clients[2].seen[0], 43);
}

static void test_refused_appends_are_tried_again(void **state)
{
    struct world *x = *state;

    begin(x);
    settle(x);
    fake_store_refuse(2);
    print(5);
    settle(x);
    assert_int_equal(fake_store_last(), 1);
    tick(x);
    settle(x);
    tick(x);
    settle(x);
    assert_int_equal(fake_store_last(), 11);
}

static void test_hz03_lost_after_what_is_queued(void **state)
{
    struct world *x = *state;
    struct pstream *p;

    begin(x);
    p = streams_find(x->s, "p1");
    client_attach(&x->clients[0], p, 0);
    print(5);
    assert_int_equal(fake_link_deliver(x->s, 5), 0);
    fake_link_down(x->s);
    pstream_lose(p);
    settle(x);
    assert_true(fake_store_lost());
    assert_int_equal(x->clients[0].seen_count, 5);
    assert_int_equal(x->clients[0].exits, 0);
    assert_string_equal(x->clients[0].code, "process_lost");
    assert_false(pstream_tick(p));
}

static void test_a_stalled_store_stops_the_reading(void **state)
{
    struct world *x = *state;

    begin(x);
    settle(x);
    print(200);
    assert_int_equal(fake_link_deliver(x->s, 200), 0); /* more than 4 KiB with their overhead */
    assert_true(fake_link_paused());
    for (int i = 0; i < 20; i++) {
        turn(x);
        fake_store_answer(1);
    }
    assert_false(fake_link_paused());
    settle(x);
    assert_int_equal(fake_store_last(), 401);
}

static void test_what_the_agent_may_not_do(void **state)
{
    struct world *x = *state;

    begin(x);
    settle(x);
    assert_true(x->s->link && fake_link_is_up());
    fake_agent_print(LINK_EXIT, EXIT, strlen(EXIT));
    fake_agent_print(LINK_STDOUT, "late", 4);
    assert_int_equal(fake_link_deliver(x->s, 1), 0);
    assert_true(fake_link_deliver(x->s, 1) < 0);
}

/* Everything at random. Frames are forgotten only as far as a real agent would forget them: what was acknowledged. */
static void random_run(struct world *x, unsigned seed)
{
    unsigned printed = 0;
    struct pstream *p;

    srand(seed);
    begin(x);
    for (int step = 0; step < 600; step++) {
        struct client *c = &x->clients[rand() % CLIENTS];
        unsigned above;

        switch (rand() % 14) {
        case 0:
        case 1:
            if (printed < 300) {
                unsigned n = 1 + (unsigned) rand() % 8;

                print(n);
                printed += n;
            }
            break;
        case 2:
        case 3:
        case 4:
            assert_int_equal(fake_link_deliver(x->s, 1 + (unsigned) rand() % 20), 0);
            break;
        case 5:
        case 6:
            fake_store_answer(1 + (unsigned) rand() % 3);
            break;
        case 7:
            if (rand() % 4 == 0 && fake_link_is_up())
                fake_link_down(x->s);
            else if (!fake_link_is_up())
                fake_link_up(x->s);
            break;
        case 8:
            if (rand() % 3)
                break;
            fake_store_down(x->s);
            above = fake_store_appends_above(fake_agent_acked());
            fake_store_up(x->s, above ? (unsigned) rand() % (above + 1) : 0);
            break;
        case 9:
            tick(x);
            break;
        case 10:
            p = streams_find(x->s, "p1");
            if (p && !c->p && p->state == PSTREAM_LIVE) {
                client_check(c);
                client_attach(c, p, p->stored ? (uint64_t) rand() % (p->stored + 1) : 0);
            }
            break;
        case 11:
            if (rand() % 4 == 0)
                client_detach(c);
            break;
        case 12:
            if (rand() % 8 == 0)
                fake_store_refuse(1);
            break;
        default:
            client_take(c);
        }
        turn(x);
        assert_true(fake_agent_acked() <= fake_store_last()); /* never acknowledged before it is stored */
    }
    if (!fake_link_is_up())
        fake_link_up(x->s);
    fake_agent_print(LINK_EXIT, EXIT, strlen(EXIT));
    fake_store_refuse(0);
    for (int i = 0; i < 4; i++) {
        settle(x);
        tick(x);
    }
    assert_int_equal(fake_store_last(), fake_agent_last());
    assert_int_equal(fake_store_count(), (fake_agent_last() + 1) / 2);
    for (size_t i = 0; i < fake_store_count(); i++)
        assert_int_equal(fake_store_frame(i)->cursor, 2 * i + 1);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &x->clients[i];

        client_check(c);
        if (!c->closed)
            continue;
        assert_int_equal(c->closed, 1000);
        assert_int_equal(c->exits, 1);
        assert_false(c->truncated);
        assert_int_equal(c->seen_count, (fake_agent_last() - cursor_replay_from(c->since)) / 2);
    }
}

static void test_hz01_random_faults(void **state)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        void *again;

        random_run(*state, seed);
        teardown(state);
        setup(&again);
        *state = again;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stored_before_it_is_seen_and_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_turn_makes_one_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz01_a_new_link_sends_again_what_was_not_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz01_the_store_forgets_its_last_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_gap_is_never_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_appends_are_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz03_lost_after_what_is_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stalled_store_stops_the_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_agent_may_not_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz01_random_faults, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
