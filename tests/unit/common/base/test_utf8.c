/* SPDX-License-Identifier: Apache-2.0 */
/* test_utf8 - every code point, every malformed form, and characters cut at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/base/str.h"

/* The encoding of a code point by the book; surrogates are encoded as well. */
static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char) c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char) (0xc0 | c >> 6);
        out[1] = (unsigned char) (0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char) (0xe0 | c >> 12);
        out[1] = (unsigned char) (0x80 | (c >> 6 & 63));
        out[2] = (unsigned char) (0x80 | (c & 63));
        return 3;
    }
    out[0] = (unsigned char) (0xf0 | c >> 18);
    out[1] = (unsigned char) (0x80 | (c >> 12 & 63));
    out[2] = (unsigned char) (0x80 | (c >> 6 & 63));
    out[3] = (unsigned char) (0x80 | (c & 63));
    return 4;
}

static void test_every_code_point(void **state)
{
    unsigned char text[4];

    (void) state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        size_t n = encode(c, text);
        bool good = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);

        if (utf8_valid(text, n) != good)
            fail_msg("U+%04X", c);
        for (size_t cut = 1; good && cut < n; cut++) {
            if (utf8_valid_prefix(text, cut) != 0 || utf8_incomplete_tail(text, cut) != cut)
                fail_msg("U+%04X cut at %zu", c, cut);
        }
        if (good && utf8_incomplete_tail(text, n) != 0)
            fail_msg("U+%04X is complete", c);
    }
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xfe", "\xff",
                                      "\xc3(", "\xe2\x28\xa1", "\xe2\x82(", "\xf0\x90\x28\xbc"};

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
        assert_int_equal(utf8_valid_prefix(bad[i], strlen(bad[i])), 0);
    }
}

static void test_prefix_at_any_place(void **state)
{
    char text[200];

    (void) state;
    for (size_t at = 0; at < 150; at++) { /* inside and outside of the steps of 32 and 8 bytes */
        memset(text, 'a', sizeof(text));
        text[at] = (char) 0xff;
        assert_int_equal(utf8_valid_prefix(text, sizeof(text)), at);
        memcpy(text + at, "\xe2\x82\xac", 3);
        assert_true(utf8_valid(text, sizeof(text)));
        assert_int_equal(utf8_valid_prefix(text, at + 2), at);
        assert_int_equal(utf8_incomplete_tail(text, at + 2), 2);
    }
    assert_true(utf8_valid(NULL, 0));
}

static void test_tail_of_what_is_wrong_anyway(void **state)
{
    (void) state;
    assert_int_equal(utf8_incomplete_tail("", 0), 0);
    assert_int_equal(utf8_incomplete_tail("abc", 3), 0);
    assert_int_equal(utf8_incomplete_tail("\x80\x80\x80\x80", 4), 0); /* no start */
    assert_int_equal(utf8_incomplete_tail("\xff", 1), 0);
    assert_int_equal(utf8_incomplete_tail("\xe0\x80", 2), 0);     /* overlong whatever follows */
    assert_int_equal(utf8_incomplete_tail("\xed\xa0", 2), 0);     /* surrogate */
    assert_int_equal(utf8_incomplete_tail("\xf4\x90", 2), 0);     /* above U+10FFFF */
    assert_int_equal(utf8_incomplete_tail("a\xf0\x9f\x98", 4), 3);
    assert_int_equal(utf8_incomplete_tail("\xc3\xa9\x80", 3), 0); /* a stray byte after a whole character */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_prefix_at_any_place),
        cmocka_unit_test(test_tail_of_what_is_wrong_anyway),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
