/* SPDX-License-Identifier: Apache-2.0 */
/* test_store - objects are made in the temporary folder, committed only when nobody can write them any more, and read-only from then on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "dataplane/vmhost/priv/store.h"

static const char name_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char name_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

struct fixture {
    char dir[64];
    struct store *store;
    struct err e;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/test_store.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    if (geteuid() != 0) {
        rmdir(f->dir);
        free(f);
        print_message("store files belong to root: run as root\n");
        skip();
    }
    assert_int_equal(store_open(&f->store, f->dir, &f->e), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    store_free(f->store);
    snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void put(struct fixture *f, enum priv_kind kind, const char *name, enum priv_file file, const char *text)
{
    int fd;

    assert_int_equal(store_create(f->store, kind, name, file, 0, &fd, &f->e), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void put_snapshot(struct fixture *f, const char *name)
{
    assert_int_equal(store_begin(f->store, name, &f->e), 0);
    for (int file = PRIV_FILE_META; file < PRIV_FILE_COUNT; file++)
        put(f, PRIV_SNAP, name, (enum priv_file) file, "text");
}

static unsigned list(struct fixture *f, enum priv_kind kind, uint32_t skip)
{
    char names[PRIV_LIST_MAX][PRIV_HASH_SIZE];
    int r = store_list(f->store, kind, skip, names, &f->e);

    assert_true(r >= 0);
    return (unsigned) r;
}

static void test_blob(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char byte;
    int fd;

    put(f, PRIV_BLOB, name_a, PRIV_FILE_BLOB, "kernel");
    assert_int_equal(list(f, PRIV_BLOB, 0), 0);
    assert_int_equal(store_file(f->store, PRIV_BLOB, name_a, PRIV_FILE_BLOB, false, O_RDONLY, &fd, &f->e), -ENOENT);
    assert_int_equal(store_commit(f->store, PRIV_BLOB, name_a, &f->e), 0);
    assert_int_equal(list(f, PRIV_BLOB, 0), 1);
    assert_int_equal(list(f, PRIV_BLOB, 1), 0);
    /* whatever is asked: it opens read-only */
    assert_int_equal(store_file(f->store, PRIV_BLOB, name_a, PRIV_FILE_BLOB, false, O_RDWR, &fd, &f->e), 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    assert_int_equal(store_remove(f->store, PRIV_BLOB, name_a, false, &f->e), 0);
    assert_int_equal(store_remove(f->store, PRIV_BLOB, name_a, false, &f->e), 0);
    assert_int_equal(list(f, PRIV_BLOB, 0), 0);
}

static void test_hz31_commit_waits_for_writers(void **state)
{
    struct fixture *f = *state;
    int fd, again;
    void *map;

    put_snapshot(f, name_a);
    assert_int_equal(store_file(f->store, PRIV_SNAP, name_a, PRIV_FILE_MEMORY, true, O_RDWR, &fd, &f->e), 0);
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_a, &f->e), -EBUSY);
    again = dup(fd);
    close(fd);
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_a, &f->e), -EBUSY);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
    assert_true(map != MAP_FAILED);
    close(again);
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_a, &f->e), -EBUSY); /* a mapping writes too */
    munmap(map, 4096);
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_a, &f->e), 0);
    assert_int_equal(list(f, PRIV_SNAP, 0), 1);
}

static void test_a_part_is_missing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(store_begin(f->store, name_a, &f->e), 0);
    put(f, PRIV_SNAP, name_a, PRIV_FILE_META, "x");
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_a, &f->e), -ENOENT);
    put_snapshot(f, name_b);
    int fd;

    assert_int_equal(store_file(f->store, PRIV_SNAP, name_b, PRIV_FILE_STATE, true, O_RDWR, &fd, &f->e), 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    assert_int_equal(store_commit(f->store, PRIV_SNAP, name_b, &f->e), -EINVAL);
    assert_int_equal(list(f, PRIV_SNAP, 0), 0);
}

static void test_begin_forgets_the_last_try(void **state)
{
    struct fixture *f = *state;
    int fd;

    put_snapshot(f, name_a);
    assert_int_equal(store_create(f->store, PRIV_SNAP, name_a, PRIV_FILE_META, 0, &fd, &f->e), -EEXIST);
    assert_int_equal(store_begin(f->store, name_a, &f->e), 0);
    assert_int_equal(store_create(f->store, PRIV_SNAP, name_a, PRIV_FILE_MEMORY, 1 << 20, &fd, &f->e), 0);
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
    close(fd);
}

static void test_a_crash_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct stat st;

    put_snapshot(f, name_a);
    put(f, PRIV_BLOB, name_b, PRIV_FILE_BLOB, "half");
    store_free(f->store);
    f->store = NULL;
    assert_int_equal(store_open(&f->store, f->dir, &f->e), 0);
    snprintf(path, sizeof(path), "%s/store/tmp", f->dir);
    DIR *d = opendir(path);
    unsigned entries = 0;

    for (struct dirent *entry; (entry = readdir(d));)
        entries += entry->d_name[0] != '.';
    closedir(d);
    assert_int_equal(entries, 0);
    snprintf(path, sizeof(path), "%s/store", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_a_link_is_not_followed(void **state)
{
    struct fixture *f = *state;
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/store/blobs/%s", f->dir, name_a);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(store_file(f->store, PRIV_BLOB, name_a, PRIV_FILE_BLOB, false, O_RDONLY, &fd, &f->e), -ELOOP);
}

static void test_a_folder_of_others_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *second = NULL;
    char path[128];

    snprintf(path, sizeof(path), "%s/store", f->dir);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(store_open(&second, f->dir, &f->e), -EPERM);
    assert_int_equal(chmod(path, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz31_commit_waits_for_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_part_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_begin_forgets_the_last_try, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_link_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_of_others_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
