/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "control/hosts/host_client.h"

static void urls(void **state)
{
    static const char *const good[] = {"https://127.0.0.1:9443", "https://[::1]:9443",
                                       "https://localhost:1", "https://10.0.0.1:9443/"};
    static const char *const bad[] = {
        "",
        "http://127.0.0.1:9443",
        "https://",
        "https://127.0.0.1",
        "https://host.example:9443",
        "https://127.0.0.1:9443/path",
        "https://127.0.0.1:9443?x",
        "https://u@127.0.0.1:9443",
        "https://127.0.0.1:99999",
        "https://127.0.0.1:9443#x",
        "https://127.0.0.1:94 43",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(host_url_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (host_url_check(bad[i], NULL) == 0)
            fail_msg("accepted '%s'", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(urls)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
