/* SPDX-License-Identifier: Apache-2.0 */
/* test_log - one valid JSON object a line, whatever the values are; levels and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"

static int log_fd;
static char text[64 * 1024];
static uint64_t fake_mono = 1000000000, fake_real = 1767323045123456789u;

static int setup(void **state)
{
    (void) state;
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init("bivouac-test", log_fd, LOG_INFO);
    clock_fake(&fake_mono, &fake_real);
    return log_fd < 0;
}

static int teardown(void **state)
{
    (void) state;
    clock_fake(NULL, NULL);
    close(log_fd);
    return 0;
}

static const char *read_log(void)
{
    ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void test_line(void **state)
{
    struct log_ctx ctx = {.request = "req_1", .sandbox = "42", .team = "acme"};
    char want[512];

    (void) state;
    log_info(&ctx, "sandbox started", "boot_ms", LOG_U64(60), "delta", LOG_I64(-3), "nothing", (const char *) NULL);
    snprintf(want, sizeof(want),
             "{\"ts\":\"2026-01-02T03:04:05.123456Z\",\"level\":\"info\",\"program\":\"bivouac-test\",\"pid\":\"%d\","
             "\"msg\":\"sandbox started\",\"request\":\"req_1\",\"sandbox\":\"42\",\"team\":\"acme\","
             "\"src\":\"base/test_log.c:%d\",\"boot_ms\":\"60\",\"delta\":\"-3\",\"nothing\":null}\n",
             (int) getpid(), __LINE__ - 5);
    assert_string_equal(read_log(), want);
}

static void test_levels(void **state)
{
    enum log_level level;

    (void) state;
    log_debug(NULL, "hidden");
    assert_string_equal(read_log(), "");
    assert_int_equal(log_level_parse("debug", &level), 0);
    log_init("bivouac-test", log_fd, level);
    log_debug(NULL, "shown");
    assert_non_null(strstr(read_log(), "\"msg\":\"shown\""));
    assert_true(log_level_parse("loud", &level) < 0);
    assert_true(log_level_parse(NULL, &level) < 0);
}

static void test_escapes(void **state)
{
    (void) state;
    log_warn(NULL, "m", "k\"", "a\"b\\c\nd\te\x01\x7f", "bad", "x\xff\xc3y\xe2\x82\xac");
    const char *line = read_log();

    assert_non_null(strstr(line, "\"k\\\"\":\"a\\\"b\\\\c\\nd\\u0009e\\u0001\\u007f\""));
    assert_non_null(strstr(line, "\"bad\":\"x\\ufffd\\ufffdy\xe2\x82\xac\""));
    assert_true(utf8_valid(line, strlen(line)));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1); /* a value cannot begin a line of its own */
}

static void test_long_values_are_cut(void **state)
{
    char big[5000], euros[3001];

    (void) state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (size_t i = 0; i < 1000; i++)
        memcpy(euros + 3 * i, "\xe2\x82\xac", 3);
    euros[3000] = '\0';
    log_error(NULL, "m", "big", big, "euros", euros, "after", "here");
    const char *line = read_log();

    assert_non_null(strstr(line, "xxx...\",\"euros\""));
    assert_non_null(strstr(line, "\xe2\x82\xac...\",\"after\":\"here\"}\n"));
    assert_true(utf8_valid(line, strlen(line)));
    assert_true(strlen(line) < 2600);
}

static void test_line_has_an_end(void **state)
{
    char big[1025];

    (void) state;
    memset(big, 1, sizeof(big) - 1); /* six characters for each */
    big[sizeof(big) - 1] = '\0';
    log_error(NULL, "m", "a", big, "b", big, "c", big, "d", "fits");
    const char *line = read_log();

    assert_true(strlen(line) <= 16384);
    assert_null(strstr(line, "\"c\":"));
    assert_non_null(strstr(line, "\"d\":\"fits\",\"cut\":true}\n"));
}

static unsigned burst(struct log_limit *l, unsigned n)
{
    unsigned allowed = 0;

    for (unsigned i = 0; i < n; i++)
        allowed += log_allow(l);
    return allowed;
}

static void test_limit(void **state)
{
    struct log_limit l = LOG_LIMIT_INIT(3);

    (void) state;
    assert_int_equal(burst(&l, 10), 3);
    fake_mono += 59000000000;
    assert_int_equal(burst(&l, 10), 0);
    fake_mono += 1000000000;
    assert_int_equal(burst(&l, 10), 3);
    assert_non_null(strstr(read_log(), "\"count\":\"17\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_values_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
