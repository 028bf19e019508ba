/* SPDX-License-Identifier: Apache-2.0 */
/* test_secret - comparison, replacing, and files that others may read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/secret.h"

static char path[64];

static int setup(void **state)
{
    (void) state;
    snprintf(path, sizeof(path), "/tmp/test_secret.XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    close(fd);
    return fd < 0;
}

static int teardown(void **state)
{
    (void) state;
    return unlink(path);
}

static void test_equal(void **state)
{
    struct secret s = {0};

    (void) state;
    assert_false(secret_equal(&s, "", 0)); /* nothing opens nothing */
    secret_set(&s, "hunter2", 7);
    assert_true(secret_equal(&s, "hunter2", 7));
    assert_false(secret_equal(&s, "hunter2", 6));
    assert_false(secret_equal(&s, "hunter3", 7));
    secret_set(&s, s.bytes + 1, 3); /* a part of itself */
    assert_true(secret_equal(&s, "unt", 3));
    assert_int_equal(s.bytes[3], 0);
    secret_deinit(&s);
    secret_deinit(&s);
    assert_false(secret_equal(&s, "unt", 3));
}

static void expect_load(const char *content, size_t len, mode_t mode, int want, const char *value)
{
    struct secret s = {0};
    struct err e = ERR_INIT;

    assert_int_equal(file_write_atomic(path, content, len, mode, &e), 0);
    assert_int_equal(secret_load(&s, path, &e), want);
    if (want == 0)
        assert_true(secret_equal(&s, value, strlen(value)));
    else
        assert_true(strstr(e.text, path) && !s.bytes);
    secret_deinit(&s);
}

static void test_hz32_load(void **state)
{
    static char big[64 * 1024 + 1];

    (void) state;
    expect_load("key\n", 4, 0600, 0, "key");
    expect_load("key\r\n", 5, 0640, 0, "key");
    expect_load("key\n\n", 5, 0400, 0, "key\n");
    expect_load("key", 3, 0644, -EPERM, NULL);
    expect_load("key", 3, 0606, -EPERM, NULL);
    expect_load("key", 3, 0620, -EPERM, NULL);
    expect_load("\n", 1, 0600, -EINVAL, NULL);
    expect_load("", 0, 0600, -EINVAL, NULL);
    expect_load(big, sizeof(big), 0600, -EFBIG, NULL);
}

static void test_not_a_file(void **state)
{
    struct secret s = {0};
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(secret_load(&s, "/nonexistent/key", &e), -ENOENT);
    assert_string_equal(e.text, "secret file '/nonexistent/key': No such file or directory");
    assert_int_equal(secret_load(&s, "/", &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test_setup_teardown(test_hz32_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
