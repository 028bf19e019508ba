/* SPDX-License-Identifier: Apache-2.0 */
/* test_users - /etc/passwd and /etc/group as the guest may have left them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "agent/users/users.h"
#include "common/base/err.h"

static struct buf text(const char *s)
{
    struct buf b = BUF_INIT(0);

    assert_int_equal(buf_append(&b, s, strlen(s)), 0);
    return b;
}

static int find(struct user *u, const char *name, const char *passwd, const char *group)
{
    struct buf p = text(passwd), g = text(group);
    int r = user_find_in(u, name, &p, &g);

    buf_deinit(&p);
    buf_deinit(&g);
    return r;
}

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "user:x:1000:1000::/home/user:/bin/bash\n"
                             "noshell:x:5:6::/x:\n"
                             "short:x:7:8:c:/y\n";
static const char group[] = "root:x:0:\nsudo:x:27:user,ann\nuser:x:1000:\nusers:x:100:xuser\nlast:x:101:ann,user";

static void test_found(void **state)
{
    struct user u;

    (void) state;
    assert_int_equal(find(&u, "user", passwd, group), USER_E_OK);
    assert_int_equal(u.uid, 1000);
    assert_string_equal(u.home, "/home/user");
    assert_int_equal(u.group_count, 3);
    assert_int_equal(u.groups[0], 1000);
    assert_int_equal(u.groups[1], 27);
    assert_int_equal(u.groups[2], 101);
    user_deinit(&u);
    assert_int_equal(find(&u, "noshell", passwd, group), USER_E_OK);
    assert_string_equal(u.shell, "/bin/sh");
    assert_int_equal(u.group_count, 1);
    user_deinit(&u);
    assert_int_equal(find(&u, "short", passwd, ""), USER_E_OK);
    assert_string_equal(u.shell, "/bin/sh");
    user_deinit(&u);
    assert_int_equal(find(&u, "1000", passwd, group), USER_E_OK); /* by number */
    assert_string_equal(u.name, "user");
    user_deinit(&u);
}

static void test_unknown(void **state)
{
    struct user u;

    (void) state;
    assert_int_equal(find(&u, "ann", passwd, group), USER_E_UNKNOWN);
    assert_int_equal(find(&u, "", passwd, group), USER_E_UNKNOWN);
    assert_int_equal(find(&u, "1001", passwd, group), USER_E_UNKNOWN);
    assert_int_equal(find(&u, "4294967295", passwd, group), USER_E_UNKNOWN);
    assert_int_equal(find(&u, "user", "", ""), USER_E_UNKNOWN);
}

static void test_malformed_lines_are_skipped(void **state)
{
    static const char *const bad[] = {
        "user", "user:x", "user:x::1000::/h:", "user:x:-1:0::/h:", "user:x:a:0::/h:", "user:x:4294967295:0::/h:", "user:x:1:99999999999::/h:", ":::::",
        "user:x:1:2:/h",
    };
    struct user u;
    char all[512];

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(all, sizeof(all), "%s\nuser:x:9:9::/ok:/sh\n", bad[i]);
        assert_int_equal(find(&u, "user", all, "bad\n::\ng:x:zz:user\ng:x:77:user"), USER_E_OK);
        assert_int_equal(u.uid, 9);
        assert_int_equal(u.group_count, 2);
        assert_int_equal(u.groups[1], 77);
        user_deinit(&u);
    }
}

static void test_many_groups_are_bounded(void **state)
{
    struct buf g = BUF_INIT(0), p = text(passwd);
    struct user u;

    (void) state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&g, "g%d:x:%d:user\n", i, 2000 + i), 0);
    assert_int_equal(user_find_in(&u, "user", &p, &g), USER_E_OK);
    assert_int_equal(u.group_count, USERS_GROUPS_MAX);
    user_deinit(&u);
    buf_deinit(&g);
    buf_deinit(&p);
}

static void test_this_machine(void **state)
{
    struct err e = ERR_INIT;
    struct id_names n;
    struct user u;

    (void) state;
    assert_int_equal(user_find(&u, "root", &e), USER_E_OK);
    assert_int_equal(u.uid, 0);
    user_deinit(&u);
    id_names_init(&n, false);
    id_names_refresh(&n);
    id_names_refresh(&n);
    assert_string_equal(id_names_get(&n, 0), "root");
    assert_string_equal(id_names_get(&n, 0), "root");
    assert_string_equal(id_names_get(&n, 3999999999u), "3999999999");
    id_names_deinit(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),   cmocka_unit_test(test_unknown), cmocka_unit_test(test_malformed_lines_are_skipped),
        cmocka_unit_test(test_many_groups_are_bounded), cmocka_unit_test(test_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
