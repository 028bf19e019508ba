/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "control/db/pool.h"
#include "control/db/url.h"

static void good(void **state)
{
    struct arena *a = arena_new(0);
    struct secret pw = {0};
    struct db_conf c = {0};

    (void)state;
    assert_int_equal(db_url_parse("postgresql://me:p%40ss@127.0.0.1:6543/name?sslmode=require", a,
                                  &c, &pw, NULL),
                     0);
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(c.port, 6543);
    assert_string_equal(c.name, "name");
    assert_string_equal(c.user, "me");
    assert_string_equal(c.sslmode, "require");
    assert_memory_equal(c.password->bytes, "p@ss", 5);
    assert_int_equal(db_url_parse("host=/run/pg user=u dbname=d", a, &c, &pw, NULL), 0);
    assert_string_equal(c.host, "/run/pg");
    assert_int_equal(c.port, 5432);
    assert_null(c.password);
    assert_int_equal(db_url_parse("postgresql://u@[::1]/d", a, &c, &pw, NULL), 0);
    assert_string_equal(c.host, "::1");
    secret_deinit(&pw);
    arena_free(a);
}

static void bad(void **state)
{
    static const char *const urls[] = {
        "",
        "nonsense",
        "mysql://u:geheim@127.0.0.1/d",
        "postgresql://u:geheim@127.0.0.1/",
        "postgresql://:geheim@127.0.0.1/d",
        "postgresql://u:geheim@host.example/d",
        "postgresql://u:geheim@127.0.0.1:0/d",
        "postgresql://u:geheim@127.0.0.1:70000/d",
        "postgresql://u:geheim@127.0.0.1/d?options=x",
        "postgresql://u:geheim@127.0.0.1/d?nonsense=geheim",
        "host=127.0.0.1 user=u",
        "postgresql://u:geheim@127.0.0.1,127.0.0.2/d",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct arena *a = arena_new(0);
        struct secret pw = {0};
        struct db_conf c = {0};
        struct err e = ERR_INIT;

        if (db_url_parse(urls[i], a, &c, &pw, &e) == 0)
            fail_msg("accepted '%s'", urls[i]);
        assert_null(strstr(e.text, "geheim")); /* no password in words */
        secret_deinit(&pw);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
