/* SPDX-License-Identifier: Apache-2.0 */
/* test_journal - entries as they were written, cut, filled with garbage, or named after somebody else. */
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
#include "common/base/err.h"
#include "common/base/log.h"
#include "dataplane/vmhost/vm/journal.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
    char dir[64];
    struct err e;
    unsigned seen;
    struct journal_entry last;
};

static int setup(void **state)
{
    static struct fixture f;
    char path[128];

    memset(&f, 0, sizeof(f));
    snprintf(f.dir, sizeof(f.dir), "/tmp/test_journal.XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(path, sizeof(path), "%s/journal", f.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    return system(command);
}

static struct journal_entry entry_of(const char *id)
{
    struct journal_entry j = {
        .generation = 9007199254740993ull, .state = "running", .slot = 3, .pid = 4711, .start_time = 123456, .slug = "base",
        .template_version = "v1", .snap = TOKEN, .cpu_count = 2, .memory_mb = 1024, .route_token = "r12345678901234567890123",
        .team = "7", .hostname = "box \"x\"", .on_timeout = "kill", .deadline_ms = 5, .started_at_ms = 6, .agent_token = TOKEN,
    };

    snprintf(j.id, sizeof(j.id), "%s", id);
    return j;
}

static void on_entry(void *arg, const struct journal_entry *j)
{
    struct fixture *f = arg;

    f->seen++;
    f->last = *j;
}

static unsigned each(struct fixture *f)
{
    f->seen = 0;
    assert_int_equal(journal_each(f->dir, on_entry, f, &f->e), 0);
    return f->seen;
}

static void path_of(struct fixture *f, const char *name, char out[128])
{
    snprintf(out, 128, "%s/journal/%s", f->dir, name);
}

static void put(struct fixture *f, const char *name, const void *p, size_t len)
{
    char path[128];

    path_of(f, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, p, len), len);
    close(fd);
}

static bool there(struct fixture *f, const char *name)
{
    char path[128];

    path_of(f, name, path);
    return access(path, F_OK) == 0;
}

static void test_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct journal_entry j = entry_of("1001");
    struct stat st;
    char path[128];

    assert_int_equal(journal_write(f->dir, &j, &f->e), 0);
    assert_int_equal(each(f), 1);
    assert_memory_equal(&f->last, &j, sizeof(j));
    path_of(f, "1001.json", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* it bears a token */
    assert_int_equal(journal_remove(f->dir, "1001", &f->e), 0);
    assert_int_equal(journal_remove(f->dir, "1001", &f->e), 0);
    assert_int_equal(each(f), 0);
}

static void test_no_slot_no_pid(void **state)
{
    struct fixture *f = *state;
    struct journal_entry j = entry_of("5");

    j.slot = -1;
    j.pid = 0;
    memset(j.state, 0, sizeof(j.state));
    snprintf(j.state, sizeof(j.state), "gone");
    snprintf(j.end_reason, sizeof(j.end_reason), "timeout");
    assert_int_equal(journal_write(f->dir, &j, &f->e), 0);
    assert_int_equal(each(f), 1);
    assert_memory_equal(&f->last, &j, sizeof(j));
}

static void test_every_cut(void **state)
{
    struct fixture *f = *state;
    struct journal_entry j = entry_of("1001"), back;
    struct buf text = BUF_INIT(JOURNAL_BYTES_MAX);

    assert_int_equal(journal_encode(&text, &j), 0);
    for (size_t len = 0; len < text.len; len++)
        assert_true(journal_decode(buf_data(&text), len, &back, &f->e) < 0);
    assert_int_equal(journal_decode(buf_data(&text), text.len, &back, &f->e), 0);
    put(f, "1001.json", buf_data(&text), text.len / 2);
    assert_int_equal(each(f), 0);
    assert_true(there(f, "1001.json.bad"));
    assert_false(there(f, "1001.json"));
    assert_int_equal(each(f), 0);
    buf_deinit(&text);
}

static void test_garbage(void **state)
{
    struct fixture *f = *state;
    const char *const bad[] = {"", "{}", "null", "garbage", "{\"version\":1}", "{\"version\":2,\"id\":\"1\"}"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put(f, "7.json", bad[i], strlen(bad[i]));
        assert_int_equal(each(f), 0);
        assert_true(there(f, "7.json.bad"));
    }
}

/* What is decoded ends up in paths and in calls of the parent. */
static void test_members_that_lie(void **state)
{
    const char *const from[] = {"\"1001\"", "\"running\"", "\"slot\":3", "\"slot\":3", "\"pid\":4711", "\"pid\":4711", "\"memory_mb\":1024",
                                "\"cpu_count\":2", "\"generation\":9007199254740993", "\"team\":\"7\""};
    const char *const to[] = {"\"../x\"", "\"dancing\"", "\"slot\":1024", "\"slot\":-2", "\"pid\":1", "\"pid\":-1", "\"memory_mb\":0",
                              "\"cpu_count\":0", "\"generation\":-1", "\"team\":\"7\",\"team\":\"8\""};
    struct fixture *f = *state;
    struct journal_entry j = entry_of("1001"), back;
    struct buf text = BUF_INIT(JOURNAL_BYTES_MAX);

    assert_int_equal(journal_encode(&text, &j), 0);
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct buf changed = BUF_INIT(JOURNAL_BYTES_MAX);
        const char *all = buf_cstr(&text), *at = strstr(all, from[i]);

        assert_non_null(at);
        assert_int_equal(buf_printf(&changed, "%.*s%s%s", (int) (at - all), all, to[i], at + strlen(from[i])), 0);
        if (journal_decode(buf_data(&changed), changed.len, &back, &f->e) >= 0)
            fail_msg("accepted %s", to[i]);
        buf_deinit(&changed);
    }
    buf_deinit(&text);
}

static void test_another_ones_name(void **state)
{
    struct fixture *f = *state;
    struct journal_entry j = entry_of("1001");
    struct buf text = BUF_INIT(JOURNAL_BYTES_MAX);

    assert_int_equal(journal_encode(&text, &j), 0);
    put(f, "1002.json", buf_data(&text), text.len);
    assert_int_equal(each(f), 0);
    assert_true(there(f, "1002.json.bad"));
    buf_deinit(&text);
}

static void test_leftovers_of_a_cut_write(void **state)
{
    struct fixture *f = *state;

    put(f, "1001.json.aB3x9Q", "{", 1);
    assert_int_equal(each(f), 0);
    assert_false(there(f, "1001.json.aB3x9Q"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_back_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_slot_no_pid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_members_that_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_ones_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers_of_a_cut_write, setup, teardown),
    };

    log_init("test_journal", 2, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
