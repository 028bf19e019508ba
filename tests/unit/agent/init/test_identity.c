/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "agent/init/identity.h"
#include "common/base/buf.h"

static void check_hosts(const char *old, const char *want)
{
    struct buf out = BUF_INIT(0);

    assert_int_equal(hosts_rewrite(&out, old, strlen(old), "box"), 0);
    assert_string_equal(buf_cstr(&out), want);
    buf_deinit(&out);
}

static void test_hosts_keeps_what_users_wrote(void **state)
{
    (void) state;
    check_hosts("", "127.0.1.1 box\n");
    check_hosts("127.0.0.1 localhost\n", "127.0.1.1 box\n127.0.0.1 localhost\n");
    check_hosts("127.0.1.1 old\n127.0.0.1 localhost\n10.0.0.1 db\n", "127.0.1.1 box\n127.0.0.1 localhost\n10.0.0.1 db\n");
    check_hosts("127.0.1.1\told x\n127.0.1.10 other\n# 127.0.1.1 c", "127.0.1.1 box\n127.0.1.10 other\n# 127.0.1.1 c");
}

static void test_names(void **state)
{
    (void) state;
    assert_true(hostname_ok("sandbox-1"));
    assert_true(hostname_ok("a.b"));
    assert_false(hostname_ok(""));
    assert_false(hostname_ok("-a"));
    assert_false(hostname_ok(".a"));
    assert_false(hostname_ok("a b"));
    assert_false(hostname_ok("a\nb"));
    assert_false(hostname_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_true(machine_id_ok("0123456789abcdef0123456789abcdef"));
    assert_false(machine_id_ok("0123456789ABCDEF0123456789abcdef"));
    assert_false(machine_id_ok("0123456789abcdef0123456789abcde"));
    assert_false(machine_id_ok("0123456789abcdef0123456789abcdef0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts_keeps_what_users_wrote), cmocka_unit_test(test_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
