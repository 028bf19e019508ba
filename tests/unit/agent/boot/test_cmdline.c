/* SPDX-License-Identifier: Apache-2.0 */
/* test_cmdline - the boot token leaves the kernel command line (hazard 31). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "agent/boot/boot.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *line, const char *token, const char *rest)
{
    struct secret s = {0};
    char out[512];

    cmdline_take_token(line, &s, out);
    assert_string_equal(out, rest);
    assert_int_equal(s.len, token ? BOOT_TOKEN_LEN : 0);
    if (token)
        assert_true(secret_equal(&s, token, BOOT_TOKEN_LEN));
    secret_deinit(&s);
}

static void hz31_token_is_taken_out(void **state)
{
    (void) state;
    check("", NULL, "");
    check("quiet console=ttyS0\n", NULL, "quiet console=ttyS0\n");
    check("quiet bivouac.boot=" TOKEN " console=ttyS0\n", TOKEN, "quiet console=ttyS0\n");
    check("bivouac.boot=" TOKEN, TOKEN, "");
    check("bivouac.boot=" TOKEN "\n", TOKEN, "\n");
    check("a bivouac.boot=" TOKEN " bivouac.boot=" TOKEN " b", TOKEN, "a b");
    /* what is not a token is no token, and does not stay either */
    check("a bivouac.boot=123 b", NULL, "a b");
    check("a bivouac.boot=" TOKEN "0 b", NULL, "a b");
    check("xbivouac.boot=" TOKEN " b", NULL, "xbivouac.boot=" TOKEN " b");
}

static void test_get(void **state)
{
    char v[8];

    (void) state;
    assert_true(cmdline_get("a=1 b=22 c", "b", v, sizeof(v)));
    assert_string_equal(v, "22");
    assert_true(cmdline_get("a=\n", "a", v, sizeof(v)));
    assert_string_equal(v, "");
    assert_false(cmdline_get("ab=1", "b", v, sizeof(v)));
    assert_false(cmdline_get("b", "b", v, sizeof(v)));
    assert_false(cmdline_get("b=12345678", "b", v, sizeof(v)));
    assert_false(cmdline_get("", "b", v, sizeof(v)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hz31_token_is_taken_out), cmocka_unit_test(test_get)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
