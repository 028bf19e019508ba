/* SPDX-License-Identifier: Apache-2.0 */
/* test_path - what becomes of paths as text (hazard 24). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "agent/files/path.h"

static void check(const char *path, const char *want)
{
    char *got = path_absolute("/workspace", path);

    if (!want) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, want);
    }
    free(got);
}

static void hz24_absolute(void **state)
{
    (void) state;
    check("", NULL);
    check("a", "/workspace/a");
    check("./a//b/.", "/workspace/a/b");
    check(".", "/workspace");
    check("/", "/");
    check("//", "/");
    check("/./.", "/");
    check("/a/b/", "/a/b");
    check("..", "/workspace/..");
    check("/a/../b", "/a/../b"); /* what it means depends on symlinks */
    check("/...", "/...");
    check("/.a", "/.a");
    check("\xff\xfe/\x01", "/workspace/\xff\xfe/\x01");
    check("~", "/workspace/~");
    check(" ", "/workspace/ ");
}

static void hz24_dotdot(void **state)
{
    (void) state;
    assert_true(path_has_dotdot("/a/.."));
    assert_true(path_has_dotdot("/../a"));
    assert_false(path_has_dotdot("/a/..b"));
    assert_false(path_has_dotdot("/a/...."));
    assert_false(path_has_dotdot("/a/."));
}

static void test_parts(void **state)
{
    char *s;

    (void) state;
    assert_string_equal(path_base("/a/b"), "b");
    assert_string_equal(path_base("/a"), "a");
    assert_string_equal(path_base("/"), "/");
    s = path_dir("/a/b");
    assert_string_equal(s, "/a");
    free(s);
    s = path_dir("/a");
    assert_string_equal(s, "/");
    free(s);
    s = path_dir("/");
    assert_string_equal(s, "/");
    free(s);
    s = path_join("/", "a");
    assert_string_equal(s, "/a");
    free(s);
    s = path_join("/x", "a");
    assert_string_equal(s, "/x/a");
    free(s);
    assert_true(path_ends_in_slash("a/"));
    assert_false(path_ends_in_slash("a"));
    assert_false(path_ends_in_slash(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hz24_absolute),
        cmocka_unit_test(hz24_dotdot),
        cmocka_unit_test(test_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
