/* SPDX-License-Identifier: Apache-2.0 */
/* test_watcher - replay and live output meet without a seam, whatever the order of events; checked by random runs against the rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/watcher.h"

#define EXIT_JSON "{\"exit_code\":5,\"error\":null,\"finished_at_us\":1}"

/* A process whose frames are "1", "3" ..., the store that keeps them, and one client. */
struct world {
    struct meta meta;
    uint64_t stored, first;
    uint64_t exit_at; /* 0 = runs */
    struct watcher w;
    bool asked;       /* a page was asked for */
    uint64_t from;
    unsigned page_frames;
    /* what the client saw */
    unsigned started, exits, messages;
    bool truncated;
    uint64_t seen[20000];
    size_t seen_count;
    size_t queued;    /* not taken by the client */
    int closed;       /* close code */
    char code[64], message[256];
};

static size_t world_send(void *arg, const void *p, size_t len)
{
    struct world *x = arg;
    char text[512];
    const char *cursor;

    assert_int_equal(x->closed, 0);
    assert_true(len < sizeof(text));
    memcpy(text, p, len);
    text[len] = '\0';
    x->messages++;
    x->queued += len;
    cursor = strstr(text, "\"cursor\":");
    assert_non_null(cursor);
    if (strstr(text, "\"type\":\"started\"")) {
        assert_int_equal(x->messages, 1); /* the first, and once */
        x->started++;
        x->truncated = strstr(text, "\"truncated\":true") != NULL;
    } else if (strstr(text, "\"type\":\"exit\"")) {
        assert_non_null(strstr(text, "\"exit_code\":5"));
        x->exits++;
    } else {
        x->seen[x->seen_count++] = strtoull(cursor + 9, NULL, 10);
    }
    return x->queued;
}

static void world_end(void *arg, int close_code, const char *code, const char *message)
{
    struct world *x = arg;

    assert_int_equal(x->closed, 0);
    x->closed = close_code;
    snprintf(x->code, sizeof(x->code), "%s", code ? code : "");
    snprintf(x->message, sizeof(x->message), "%s", message ? message : "");
}

static void world_read(void *arg, uint64_t from)
{
    struct world *x = arg;

    assert_false(x->asked);
    assert_true(from <= x->stored && from >= x->first);
    x->asked = true;
    x->from = from;
}

static struct watcher_view view(struct world *x)
{
    return (struct watcher_view){.pid = "p1", .meta = &x->meta, .first = x->first, .stored = x->stored};
}

static void world_begin(struct world *x, uint64_t since, size_t queue_max)
{
    static const struct watcher_ops ops = {world_send, world_end, world_read};

    x->page_frames = x->page_frames ? x->page_frames : 4;
    watcher_init(&x->w, since, queue_max, &ops, x);
    struct watcher_view v = view(x);

    watcher_kick(&x->w, &v);
}

/* One more frame is stored. */
static void world_store(struct world *x, bool exit)
{
    struct buf text = BUF_INIT(0);
    uint64_t cursor = x->stored ? x->stored + 2 : 1;
    enum link_kind k = cursor == 1 ? LINK_STARTED : exit ? LINK_EXIT : LINK_STDOUT;
    struct watcher_view v;

    if (!x->first)
        x->first = 1;
    x->stored = cursor;
    x->meta.os_pid = 7;
    if (exit) {
        assert_int_equal(meta_set_exit(&x->meta, EXIT_JSON, strlen(EXIT_JSON)), 0);
        x->exit_at = cursor;
    }
    v = view(x);
    if (exit)
        watcher_frame(&x->w, &v, cursor, k, (const uint8_t *) EXIT_JSON, strlen(EXIT_JSON), &text);
    else
        watcher_frame(&x->w, &v, cursor, k, (const uint8_t *) "x", 1, &text);
    buf_deinit(&text);
}

/* Answers the page that was asked for, as the store is now. */
static void world_page(struct world *x)
{
    struct buf scratch = BUF_INIT(0);
    struct watcher_view v = view(x);
    uint64_t to = x->from + 2 * 5, c = x->from > x->first ? x->from : x->first;
    unsigned n = 0;

    assert_true(x->asked);
    x->asked = false;
    if (to > x->stored)
        to = x->stored;
    for (; c <= to && n < x->page_frames; c += 2, n++) {
        bool exit = c == x->exit_at;

        watcher_page_frame(&x->w, &v, c, exit ? LINK_EXIT : LINK_STDOUT, (const uint8_t *) (exit ? EXIT_JSON : "x"),
                           exit ? strlen(EXIT_JSON) : 1, &scratch);
    }
    watcher_page_end(&x->w, &v, to, n < x->page_frames);
    buf_deinit(&scratch);
}

static void world_settle(struct world *x)
{
    while (x->asked && !x->closed)
        world_page(x);
}

static void world_take(struct world *x)
{
    struct watcher_view v = view(x);

    x->queued = 0;
    watcher_drain(&x->w, &v);
}

