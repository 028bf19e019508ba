/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "dataplane/gateway/stream/meta.h"
#include "dataplane/gateway/stream/output.h"
#include "dataplane/gateway/stream/retain.h"

struct answer {
    struct buf text;
    struct json_doc *doc;
    char data[4096]; /* of all events, together */
    size_t data_len, events;
};

static void answer_free(struct answer *a)
{
    json_doc_free(a->doc);
    buf_deinit(&a->text);
}

/* Frames 3, 5, ... of these texts; then what the query makes of them. */
static void ask(struct answer *a, const struct output_query *q, const char *const *frames, bool exited)
{
    struct retain r;
    struct meta m = {0};
    struct output o;
    struct json_writer w;
    uint64_t cursor = 1;
    bool more = true;

    memset(a, 0, sizeof(*a));
    retain_init(&r, 1 << 20);
    output_init(&o, q);
    retain_add(&r, cursor, LINK_STARTED, 10);
    for (; *frames; frames++) {
        cursor += 2;
        retain_add(&r, cursor, LINK_STDOUT, strlen(*frames));
        if (more && cursor > q->since)
            more = output_feed(&o, cursor, LINK_STDOUT, *frames, strlen(*frames));
    }
    if (exited) {
        cursor += 2;
        retain_add(&r, cursor, LINK_EXIT, 10);
        m = (struct meta){.exited = true, .exit_code = 4, .finished_at_us = 1};
        if (more)
            more = output_feed(&o, cursor, LINK_EXIT, "{}", 2);
    }
    json_writer_init(&w, &a->text);
    output_write(&o, "p1", &m, &r, &w);
    assert_int_equal(json_writer_end(&w), 0);
    assert_int_equal(json_parse(&a->doc, buf_data(&a->text), a->text.len, NULL), 0);
    output_deinit(&o);
    retain_deinit(&r);

    const struct json *events = json_get(json_root(a->doc), "events");

    a->events = json_count(events);
    for (size_t i = 0; i < a->events; i++) {
        const char *b64 = json_str(json_get(json_at(events, i), "data"));
        ssize_t n = base64_decode(b64, strlen(b64), false, a->data + a->data_len);

        assert_true(n >= 0);
        a->data_len += (size_t) n;
    }
    a->data[a->data_len] = '\0';
}

static int64_t number(const struct answer *a, const char *key)
{
    int64_t v = -1;

    assert_true(json_int(json_get(json_root(a->doc), key), &v));
    return v;
}

static bool flag(const struct answer *a, const char *key)
{
    bool v = false;

    assert_true(json_bool(json_get(json_root(a->doc), key), &v));
    return v;
}

static const char *const five[] = {"aaaa", "bbbb", "cccc", "dddd", "eeee", NULL};

static void test_forward_cuts_no_event(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.limit_bytes = 9}, five, false);
    assert_string_equal(a.data, "aaaabbbb");
    assert_int_equal(number(&a, "next_cursor"), 6);
    assert_true(flag(&a, "truncated"));
    assert_false(flag(&a, "truncated_before_cursor"));
    answer_free(&a);
    ask(&a, &(struct output_query){.limit_bytes = 1}, five, false); /* at least one */
    assert_string_equal(a.data, "aaaa");
    assert_int_equal(number(&a, "next_cursor"), 4);
    answer_free(&a);
}

static void test_forward_page_by_page(void **state)
{
    struct output_query q = {.limit_bytes = 8};
    char all[64] = "";

    (void) state;
    for (int page = 0; page < 4; page++) {
        struct answer a;

        ask(&a, &q, five, true);
        strncat(all, a.data, sizeof(all) - strlen(all) - 1);
        q.since = (uint64_t) number(&a, "next_cursor");
        answer_free(&a);
    }
    assert_string_equal(all, "aaaabbbbccccddddeeee");
    assert_int_equal(q.since, 14); /* behind the exit at 13 */
}

static void test_nothing_new_keeps_since(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.since = 11}, five, false);
    assert_int_equal(a.events, 0);
    assert_int_equal(number(&a, "next_cursor"), 11);
    assert_false(flag(&a, "truncated"));
    answer_free(&a);
}

static void test_status_and_totals(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){0}, five, true);
    assert_string_equal(json_str(json_get(json_root(a.doc), "status")), "failed");
    assert_int_equal(number(&a, "exit_code"), 4);
    assert_int_equal(number(&a, "total_bytes"), 20);
    assert_int_equal(number(&a, "retained_bytes"), 20);
    assert_int_equal(number(&a, "returned_bytes"), 20);
    assert_int_equal(number(&a, "omitted_bytes"), 0);
    assert_int_equal(number(&a, "first_retained_cursor"), 1);
    assert_int_equal(number(&a, "last_retained_cursor"), 13);
    assert_string_equal(json_str(json_get(json_root(a.doc), "finished_at")), "1970-01-01T00:00:00.000Z");
    answer_free(&a);
}

