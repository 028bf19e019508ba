/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "agent/files/range.h"

static void check(const char *header, uint64_t size, int want, uint64_t first, uint64_t last)
{
    uint64_t a = 99, b = 99;

    assert_int_equal(range_parse(header, size, &a, &b), want);
    if (want == RANGE_E_PART) {
        assert_int_equal(a, first);
        assert_int_equal(b, last);
    }
}

static void hz25_ranges(void **state)
{
    (void) state;
    check("bytes=0-0", 10, RANGE_E_PART, 0, 0);
    check("bytes=2-5", 10, RANGE_E_PART, 2, 5);
    check("bytes=2-", 10, RANGE_E_PART, 2, 9);
    check("bytes=2-100", 10, RANGE_E_PART, 2, 9);
    check("bytes=-3", 10, RANGE_E_PART, 7, 9);
    check("bytes=-30", 10, RANGE_E_PART, 0, 9);
    check("BYTES=9-9", 10, RANGE_E_PART, 9, 9);
    check("bytes=0-9223372036854775807", 10, RANGE_E_PART, 0, 9);
    check("bytes=10-", 10, RANGE_E_UNSATISFIABLE, 0, 0);
    check("bytes=0-", 0, RANGE_E_UNSATISFIABLE, 0, 0);
    check("bytes=-0", 10, RANGE_E_UNSATISFIABLE, 0, 0);
    check("bytes=-5", 0, RANGE_E_UNSATISFIABLE, 0, 0);
}

static void hz25_ignored(void **state)
{
    static const char *const headers[] = {
        "", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-2,4-5", "items=1-2", "bytes 1-2", "bytes=1", "bytes= 1-2",
        "bytes=1-2 ", "bytes=+1-2", "bytes=1--2", "bytes=99999999999999999999-", "bytes=0-99999999999999999999",
        "bytes=00000000000000000000000000000000000000000000000000000000000000000000000000000000-1",
    };

    (void) state;
    check(NULL, 10, RANGE_E_WHOLE, 0, 0);
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
        check(headers[i], 10, RANGE_E_WHOLE, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hz25_ranges), cmocka_unit_test(hz25_ignored)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
