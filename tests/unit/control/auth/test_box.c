/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "control/auth/box.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static struct boxes *parse(const char *text)
{
    struct boxes *b = NULL;

    assert_int_equal(boxes_parse(&b, text, NULL), 0);
    return b;
}

static void rotation(void **state)
{
    struct boxes *old = parse("k1 " KEY_A "\n"), *both = parse("k2 " KEY_B "\nk1 " KEY_A),
                 *fresh = parse("k2 " KEY_B);
    struct buf box = BUF_INIT(4096), plain = BUF_INIT(4096), second = BUF_INIT(4096);

    (void)state;
    assert_int_equal(boxes_seal(old, "sandbox", "value", 5, &box), 0);
    assert_memory_equal(buf_data(&box), "\x01\x02k1", 4);
    assert_null(memmem(buf_data(&box), box.len, "value", 5));
    assert_int_equal(boxes_open(both, "sandbox", buf_data(&box), box.len, &plain), 0);
    assert_memory_equal(buf_data(&plain), "value", 5);
    assert_int_equal(boxes_open(fresh, "sandbox", buf_data(&box), box.len, &plain), -ENOKEY);
    assert_int_equal(boxes_seal(both, "sandbox", "value", 5, &second), 0);
    assert_memory_equal(buf_data(&second), "\x01\x02k2", 4); /* the first one seals */
    buf_clear(&plain);
    assert_int_equal(boxes_open(fresh, "sandbox", buf_data(&second), second.len, &plain), 0);
    boxes_free(old);
    boxes_free(both);
    boxes_free(fresh);
    buf_deinit(&box);
    buf_deinit(&plain);
    buf_deinit(&second);
}

static void bound_and_whole(void **state)
{
    struct boxes *b = parse(KEY_A);
    struct buf box = BUF_INIT(4096), plain = BUF_INIT(4096);

    (void)state;
    assert_int_equal(boxes_seal(b, "one", "", 0, &box), 0);
    assert_int_equal(boxes_open(b, "two", buf_data(&box), box.len, &plain), -EBADMSG);
    for (size_t i = 0; i < box.len; i++) {
        buf_data(&box)[i] ^= 0x10;
        assert_true(boxes_open(b, "one", buf_data(&box), box.len, &plain) < 0);
        buf_data(&box)[i] ^= 0x10;
    }
    for (size_t len = 0; len < box.len; len++)
        assert_true(boxes_open(b, "one", buf_data(&box), len, &plain) < 0);
    assert_int_equal(boxes_open(b, "one", buf_data(&box), box.len, &plain), 0);
    assert_int_equal(plain.len, 0);
    boxes_free(b);
    buf_deinit(&box);
    buf_deinit(&plain);
}

static void bad_files(void **state)
{
    static const char *const bad[] = {
        "",
        "\n\n",
        "k1",
        "k1 " KEY_A "0",
        "k1 00",
        "k1  " KEY_A,
        "k 1 " KEY_A,
        "k/1 " KEY_A,
        " " KEY_A,
        "k1 " KEY_A "\nk1 " KEY_B,
        "k1 zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "abcdefghijklmnopqrstuvwxyz0123456 " KEY_A,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct boxes *b = NULL;
        struct err e = ERR_INIT;

        if (boxes_parse(&b, bad[i], &e) == 0)
            fail_msg("accepted '%s'", bad[i]);
        assert_null(strstr(e.text, "aabbccddeeff")); /* no key in words */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation), cmocka_unit_test(bound_and_whole), cmocka_unit_test(bad_files)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
