/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/gateway/routes/label.h"

#define RT "abcdefghijklmnopqrstuvwx"

static void expect(const char *host, enum label_kind kind, const char *rt, unsigned port)
{
    struct label l;

    label_parse(host, "example.org", &l);
    assert_int_equal(l.kind, kind);
    assert_string_equal(l.rt, rt);
    assert_int_equal(l.port, port);
}

static void test_sandbox(void **state)
{
    (void) state;
    expect(RT ".sandbox.example.org", LABEL_SANDBOX, RT, 0);
    expect("p1234567890123456789.sandbox.example.org", LABEL_SANDBOX, "p1234567890123456789", 0);
    expect("a0123456789012345678901234567890123456789.sandbox.example.org", LABEL_NONE, "", 0); /* 41 */
    expect("a123456789012345678.sandbox.example.org", LABEL_NONE, "", 0);                       /* 19 */
}

static void test_preview(void **state)
{
    (void) state;
    expect("p8080-" RT ".sandbox.example.org", LABEL_PREVIEW, RT, 8080);
    expect("p1-" RT ".sandbox.example.org", LABEL_PREVIEW, RT, 1);
    expect("p65535-" RT ".sandbox.example.org", LABEL_PREVIEW, RT, 65535);
    expect("p65536-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p0-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p080-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p80+-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p80-short.sandbox.example.org", LABEL_NONE, "", 0);
    expect("x80-" RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect("p80-" RT "-x.sandbox.example.org", LABEL_NONE, "", 0);
}

static void test_foreign(void **state)
{
    (void) state;
    expect(NULL, LABEL_NONE, "", 0);
    expect("", LABEL_NONE, "", 0);
    expect(".", LABEL_NONE, "", 0);
    expect("example.org", LABEL_NONE, "", 0);
    expect("sandbox.example.org", LABEL_NONE, "", 0);
    expect(".sandbox.example.org", LABEL_NONE, "", 0);
    expect(RT ".example.org", LABEL_NONE, "", 0);
    expect(RT ".sandbox.example.com", LABEL_NONE, "", 0);
    expect(RT ".sandbox.example.org.", LABEL_NONE, "", 0);
    expect("a." RT ".sandbox.example.org", LABEL_NONE, "", 0);
    expect(RT ".sandbox.xexample.org", LABEL_NONE, "", 0);
    expect("ABCDEFGHIJKLMNOPQRSTUVWX.sandbox.example.org", LABEL_NONE, "", 0);
    expect("127.0.0.1", LABEL_NONE, "", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_preview),
        cmocka_unit_test(test_foreign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
