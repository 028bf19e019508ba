/* SPDX-License-Identifier: Apache-2.0 */
/* Every code that control answers with stands in docs/errors.md with its status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/base/file.h"
#include "control/api/errors.h"

static void documented(void **state)
{
    struct buf text = BUF_INIT(1 << 20);
    const char *md;

    (void)state;
    assert_int_equal(file_read(ERRORS_MD, 1 << 20, &text, NULL), 0);
    md = buf_cstr(&text);
    assert_non_null(md);
    for (int i = 0; i < API_ERRORS_COUNT; i++) {
        char line[100];

        assert_true(api_errors[i].status >= 400 && api_errors[i].status <= 599);
        assert_non_null(api_errors[i].message);
        assert_true(api_errors[i].status != 503 ||
                    api_errors[i].retry_after > 0); /* 503 says when to come again */
        snprintf(line, sizeof(line), "| %d | `%s` |", api_errors[i].status, api_errors[i].code);
        if (!strstr(md, line))
            fail_msg("docs/errors.md lacks a line that begins with: %s", line);
    }
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documented)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