/* Every frame from `from` to `to` once, in order. */
static void expect_seen(const struct world *x, uint64_t from, uint64_t to)
{
    size_t n = 0;

    for (uint64_t c = from; c <= to; c += 2, n++) {
        assert_true(n < x->seen_count);
        assert_int_equal(x->seen[n], c);
    }
    assert_int_equal(n, x->seen_count);
}

static void test_from_the_start(void **state)
{
    struct world x = {0};

    (void) state;
    world_begin(&x, 0, 1 << 20);
    assert_int_equal(x.messages, 0); /* nothing is known yet */
    for (int i = 0; i < 10; i++)
        world_store(&x, false);
    assert_int_equal(x.started, 1);
    assert_false(x.truncated);
    assert_false(x.asked);
    expect_seen(&x, 3, 19);
    world_store(&x, true);
    assert_int_equal(x.exits, 1);
    assert_int_equal(x.closed, 1000);
}

static void test_replay_then_live(void **state)
{
    struct world x = {0};

    (void) state;
    for (int i = 0; i < 20; i++) {
        struct world before = x;

        (void) before;
        x.stored = x.stored ? x.stored + 2 : 1;
    }
    x.first = 1;
    world_begin(&x, 0, 1 << 20);
    assert_true(x.asked);
    world_store(&x, false); /* while the first page is on its way */
    world_settle(&x);
    expect_seen(&x, 3, 41);
    world_store(&x, false);
    assert_false(x.asked);
    expect_seen(&x, 3, 43);
}

static void test_since_last_and_last_plus_one(void **state)
{
    (void) state;
    for (uint64_t since = 11; since <= 12; since++) {
        struct world x = {.stored = 21, .first = 1};

        world_begin(&x, since, 1 << 20);
        world_settle(&x);
        expect_seen(&x, 13, 21);
        assert_int_equal(x.started, 1);
        assert_false(x.truncated);
    }
}

static void test_since_of_the_future(void **state)
{
    struct world x = {.stored = 21, .first = 1};

    (void) state;
    world_begin(&x, 24, 1 << 20);
    assert_int_equal(x.started, 1);
    world_store(&x, false); /* 23 */
    expect_seen(&x, 25, 23);
    world_store(&x, false);
    expect_seen(&x, 25, 25);
    world_store(&x, true);
    assert_int_equal(x.exits, 1);
}

static void test_a_finished_process_replays_says_exit_and_closes(void **state)
{
    static const uint64_t sinces[] = {0, 10, 19, 20, 21, 22, 500};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(sinces); i++) {
        struct world x = {.stored = 21, .first = 1, .exit_at = 21, .meta = {.exited = true, .exit_code = 5}};

        world_begin(&x, sinces[i], 1 << 20);
        world_settle(&x);
        assert_int_equal(x.started, 1);
        assert_int_equal(x.exits, 1);
        assert_int_equal(x.closed, 1000);
        assert_string_equal(x.code, "");
    }
}

static void test_trimming_is_said(void **state)
{
    struct world x = {.stored = 41, .first = 21};

    (void) state;
    world_begin(&x, 5, 1 << 20);
    world_settle(&x);
    assert_true(x.truncated);
    expect_seen(&x, 21, 41);
    assert_int_equal(x.closed, 0);
}

static void test_no_lie_when_nothing_was_missed(void **state)
{
    struct world x = {.stored = 41, .first = 21};

    (void) state;
    world_begin(&x, 19, 1 << 20);
    world_settle(&x);
    assert_false(x.truncated);
    expect_seen(&x, 21, 41);
}

static void test_everything_was_trimmed(void **state)
{
    struct world x = {.stored = 41, .first = 43, .exit_at = 41, .meta = {.exited = true, .exit_code = 5}};

    (void) state;
    x.first = 1; /* the watcher is told a page, and the store has nothing */
    world_begin(&x, 0, 1 << 20);
    x.first = 43;
    x.from = 43;
    while (x.asked && !x.closed) {
        struct watcher_view v = view(&x);

        x.asked = false;
        v.first = 1;
        watcher_page_end(&x.w, &v, x.stored, true);
    }
    assert_true(x.truncated);
    assert_int_equal(x.exits, 1);
    assert_int_equal(x.closed, 1000);
}

static void test_trimmed_under_a_slow_reader(void **state)
{
    struct world x = {.stored = 101, .first = 1};

    (void) state;
    world_begin(&x, 0, 1 << 20);
    world_page(&x);
    assert_true(x.asked);
    x.first = 61;
    world_settle(&x);
    assert_int_equal(x.closed, 1012);
    assert_string_equal(x.code, "output_truncated");
    assert_non_null(strstr(x.message, "closed")); /* attaching again helps */
}

