/* SPDX-License-Identifier: Apache-2.0 */
/* test_frames - cursors, the form on the wire, acknowledgement, retention, limits, readers that are cut short or too slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "agent/procs/frames.h"
#include "common/base/buf.h"

struct fixture {
    struct frames_budget budget;
    struct frames f;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    frames_budget_init(&x->budget, 64 * MIB);
    frames_init(&x->f, &x->budget, "proc-1");
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    frames_deinit(&x->f);
    assert_int_equal(x->budget.bytes, 0);
    frames_budget_deinit(&x->budget);
    free(x);
    return 0;
}

static void put(struct frames *f, size_t len, uint8_t byte)
{
    uint8_t *p = malloc(len ? len : 1);

    memset(p, byte, len);
    frames_append(f, LINK_STDOUT, p, len);
    free(p);
}

/* Reads all there is in steps of at most `step` bytes, checks that it decodes to frames from *next on; returns how many. */
static unsigned drain(struct fixture *x, struct frames_reader *r, size_t step, uint64_t *next)
{
    struct buf in = BUF_INIT(0);
    unsigned count = 0;
    const uint8_t *p;
    size_t len, used;
    uint64_t lost;

    while (frames_read(&x->f, r, &p, &len, &lost) == FRAMES_E_OK) {
        size_t n = len < step ? len : step;

        assert_int_equal(buf_append(&in, p, n), 0);
        frames_advance(r, n);
    }
    while (in.len) {
        struct link_msg m;

        assert_int_equal(link_decode(buf_data(&in), in.len, &m, &used), LINK_E_OK);
        assert_int_equal(m.type, LINK_FRAME);
        assert_int_equal(m.cursor, *next);
        assert_memory_equal(m.pid, "proc-1", 6);
        assert_int_equal(m.pid_len, 6);
        *next += 2;
        count++;
        buf_consume(&in, used);
    }
    buf_deinit(&in);
    return count;
}

static void test_cursors_are_odd_and_the_form_decodes(void **state)
{
    struct fixture *x = *state;
    struct frames_reader r;
    uint64_t next = 1;

    assert_int_equal(frames_last(&x->f), 0);
    frames_append(&x->f, LINK_STARTED, "{}", 2);
    for (int i = 0; i < 1000; i++)
        put(&x->f, (size_t) (i * 37) % 3000, (uint8_t) i);
    assert_int_equal(frames_last(&x->f), 2001);
    frames_reader_init(&r, 1);
    assert_int_equal(drain(x, &r, 777, &next), 1001);
    frames_reader_deinit(&r);
}

static void test_reader_goes_on_in_the_chunk_it_has_read(void **state)
{
    struct fixture *x = *state;
    struct frames_reader r;
    uint64_t next = 1;

    frames_append(&x->f, LINK_STARTED, "{}", 2);
    frames_reader_init(&r, 1);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(drain(x, &r, 13, &next), 1);
        put(&x->f, 64, 'x');
        assert_null(r.chunk); /* nothing is pinned while there is nothing to read */
    }
    frames_reader_deinit(&r);
}

static void test_acknowledged_frames_stay_three_seconds(void **state)
{
    struct fixture *x = *state;
    uint64_t now = 1000;

    frames_append(&x->f, LINK_STARTED, "{}", 2);
    put(&x->f, 100, 'x');
    assert_false(frames_ack(&x->f, 2, now)); /* no cursor */
    assert_false(frames_ack(&x->f, 5, now)); /* not given out */
    assert_true(frames_ack(&x->f, 3, now));
    assert_true(frames_ack(&x->f, 1, now)); /* older than what is acknowledged */
    assert_true(frames_trim(&x->f, now + FRAMES_KEEP_MS - 1));
    assert_int_equal(frames_first(&x->f), 1);
    assert_false(frames_trim(&x->f, now + FRAMES_KEEP_MS));
    assert_int_equal(frames_first(&x->f), 5);
    assert_int_equal(x->f.bytes, 0);
}

static void test_what_is_not_acknowledged_is_never_dropped(void **state)
{
    struct fixture *x = *state;

    frames_append(&x->f, LINK_STARTED, "{}", 2);
    while (!frames_full(&x->f, 1))
        put(&x->f, LINK_DATA_MAX, 'x');
    assert_true(x->f.bytes >= FRAMES_BYTES_MAX);
    assert_true(x->f.bytes < FRAMES_BYTES_MAX + FRAMES_CHUNK_MAX);
    assert_int_equal(frames_first(&x->f), 1);
    assert_false(frames_trim(&x->f, 1000000));
    assert_true(frames_full(&x->f, 1));
    assert_int_equal(frames_first(&x->f), 1);

    /* acknowledged ones make room, however young */
    assert_true(frames_ack(&x->f, frames_last(&x->f) - 2, 1000000));
    assert_false(frames_full(&x->f, 1));
    assert_true(frames_first(&x->f) > 1);
    assert_true(frames_last(&x->f) >= frames_first(&x->f));
}

