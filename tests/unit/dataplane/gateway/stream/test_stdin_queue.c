/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/loop/op.h"
#include "dataplane/gateway/link/alink.h"
#include "dataplane/gateway/stream/stdin_queue.h"

/* ---- the link: keeps what was sent until the test answers it ---- */

struct sent {
    enum link_type type;
    size_t len;
    alink_done_fn *done;
    void *arg;
};
static struct sent sent[1000];
static unsigned sent_count, answered;
static bool link_up;

int alink_request(struct alink *a, struct link_msg *m, uint32_t deadline_ms, struct op **slot, alink_done_fn *done, void *arg)
{
    (void) a;
    (void) slot;
    assert_int_equal(deadline_ms, 0); /* a process that does not read is no fault */
    if (!link_up)
        return -ENOTCONN;
    sent[sent_count++] = (struct sent){m->type, m->data_len, done, arg};
    return 0;
}

static void answer(int r, const char *error)
{
    struct link_result res = {.error = (char *) error};
    struct sent *s = &sent[answered++];

    s->done(s->arg, r, r < 0 ? NULL : &res);
}

/* ---- clients ---- */

struct client {
    struct stdin_owner owner;
    unsigned taken, closes;
    size_t bytes;
    char refused[64];
};

static void on_taken(struct stdin_owner *o, bool was_close, size_t bytes)
{
    struct client *c = CONTAINER_OF(o, struct client, owner);

    if (was_close)
        c->closes++;
    else
        c->taken++;
    c->bytes += bytes;
}

static void on_refused(struct stdin_owner *o, const char *code, const char *message)
{
    struct client *c = CONTAINER_OF(o, struct client, owner);

    assert_string_equal(c->refused, ""); /* once */
    assert_non_null(strstr(message, "closed"));
    snprintf(c->refused, sizeof(c->refused), "%s", code);
}

#define CLIENT {.owner = {on_taken, on_refused}}

static struct stdin_queue queue;
static uint8_t bytes[1 << 20];

static int setup(void **state)
{
    (void) state;
    sent_count = answered = 0;
    link_up = true;
    stdin_queue_init(&queue, NULL, "p1");
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    stdin_queue_deinit(&queue);
    while (answered < sent_count)
        answer(-ECANCELED, NULL); /* as the end of the link does */
    return 0;
}

static int add(struct client *c, size_t len, bool close)
{
    return stdin_queue_add(&queue, c ? &c->owner : NULL, bytes, len, close);
}

static void test_one_acknowledgement_for_each_message_in_order(void **state)
{
    struct client c = CLIENT;

    (void) state;
    assert_int_equal(add(&c, 10, false), 0);
    assert_int_equal(add(&c, 0, false), 0);
    assert_int_equal(add(&c, 20, false), 0);
    assert_int_equal(add(&c, 0, true), 0);
    assert_int_equal(sent_count, 4);
    assert_int_equal(sent[3].type, LINK_CLOSE_STDIN);
    for (unsigned i = 0; i < 3; i++) {
        answer(0, NULL);
        assert_int_equal(c.taken, i + 1);
    }
    assert_int_equal(c.closes, 0);
    answer(0, NULL);
    assert_int_equal(c.closes, 1);
    assert_int_equal(c.bytes, 30);
    assert_int_equal(queue.bytes, 0);
}

static void test_large_messages_go_in_pieces_through_a_window(void **state)
{
    struct client c = CLIENT;

    (void) state;
    assert_int_equal(add(&c, sizeof(bytes), false), 0);
    assert_int_equal(sent_count, 4); /* 256 KiB under way */
    for (unsigned i = 0; i < 15; i++)
        answer(0, NULL);
    assert_int_equal(c.taken, 0);
    answer(0, NULL);
    assert_int_equal(c.taken, 1);
    assert_int_equal(sent_count, 16);
    assert_int_equal(queue.window, 0);
}

static void test_what_was_read_before_a_close_is_sent(void **state)
{
    struct client c = CLIENT;

    (void) state;
    assert_int_equal(add(&c, sizeof(bytes), false), 0);
    stdin_queue_forget(&queue, &c.owner);
    for (unsigned i = 0; i < 16; i++)
        answer(0, NULL);
    assert_int_equal(sent_count, 16);
    assert_int_equal(c.taken, 0);
    assert_int_equal(queue.bytes, 0);
}

static void test_a_refused_message_takes_its_owners_others_with_it(void **state)
{
    struct client a = CLIENT, b = CLIENT;

    (void) state;
    assert_int_equal(add(&a, 5, false), 0);
    assert_int_equal(add(&b, 5, false), 0);
    assert_int_equal(add(&a, 5, false), 0);
    answer(0, "stdin_closed");
    assert_string_equal(a.refused, "stdin_closed");
    answer(0, NULL);
    answer(0, "stdin_closed"); /* of one that is dead */
    assert_int_equal(b.taken, 1);
    assert_string_equal(b.refused, "");
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(queue.window, 0);
}

static void test_an_unknown_fate_is_said(void **state)
{
    struct client c = CLIENT;

    (void) state;
    assert_int_equal(add(&c, 200000, false), 0);
    link_up = false;
    answer(-ECONNRESET, NULL);
    assert_string_equal(c.refused, "stdin_interrupted");
    while (answered < sent_count)
        answer(-ECONNRESET, NULL);
    assert_int_equal(queue.window, 0);
}

static void test_waiting_for_the_link(void **state)
{
    struct client c = CLIENT;

    (void) state;
    link_up = false;
    assert_int_equal(add(&c, 5, false), 0);
    assert_int_equal(sent_count, 0);
    link_up = true;
    stdin_queue_pump(&queue);
    assert_int_equal(sent_count, 1);
    answer(0, NULL);
    assert_int_equal(c.taken, 1);
}

static void test_a_bounded_queue(void **state)
{
    struct client c = CLIENT;
    unsigned n = 0;

    (void) state;
    while (add(&c, sizeof(bytes), false) == 0)
        n++;
    assert_int_equal(n, STDIN_QUEUE_MAX / sizeof(bytes));
}

static void test_the_queue_goes_before_the_answers(void **state)
{
    struct client c = CLIENT;

    (void) state;
    assert_int_equal(add(&c, sizeof(bytes), false), 0);
    stdin_queue_forget(&queue, &c.owner);
    /* teardown ends the queue, then the link */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_acknowledgement_for_each_message_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_messages_go_in_pieces_through_a_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_read_before_a_close_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refused_message_takes_its_owners_others_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_unknown_fate_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_for_the_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_bounded_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_queue_goes_before_the_answers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
