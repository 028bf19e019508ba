/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked decoder: every cut gives the same bytes, everything odd is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/http/parse.h"

/* Decodes in pieces of `step` bytes: body bytes or -1; *used is what belonged to the body. */
static int decode(const char *text, size_t len, size_t step, char *out, size_t *used, bool *done)
{
    struct http_chunked c;
    size_t at = 0, total = 0;

    http_chunked_init(&c);
    *done = false;
    while (at < len && !*done) {
        size_t n = len - at < step ? len - at : step;
        char *exact = malloc(n);
        const uint8_t *data;
        size_t data_len;
        ssize_t r;

        memcpy(exact, text + at, n);
        r = http_chunked_next(&c, exact, n, &data, &data_len, done);
        if (r > 0 && data_len)
            memcpy(out + total, data, data_len);
        free(exact);
        if (r < 0)
            return -1;
        assert_true(r > 0 && (size_t) r <= n && data_len <= (size_t) r);
        total += data_len;
        at += (size_t) r;
    }
    *used = at;
    return (int) total;
}

static void every_step_gives_the_same(void **state)
{
    static const char text[] = "5\r\nhello\r\n1;name=value\r\n \r\n00A ; x=\"y\"\r\n0123456789\r\n0\r\nX-Trailer: v\r\nY:\r\n\r\nrest";
    char out[64];
    size_t used;
    bool done;

    (void) state;
    for (size_t step = 1; step < sizeof(text); step++) {
        assert_int_equal(decode(text, sizeof(text) - 1, step, out, &used, &done), 16);
        assert_memory_equal(out, "hello 0123456789", 16);
        assert_true(done);
        assert_int_equal(used, sizeof(text) - 1 - 4);
    }
    for (size_t cut = 0; cut < sizeof(text) - 1 - 4; cut++) {
        assert_true(decode(text, cut, 7, out, &used, &done) >= 0);
        assert_false(done);
    }
}

static void hz29_odd_chunks_are_refused(void **state)
{
    static const char *const rows[] = {
        "\r\n", ";\r\n", " 5\r\nhello\r\n", "5\nhello\r\n", "5\rhello\r\n", "0x5\r\nhello\r\n", "+5\r\nhello\r\n", "-1\r\n",
        "5\r\nhello5\r\n", "5\r\nhello\n", "5\r\nhello\r\r", "5;a\nb\r\nhello\r\n", "5;a\rb\r\nhello\r\n", "5;\x01\r\nhello\r\n",
        "fffffffffffffffff\r\n", "1000000000000000\r\n", "0\r\n bad: trailer\r\n\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\n\n", "0\n\r\n",
        "0\r\nX: a\nb\r\n\r\n", "g\r\n", "5 5\x7f\r\n", "0\r\nX\r\n\r\n",
    };
    char out[64];
    size_t used;
    bool done;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step <= strlen(rows[i]); step++) {
            if (decode(rows[i], strlen(rows[i]), step, out, &used, &done) != -1)
                fail_msg("row %zu is taken", i);
        }
    }
}

static void hz29_long_lines_are_refused(void **state)
{
    char text[16 * 1024], out[16];
    size_t used;
    bool done;

    (void) state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "5;", 2);
    assert_int_equal(decode(text, 1024, 1024, out, &used, &done), -1);
    memcpy(text, "0\r\n", 3);
    assert_int_equal(decode(text, sizeof(text), sizeof(text), out, &used, &done), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_gives_the_same),
        cmocka_unit_test(hz29_odd_chunks_are_refused),
        cmocka_unit_test(hz29_long_lines_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
