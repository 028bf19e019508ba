/* SPDX-License-Identifier: Apache-2.0 */
/* test_output - no frame splits a character, no byte is lost or changed, whatever the pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/procs/frames.h"
#include "agent/procs/output.h"
#include "common/base/buf.h"
#include "common/base/str.h"

struct fixture {
    struct frames_budget budget;
    struct frames f;
    struct output o;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    frames_budget_init(&x->budget, 64 * MIB);
    frames_init(&x->f, &x->budget, "p");
    frames_append(&x->f, LINK_STARTED, "{}", 2);
    x->o.kind = LINK_STDOUT;
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    frames_deinit(&x->f);
    frames_budget_deinit(&x->budget);
    free(x);
    return 0;
}

/* All data of all output frames; each frame must be valid UTF-8 when `whole`. */
static void collect(struct fixture *x, struct buf *out, bool whole)
{
    struct frames_reader r;
    struct buf in = BUF_INIT(0);
    const uint8_t *p;
    size_t len, used;
    uint64_t lost;

    frames_reader_init(&r, 3);
    while (frames_read(&x->f, &r, &p, &len, &lost) == FRAMES_E_OK) {
        assert_int_equal(buf_append(&in, p, len), 0);
        frames_advance(&r, len);
    }
    while (in.len) {
        struct link_msg m;

        assert_int_equal(link_decode(buf_data(&in), in.len, &m, &used), LINK_E_OK);
        assert_true(m.data_len > 0 && m.data_len <= LINK_DATA_MAX);
        if (whole)
            assert_true(utf8_valid(m.data, m.data_len));
        assert_int_equal(buf_append(out, m.data, m.data_len), 0);
        buf_consume(&in, used);
    }
    buf_deinit(&in);
    frames_reader_deinit(&r);
}

static const char text[] = "a\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7 plain";

static void test_every_split_of_a_text(void **state)
{
    struct fixture *x = *state;
    struct buf out = BUF_INIT(0), want = BUF_INIT(0);
    size_t len = sizeof(text) - 1;

    for (size_t i = 1; i < len; i++) {
        output_feed(&x->o, &x->f, (const uint8_t *) text, i);
        assert_true(x->o.held_len <= 3);
        output_feed(&x->o, &x->f, (const uint8_t *) text + i, len - i);
        assert_int_equal(x->o.held_len, 0);
        assert_int_equal(buf_append(&want, text, len), 0);
    }
    collect(x, &out, true);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(buf_data(&out), buf_data(&want), out.len);
    buf_deinit(&out);
    buf_deinit(&want);
}

static void test_byte_by_byte(void **state)
{
    struct fixture *x = *state;
    struct buf out = BUF_INIT(0);

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        output_feed(&x->o, &x->f, (const uint8_t *) text + i, 1);
    collect(x, &out, true);
    assert_int_equal(out.len, sizeof(text) - 1);
    assert_memory_equal(buf_data(&out), text, out.len);
    buf_deinit(&out);
}

static void test_bytes_that_are_no_text_are_kept(void **state)
{
    struct fixture *x = *state;
    struct buf out = BUF_INIT(0);
    uint8_t all[256];

    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t) (255 - i);
    output_feed(&x->o, &x->f, all, sizeof(all));
    output_feed(&x->o, &x->f, (const uint8_t *) "\xf0\x9f", 2); /* never completed */
    assert_int_equal(x->o.held_len, 2);
    output_flush(&x->o, &x->f);
    collect(x, &out, false);
    assert_int_equal(out.len, sizeof(all) + 2);
    assert_memory_equal(buf_data(&out), all, sizeof(all));
    buf_deinit(&out);
}

static void test_a_full_frame_ends_between_characters(void **state)
{
    struct fixture *x = *state;
    struct buf out = BUF_INIT(0);
    const size_t count = 100000;
    char *many = malloc(count * 3);

    for (size_t i = 0; i < count; i++)
        memcpy(many + 3 * i, "\xe2\x82\xac", 3);
    output_feed(&x->o, &x->f, (const uint8_t *) many, count * 3);
    collect(x, &out, true);
    assert_int_equal(out.len, count * 3);
    assert_memory_equal(buf_data(&out), many, out.len);
    buf_deinit(&out);
    free(many);
}

static void test_read_from_a_pipe(void **state)
{
    struct fixture *x = *state;
    struct buf out = BUF_INIT(0);
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(output_read(&x->o, &x->f, p[0]), -EAGAIN);
    assert_int_equal(write(p[1], "ab\xc3", 3), 3);
    assert_int_equal(output_read(&x->o, &x->f, p[0]), 3);
    assert_int_equal(x->o.held_len, 1);
    assert_int_equal(write(p[1], "\xa4", 1), 1);
    assert_int_equal(output_read(&x->o, &x->f, p[0]), 1);
    assert_int_equal(write(p[1], "\xe2\x82", 2), 2);
    assert_int_equal(output_read(&x->o, &x->f, p[0]), 2);
    close(p[1]);
    assert_int_equal(output_read(&x->o, &x->f, p[0]), 0); /* and what was held back goes out */
    assert_int_equal(x->o.bytes, 6);
    close(p[0]);
    collect(x, &out, false);
    assert_int_equal(out.len, 6);
    assert_memory_equal(buf_data(&out), "ab\xc3\xa4\xe2\x82", 6);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_split_of_a_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_are_no_text_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_frame_ends_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_from_a_pipe, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
