/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "agent/files/fmsg.h"

static void test_get(void **state)
{
    static const char pairs[] = "path\0/a b\0user\0\0mode\0" "0644";

    (void) state;
    assert_string_equal(fmsg_get(pairs, sizeof(pairs), "path"), "/a b");
    assert_string_equal(fmsg_get(pairs, sizeof(pairs), "user"), "");
    assert_string_equal(fmsg_get(pairs, sizeof(pairs), "mode"), "0644");
    assert_null(fmsg_get(pairs, sizeof(pairs), "/a b")); /* a value is no name */
    assert_null(fmsg_get(pairs, sizeof(pairs) - 1, "mode")); /* cut */
    assert_null(fmsg_get(pairs, 5, "path"));
    assert_null(fmsg_get(pairs, 3, "path"));
    assert_null(fmsg_get("", 0, "path"));
}

static void test_head(void **state)
{
    uint8_t head[FMSG_HEAD_SIZE];

    (void) state;
    fmsg_put_head(head, 123456, FMSG_DATA);
    assert_int_equal(fmsg_len(head), 123456);
    assert_int_equal(head[4], FMSG_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_get), cmocka_unit_test(test_head)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