static void test_budget_leaves_everybody_a_share(void **state)
{
    struct frames_budget b;
    struct frames greedy, modest;

    (void) state;
    frames_budget_init(&b, 2 * MIB);
    frames_init(&greedy, &b, "greedy");
    frames_init(&modest, &b, "modest");
    while (!frames_full(&greedy, 2))
        put(&greedy, LINK_DATA_MAX, 'x');
    assert_true(b.bytes >= b.bytes_max && b.bytes < b.bytes_max + FRAMES_CHUNK_MAX);
    assert_false(frames_full(&modest, 2));
    put(&modest, 100, 'y');
    assert_false(frames_full(&modest, 2));
    while (!frames_full(&modest, 2))
        put(&modest, 4000, 'y');
    assert_true(modest.bytes >= b.bytes_max / 8);
    frames_deinit(&greedy);
    frames_deinit(&modest);
    assert_int_equal(b.bytes, 0);
    frames_budget_deinit(&b);
}

static void test_reader_that_is_too_slow_is_told(void **state)
{
    struct fixture *x = *state;
    struct frames_reader r;
    const uint8_t *p;
    size_t len;
    uint64_t lost = 0, next;

    frames_append(&x->f, LINK_STARTED, "{}", 2);
    for (int i = 0; i < 100; i++)
        put(&x->f, LINK_DATA_MAX, 'x');
    frames_reader_init(&r, 1);
    assert_int_equal(frames_read(&x->f, &r, &p, &len, &lost), FRAMES_E_OK);
    frames_advance(&r, 10); /* in the middle of the first frame */
    assert_true(frames_ack(&x->f, 151, 1));
    assert_true(frames_drop_acked(&x->f, SIZE_MAX) > 0);
    assert_int_equal(frames_read(&x->f, &r, &p, &len, &lost), FRAMES_E_OK); /* its chunk is pinned: the frame can be finished */
    assert_true(frames_rest(&r) > 0 && frames_rest(&r) <= len);
    frames_advance(&r, len);
    assert_int_equal(r.skip, 0);
    next = r.next;
    assert_int_equal(frames_read(&x->f, &r, &p, &len, &lost), FRAMES_E_LOST);
    assert_int_equal(lost + 2, frames_first(&x->f));
    assert_int_equal(r.next, frames_first(&x->f));
    assert_true(lost >= next);
    next = r.next;
    assert_int_equal(drain(x, &r, 100000, &next), (frames_last(&x->f) + 2 - frames_first(&x->f)) / 2);
    frames_reader_deinit(&r);
}

static void test_reserve_gives_what_commit_takes(void **state)
{
    struct fixture *x = *state;
    struct frames_reader r;
    uint64_t next = 1, expected = 0;
    size_t room;

    frames_append(&x->f, LINK_STARTED, "{}", 2);
    for (int i = 0; i < 2000; i++) {
        uint8_t *p = frames_reserve(&x->f, 4096, &room);
        size_t len = (size_t) (i * 7919) % (room + 1);

        assert_true(room >= 512 && room <= LINK_DATA_MAX);
        memset(p, i, len);
        if (len) {
            frames_commit(&x->f, LINK_STDERR, len);
            expected++;
        }
        if (frames_full(&x->f, 1))
            assert_true(frames_ack(&x->f, frames_last(&x->f), 1));
    }
    frames_reader_init(&r, frames_first(&x->f));
    next = r.next;
    assert_true(drain(x, &r, 65536, &next) > 0);
    assert_int_equal(next, 2 * expected + 3);
    frames_reader_deinit(&r);
}

static void test_started_may_be_long(void **state)
{
    struct fixture *x = *state;
    struct frames_reader r;
    char *json = malloc(FRAMES_JSON_MAX);
    uint64_t next = 1;

    memset(json, ' ', FRAMES_JSON_MAX);
    frames_append(&x->f, LINK_STARTED, json, FRAMES_JSON_MAX);
    put(&x->f, 10, 'x');
    frames_reader_init(&r, 1);
    assert_int_equal(drain(x, &r, 100000, &next), 2);
    frames_reader_deinit(&r);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cursors_are_odd_and_the_form_decodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_goes_on_in_the_chunk_it_has_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_acknowledged_frames_stay_three_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_acknowledged_is_never_dropped, setup, teardown),
        cmocka_unit_test(test_budget_leaves_everybody_a_share),
        cmocka_unit_test_setup_teardown(test_reader_that_is_too_slow_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve_gives_what_commit_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_started_may_be_long, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
