/* SPDX-License-Identifier: Apache-2.0 */
/* test_file - whole files, atomic writes, folders. */
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
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"

static char dir[64];

static int setup(void **state)
{
    (void) state;
    snprintf(dir, sizeof(dir), "/tmp/test_file.XXXXXX");
    return mkdtemp(dir) ? 0 : 1;
}

static int teardown(void **state)
{
    char command[100];

    (void) state;
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

static void test_write_and_read(void **state)
{
    cleanup(freep) char *path = xasprintf("%s/f", dir);
    struct buf b = BUF_INIT(0);
    struct err e = ERR_INIT;
    struct stat st;

    (void) state;
    assert_int_equal(file_write_atomic(path, "one", 3, 0640, &e), 0);
    assert_int_equal(file_write_atomic(path, "second", 6, 0600, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(buf_append_str(&b, "> "), 0);
    assert_int_equal(file_read(path, 6, &b, &e), 0);
    assert_string_equal(buf_cstr(&b), "> second"); /* appended */
    assert_int_equal(file_read(path, 5, &b, &e), -EFBIG);
    assert_string_equal(buf_cstr(&b), "> second");
    assert_non_null(strstr(e.text, path));
    buf_deinit(&b);
}

static void test_read_into_a_small_buffer(void **state)
{
    cleanup(freep) char *path = xasprintf("%s/f", dir);
    struct buf b = BUF_INIT(10);
    struct err e = ERR_INIT;

    (void) state;
    assert_int_equal(file_write_atomic(path, "0123456789", 10, 0600, &e), 0);
    assert_int_equal(file_read(path, 1000, &b, &e), -EFBIG); /* the end was not seen */
    assert_int_equal(file_read("/nonexistent", 10, &b, &e), -ENOENT);
    assert_string_equal(e.text, "open '/nonexistent': No such file or directory");
    buf_deinit(&b);
}

static void test_failed_write_leaves_nothing(void **state)
{
    cleanup(freep) char *path = xasprintf("%s/dir", dir);
    struct err e = ERR_INIT;
    struct stat st;

    (void) state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(file_write_atomic(path, "x", 1, 0600, &e) < 0); /* a folder is not replaced */
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
    assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_make_parents(void **state)
{
    cleanup(freep) char *path = xasprintf("%s/a//b/c/", dir);
    cleanup(freep) char *file = xasprintf("%s/a/f", dir);
    cleanup(freep) char *below = xasprintf("%s/a/f/x", dir);
    struct err e = ERR_INIT;
    struct stat st;

    (void) state;
    assert_int_equal(dir_make_parents(path, 0750, &e), 0);
    assert_int_equal(dir_make_parents(path, 0750, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(file_write_atomic(file, "", 0, 0600, &e), 0);
    assert_true(dir_make_parents(below, 0750, &e) < 0);
    assert_int_equal(dir_make_parents(file, 0750, &e), -ENOTDIR);
    assert_int_equal(dir_make_parents("", 0750, &e), -EINVAL);
    assert_int_equal(dir_make_parents("/", 0750, &e), 0);
    assert_int_equal(dir_fsync(path), 0);
    assert_int_equal(dir_fsync(below), -ENOTDIR);
}

static void test_read_all(void **state)
{
    char got[4];
    int p[2];

    (void) state;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(fd_write_all(p[1], "abcdef", 6), 0);
    close(p[1]);
    assert_int_equal(fd_read_all(p[0], got, 4), 0);
    assert_memory_equal(got, "abcd", 4);
    assert_int_equal(fd_read_all(p[0], got, 4), -EPIPE);
    assert_int_equal(fd_set_nonblock(p[0]), 0);
    assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    close(p[0]);
    assert_int_equal(fd_set_nonblock(p[0]), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_into_a_small_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_write_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_make_parents, setup, teardown),
        cmocka_unit_test(test_read_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
