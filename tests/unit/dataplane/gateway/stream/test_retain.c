/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/retain.h"


static void check_tail(const struct retain *r, uint64_t bytes)
{
    uint64_t before, from = retain_tail_from(r, bytes, &before);

    assert_true(from >= r->first);
    assert_true(before <= retain_kept(r));
    if (before > 0)
        assert_true(retain_kept(r) - before >= bytes); /* enough behind it */
}

static void test_kept_stays_near_the_limit(void **state)
{
    struct retain r;
    uint64_t cursor = 1, limit = 1024 * 1024, total = 0;

    (void) state;
    retain_init(&r, limit);
    retain_add(&r, cursor, LINK_STARTED, 100);
    for (int i = 0; i < 100000; i++) {
        size_t len = (size_t) (i * 7919 % 300);

        cursor += 2;
        retain_add(&r, cursor, i % 3 ? LINK_STDOUT : LINK_STDERR, len);
        total += len;
        assert_true(retain_kept_cost(&r) <= limit + 2 * 65536);
        assert_true(retain_kept(&r) <= retain_total(&r));
        if (i % 1000 == 0)
            check_tail(&r, (uint64_t) i * 5);
    }
    assert_int_equal(retain_total(&r), total);
    assert_true(r.first > 1);
    assert_true(cursor_valid(r.first));
    assert_true(retain_kept_cost(&r) > limit / 2);
    assert_int_equal(r.last, cursor);
    retain_deinit(&r);
}

static void test_small_frames_are_charged_for_themselves(void **state)
{
    struct retain r;

    (void) state;
    retain_init(&r, 65536);
    for (uint64_t c = 1; c < 2000001; c += 2)
        retain_add(&r, c, LINK_STDOUT, 1);
    assert_true(retain_kept(&r) < 2 * 65536 / RETAIN_FRAME_COST + 65536);
    retain_deinit(&r);
}

static void test_a_watcher_holds_trimming_for_a_while(void **state)
{
    struct retain r;
    uint64_t c = 1;

    (void) state;
    retain_init(&r, 1024 * 1024);
    r.hold = 3;
    for (; retain_total(&r) < 20 * 1024 * 1024; c += 2)
        retain_add(&r, c, LINK_STDOUT, 65536);
    assert_true(r.first <= 3); /* all that it wants is kept */
    assert_true(retain_bytes_from(&r, 3) > 19 * 1024 * 1024);
    for (; retain_total(&r) < 60 * 1024 * 1024; c += 2)
        retain_add(&r, c, LINK_STDOUT, 65536);
    assert_true(r.first > 3); /* but not for ever */
    assert_true(retain_kept_cost(&r) <= r.limit + RETAIN_HOLD_MAX + 2 * 65536);
    r.hold = RETAIN_NO_HOLD;
    retain_trim(&r);
    assert_true(retain_kept_cost(&r) <= r.limit + 65536);
    retain_deinit(&r);
}

static void test_written_and_read_again(void **state)
{
    struct buf totals = BUF_INIT(0), marks = BUF_INIT(0);
    struct retain a, b;

    (void) state;
    retain_init(&a, 1024 * 1024);
    for (uint64_t c = 1; c < 60001; c += 2)
        retain_add(&a, c, LINK_PTY, 100);
    assert_int_equal(retain_write_totals(&a, &totals), 0);
    assert_int_equal(retain_write_marks(&a, &marks), 0);
    retain_init(&b, 1024 * 1024);
    assert_int_equal(retain_read(&b, (char *) buf_data(&totals), totals.len, (char *) buf_data(&marks), marks.len), 0);
    assert_int_equal(a.mark_count, b.mark_count);
    for (uint64_t c = 60001; c < 120001; c += 2) {
        retain_add(&a, c, LINK_PTY, 100);
        retain_add(&b, c, LINK_PTY, 100);
    }
    assert_int_equal(a.first, b.first);
    assert_int_equal(retain_kept(&a), retain_kept(&b));
    assert_int_equal(retain_total(&a), retain_total(&b));
    retain_deinit(&a);
    retain_deinit(&b);
    buf_deinit(&totals);
    buf_deinit(&marks);
}

static void test_nonsense_from_the_store(void **state)
{
    static const char *const totals[] = {"", "1", "1 2 3 4 5 6", "1 2 3 4 5 6 7 8", "x 2 3 4 5 6 7", "1 2 3 4 5 6 -7", "9 1 0 0 0 0 0",
                                         "1 2 3 4 5 6 99999999999999999999", "1  2 3 4 5 6 7"};
    static const char *const marks[] = {"x", "1", "1:2", "3:1:1 3:1:1", "5:1:1 3:1:1", "99:1:1", "1:1:1:1"};
    struct retain r;

    (void) state;
    retain_init(&r, 65536);
    for (size_t i = 0; i < ARRAY_LEN(totals); i++)
        assert_true(retain_read(&r, totals[i], strlen(totals[i]), "", 0) < 0);
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *t = "1 7 10 0 0 0 0";

        assert_true(retain_read(&r, t, strlen(t), marks[i], strlen(marks[i])) < 0);
        assert_int_equal(r.first, 1);
        assert_int_equal(r.limit, 65536);
    }
    retain_deinit(&r);
}

static void test_pages_end_with_segments(void **state)
{
    struct retain r;
    uint64_t next = 1, pages = 0;

    (void) state;
    retain_init(&r, 8 * 1024 * 1024);
    for (uint64_t c = 1; c < 10001; c += 2)
        retain_add(&r, c, LINK_STDOUT, 1000);
    while (next <= r.last) {
        uint64_t end = retain_page_end(&r, next);

        assert_true(end >= next);
        assert_true((end - next) / 2 * 1016 <= 8 * 1024 * 1024 / 64 + 65536 + 1016);
        next = cursor_after(end);
        pages++;
    }
    assert_true(pages > 10);
    assert_int_equal(next, r.last + 2);
    retain_deinit(&r);
}

static void test_dropped_and_skipped(void **state)
{
    struct retain r;

    (void) state;
    retain_init(&r, 65536);
    retain_add(&r, 1, LINK_STARTED, 10);
    retain_add(&r, 3, LINK_STDOUT, 1000);
    retain_skip(&r, 101);
    retain_skip(&r, 5);
    assert_int_equal(r.last, 101);
    retain_drop_all(&r);
    assert_int_equal(r.first, 103);
    assert_int_equal(retain_kept(&r), 0);
    assert_int_equal(retain_total(&r), 1000);
    retain_deinit(&r);
}

static void test_many_marks_are_joined(void **state)
{
    struct retain r;
    uint64_t bytes = 0;

    (void) state;
    retain_init(&r, 65536);
    r.hold = 1;
    for (uint64_t c = 1; c < 4001; c += 2) {
        r.limit = 65536; /* small segments */
        retain_add(&r, c, LINK_STDOUT, 65536);
        bytes += 65536;
        if (r.mark_count > 300)
            r.limit = 1 << 30;
        assert_true(r.mark_count <= RETAIN_MARKS_MAX);
    }
    assert_int_equal(retain_total(&r), bytes);
    retain_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_stays_near_the_limit),
        cmocka_unit_test(test_small_frames_are_charged_for_themselves),
        cmocka_unit_test(test_a_watcher_holds_trimming_for_a_while),
        cmocka_unit_test(test_written_and_read_again),
        cmocka_unit_test(test_nonsense_from_the_store),
        cmocka_unit_test(test_pages_end_with_segments),
        cmocka_unit_test(test_dropped_and_skipped),
        cmocka_unit_test(test_many_marks_are_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