static void test_hz05_a_slow_client_is_served_from_the_store(void **state)
{
    struct world x = {0};

    (void) state;
    world_begin(&x, 0, 400);
    for (int i = 0; i < 100; i++)
        world_store(&x, false);
    assert_true(x.queued < 600); /* nothing piles up */
    assert_false(x.asked);
    while (x.seen_count < 99) {
        size_t before = x.seen_count;

        world_take(&x);
        world_settle(&x);
        assert_true(x.seen_count > before);
        assert_true(x.queued < 1200);
    }
    expect_seen(&x, 3, 199);
    world_take(&x);
    world_store(&x, true);
    world_settle(&x);
    assert_int_equal(x.exits, 1);
}

static void test_hz03_lost_without_the_word(void **state)
{
    struct world x = {.stored = 21, .first = 1};
    struct watcher_view v;

    (void) state;
    world_begin(&x, 0, 1 << 20);
    x.meta.lost = true;
    v = view(&x);
    watcher_kick(&x.w, &v);
    world_settle(&x);
    expect_seen(&x, 3, 21); /* what is kept comes first */
    assert_int_equal(x.exits, 0);
    assert_string_equal(x.code, "process_lost");
    assert_null(strstr(x.message, "closed"));
}

static void test_a_gap_ends_who_would_miss_something(void **state)
{
    struct world x = {0}, y = {0};

    (void) state;
    world_begin(&x, 0, 1 << 20);
    world_begin(&y, 0, 1 << 20);
    for (int i = 0; i < 5; i++) {
        world_store(&x, false);
        world_store(&y, false);
    }
    watcher_gap(&x.w, 7); /* has it already */
    assert_int_equal(x.closed, 0);
    watcher_gap(&y.w, 21);
    assert_int_equal(y.closed, 1012);
    assert_non_null(strstr(y.message, "closed"));
}

static void test_a_failed_read_is_tried_again(void **state)
{
    struct world x = {.stored = 21, .first = 1};
    struct watcher_view v;

    (void) state;
    world_begin(&x, 0, 1 << 20);
    x.asked = false;
    watcher_read_failed(&x.w);
    v = view(&x);
    watcher_kick(&x.w, &v);
    assert_true(x.asked);
    world_settle(&x);
    expect_seen(&x, 3, 21);
}

static void test_pace(void **state)
{
    struct world x = {0};
    struct watcher_view v;

    (void) state;
    world_begin(&x, 0, 200);
    for (int i = 0; i < 50; i++)
        world_store(&x, false);
    v = view(&x);
    watcher_look(&x.w, &v);
    assert_false(x.w.paced); /* takes nothing */
    world_take(&x);
    while (x.w.next <= x.stored) {
        world_settle(&x);
        world_take(&x);
    }
    v = view(&x);
    watcher_look(&x.w, &v);
    assert_true(x.w.paced); /* has everything */
}

/* Any order of storing, reading, stalling and taking: each frame once, in order, none missing. */
static void test_hz07_random_runs(void **state)
{
    (void) state;
    for (unsigned seed = 1; seed <= 400; seed++) {
        struct world x = {0};
        unsigned n = 0;
        uint64_t since;

        srand(seed);
        x.page_frames = 1 + (unsigned) rand() % 5;
        for (int i = rand() % 60; i > 0; i--)
            x.stored = x.stored ? x.stored + 2 : 1;
        x.first = 1;
        since = x.stored ? (uint64_t) rand() % (x.stored + 2) : 0;
        world_begin(&x, since, (size_t) (100 + rand() % 2000));
        while (n < 300 && !x.closed) {
            switch (rand() % 5) {
            case 0:
            case 1:
                world_store(&x, ++n == 300);
                break;
            case 2:
            case 3:
                if (x.asked)
                    world_page(&x);
                break;
            default:
                if (x.queued > 100)
                    world_take(&x);
            }
        }
        for (int i = 0; i < 1000 && !x.closed; i++) {
            world_settle(&x);
            if (!x.closed)
                world_take(&x);
        }
        assert_int_equal(x.closed, 1000);
        assert_int_equal(x.started, 1);
        assert_int_equal(x.exits, 1);
        assert_false(x.truncated);
        expect_seen(&x, cursor_replay_from(since), x.exit_at - 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_the_start),
        cmocka_unit_test(test_replay_then_live),
        cmocka_unit_test(test_since_last_and_last_plus_one),
        cmocka_unit_test(test_since_of_the_future),
        cmocka_unit_test(test_a_finished_process_replays_says_exit_and_closes),
        cmocka_unit_test(test_trimming_is_said),
        cmocka_unit_test(test_no_lie_when_nothing_was_missed),
        cmocka_unit_test(test_everything_was_trimmed),
        cmocka_unit_test(test_trimmed_under_a_slow_reader),
        cmocka_unit_test(test_hz05_a_slow_client_is_served_from_the_store),
        cmocka_unit_test(test_hz03_lost_without_the_word),
        cmocka_unit_test(test_a_gap_ends_who_would_miss_something),
        cmocka_unit_test(test_a_failed_read_is_tried_again),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_hz07_random_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
