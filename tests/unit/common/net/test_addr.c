/* SPDX-License-Identifier: Apache-2.0 */
/* test_addr - addresses from text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/un.h>
#include "common/base/err.h"
#include "common/net/net.h"

static void good_addresses_come_back_as_they_were(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"}, {"0.0.0.0:0", "0.0.0.0:0"},       {"[::1]:65535", "[::1]:65535"},
        {"[::]:1", "[::]:1"},             {"localhost:77", "127.0.0.1:77"}, {"[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]:5"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_addr a;
        char text[64];

        assert_int_equal(net_addr_parse(&a, cases[i].in, NULL), 0);
        net_addr_format((struct sockaddr *) &a.sa, text, sizeof(text));
        assert_string_equal(text, cases[i].out);
    }
}

static void bad_addresses_are_refused_with_words(void **state)
{
    static const char *const cases[] = {
        "",           ":",          ":80",      "127.0.0.1",   "127.0.0.1:",  "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1: 1",
        "1.2.3:4",    "::1:80",     "[::1]",    "[::1]80",     "[127.0.0.1]:80", "[]:80",        "[::1:80",      "example.org:80",
        "127.0.0.1:8x", "0x7f.1:80", "[fe80::1%lo]:80", "1234567890123456789012345678901234567890123456789012345678901234:1",
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_addr a;
        struct err e = ERR_INIT;

        assert_int_equal(net_addr_parse(&a, cases[i], &e), -EINVAL);
        assert_true(e.text[0]);
    }
}

static void formatting_knows_all_families(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    char text[16];

    (void) state;
    net_addr_format((struct sockaddr *) &un, text, sizeof(text));
    assert_string_equal(text, "unix");
    net_addr_format(&none, text, sizeof(text));
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_come_back_as_they_were),
        cmocka_unit_test(bad_addresses_are_refused_with_words),
        cmocka_unit_test(formatting_knows_all_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