static void test_tail(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.mode = OUTPUT_TAIL, .limit_bytes = 6}, five, true);
    assert_string_equal(a.data, "ddeeee");
    assert_int_equal(number(&a, "omitted_bytes"), 14);
    assert_int_equal(number(&a, "next_cursor"), 14);
    assert_true(flag(&a, "truncated"));
    answer_free(&a);
    ask(&a, &(struct output_query){.mode = OUTPUT_TAIL, .limit_bytes = 100}, five, true);
    assert_string_equal(a.data, "aaaabbbbccccddddeeee");
    assert_false(flag(&a, "truncated"));
    answer_free(&a);
    ask(&a, &(struct output_query){.mode = OUTPUT_TAIL, .has_tail = true, .tail_bytes = 0}, five, true);
    assert_int_equal(a.events, 0);
    answer_free(&a);
}

static void test_head_tail(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.mode = OUTPUT_HEAD_TAIL, .limit_bytes = 10}, five, true); /* 3 + 7 */
    assert_string_equal(a.data, "aaadddeeee");
    assert_int_equal(number(&a, "omitted_bytes"), 10);
    answer_free(&a);
    ask(&a, &(struct output_query){.mode = OUTPUT_HEAD_TAIL, .has_head = true, .head_bytes = 5, .has_tail = true, .tail_bytes = 2}, five, true);
    assert_string_equal(a.data, "aaaabee");
    answer_free(&a);
    ask(&a, &(struct output_query){.mode = OUTPUT_HEAD_TAIL, .limit_bytes = 10, .ratio_num = 1, .ratio_den = 2}, five, true);
    assert_string_equal(a.data, "aaaabdeeee"); /* 5 + 5 */
    answer_free(&a);
}

static void test_head_and_tail_that_meet_make_whole_events(void **state)
{
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.mode = OUTPUT_HEAD_TAIL, .limit_bytes = 20}, five, true); /* 6 + 14: the border is inside bbbb */
    assert_string_equal(a.data, "aaaabbbbccccddddeeee");
    assert_int_equal(a.events, 5);
    assert_int_equal(number(&a, "omitted_bytes"), 0);
    answer_free(&a);
}

static void test_cuts_fall_between_characters(void **state)
{
    static const char *const frames[] = {"\xC3\xA4\xC3\xB6\xC3\xBC", "\xE2\x82\xAC\xE2\x82\xAC", NULL};
    struct answer a;

    (void) state;
    ask(&a, &(struct output_query){.mode = OUTPUT_HEAD_TAIL, .has_head = true, .head_bytes = 3, .has_tail = true, .tail_bytes = 5}, frames, true);
    assert_string_equal(a.data, "\xC3\xA4\xE2\x82\xAC");
    assert_true(utf8_valid(a.data, a.data_len));
    answer_free(&a);
}

static void test_trimmed_frames_are_said(void **state)
{
    struct output_query q = {.since = 3};
    struct json_writer w;
    struct buf b = BUF_INIT(0);
    struct meta m = {0};
    struct retain r;
    struct output o;

    (void) state;
    retain_init(&r, 65536);
    for (uint64_t c = 1; c < 401; c += 2)
        retain_add(&r, c, LINK_STDOUT, 1000);
    assert_true(r.first > 5);
    output_init(&o, &q);
    for (uint64_t c = r.first; c < 401; c += 2)
        (void) output_feed(&o, c, LINK_STDOUT, "x", 1);
    json_writer_init(&w, &b);
    output_write(&o, "p1", &m, &r, &w);
    assert_int_equal(json_writer_end(&w), 0);
    assert_non_null(strstr(buf_cstr(&b), "\"truncated_before_cursor\":true"));
    output_deinit(&o);
    retain_deinit(&r);
    buf_deinit(&b);
}

static void test_a_hole_is_said(void **state)
{
    struct output_query q = {0};
    struct json_writer w;
    struct buf b = BUF_INIT(0);
    struct meta m = {0};
    struct retain r;
    struct output o;

    (void) state;
    retain_init(&r, 65536);
    retain_add(&r, 1, LINK_STARTED, 1);
    retain_add(&r, 3, LINK_STDOUT, 1);
    retain_skip(&r, 9);
    retain_add(&r, 11, LINK_STDOUT, 1);
    output_init(&o, &q);
    assert_true(output_feed(&o, 3, LINK_STDOUT, "x", 1));
    assert_true(output_feed(&o, 11, LINK_STDOUT, "y", 1));
    json_writer_init(&w, &b);
    output_write(&o, "p1", &m, &r, &w);
    assert_int_equal(json_writer_end(&w), 0);
    assert_non_null(strstr(buf_cstr(&b), "\"truncated_before_cursor\":true"));
    output_deinit(&o);
    retain_deinit(&r);
    buf_deinit(&b);
}

static void test_modes(void **state)
{
    enum output_mode m;

    (void) state;
    assert_int_equal(output_mode_parse("forward", &m), 0);
    assert_int_equal(output_mode_parse("head_tail", &m), 0);
    assert_int_equal(m, OUTPUT_HEAD_TAIL);
    assert_true(output_mode_parse("back", &m) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_cuts_no_event),
        cmocka_unit_test(test_forward_page_by_page),
        cmocka_unit_test(test_nothing_new_keeps_since),
        cmocka_unit_test(test_status_and_totals),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_head_tail),
        cmocka_unit_test(test_head_and_tail_that_meet_make_whole_events),
        cmocka_unit_test(test_cuts_fall_between_characters),
        cmocka_unit_test(test_trimmed_frames_are_said),
        cmocka_unit_test(test_a_hole_is_said),
        cmocka_unit_test(test_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
