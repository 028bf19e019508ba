/* SPDX-License-Identifier: Apache-2.0 */
/* store - see store.h */
#include "dataplane/vmhost/priv/store.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STORE_NAME_SIZE = 80 };

struct store {
    int kinds[PRIV_KIND_COUNT]; /* owned: blobs/, snaps/ */
    int tmp;                    /* owned */
};

static const char *const store_kinds[PRIV_KIND_COUNT] = {"blobs", "snaps"};
static const char *const store_prefixes[PRIV_KIND_COUNT] = {"blob-", "snap-"};
static const char *const store_files[PRIV_FILE_COUNT] = {
    [PRIV_FILE_META] = "meta", [PRIV_FILE_SUMS] = "sums", [PRIV_FILE_STATE] = "state",
    [PRIV_FILE_MEMORY] = "memory", [PRIV_FILE_DISK] = "disk",
};

static int store_open_dir(int at, const char *name, int *out, struct err *e)
{
    struct stat st;
    int fd;

    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return err_errno(e, "make folder '%s'", name);
    fd = openat(at, name, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "open folder '%s'", name);
    if (fstat(fd, &st) < 0 || st.st_uid != 0 || (st.st_mode & 077)) {
        close(fd);
        return err_set(e, -EPERM, "folder '%s' must belong to root with mode 0700", name);
    }
    *out = fd;
    return 0;
}

/* Files of a folder, not folders in it: all that a snapshot has. */
static int store_empty_dir(int dir)
{
    int fd = openat(dir, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!d) {
        fd_closep(&fd);
        return -errno;
    }
    while ((entry = readdir(d))) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
            continue;
        if (unlinkat(dir, entry->d_name, 0) < 0 && errno != ENOENT)
            r = -errno;
    }
    closedir(d);
    return r;
}

/* A file, or a folder of files. Fine if it is gone. */
static int store_remove_at(int at, const char *name)
{
    cleanup(fd_closep) int dir = openat(at, name, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    int r;

    if (dir < 0 && errno == ENOENT)
        return 0;
    if (dir < 0)
        return unlinkat(at, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    r = store_empty_dir(dir);
    if (r < 0)
        return r;
    return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* What a crash left half done. */
static int store_clear_tmp(struct store *s, struct err *e)
{
    int fd = openat(s->tmp, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!d) {
        r = err_errno(e, "read the temporary folder of the store");
        fd_closep(&fd);
        return r;
    }
    while ((entry = readdir(d)) && r == 0) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
            continue;
        r = store_remove_at(s->tmp, entry->d_name);
        if (r < 0)
            err_set(e, r, "remove '%s' of the store: %s", entry->d_name, strerror(-r));
    }
    closedir(d);
    return r;
}

int store_open(struct store **out, const char *state_dir, struct err *e)
{
    struct store *s = xnew(struct store);
    int top = -1, store = -1, r;

    s->tmp = s->kinds[PRIV_BLOB] = s->kinds[PRIV_SNAP] = -1;
    top = open(state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    r = top < 0 ? err_errno(e, "open '%s'", state_dir) : store_open_dir(top, "store", &store, e);
    if (r == 0)
        r = store_open_dir(store, "tmp", &s->tmp, e);
    for (int k = 0; k < PRIV_KIND_COUNT && r == 0; k++)
        r = store_open_dir(store, store_kinds[k], &s->kinds[k], e);
    if (r == 0)
        r = store_clear_tmp(s, e);
    fd_closep(&store);
    fd_closep(&top);
    if (r < 0) {
        store_free(s);
        return err_wrap(e, r, "store");
    }
    *out = s;
    return 0;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    fd_closep(&s->tmp);
    for (int k = 0; k < PRIV_KIND_COUNT; k++)
        fd_closep(&s->kinds[k]);
    free(s);
}

static void store_tmp_name(enum priv_kind kind, const char *name, char out[STORE_NAME_SIZE])
{
    snprintf(out, STORE_NAME_SIZE, "%s%s", store_prefixes[kind], name);
}

int store_begin(struct store *s, const char *snap, struct err *e)
{
    char name[STORE_NAME_SIZE];
    int r;

    store_tmp_name(PRIV_SNAP, snap, name);
    r = store_remove_at(s->tmp, name);
    if (r < 0)
        return err_set(e, r, "remove an unfinished snapshot: %s", strerror(-r));
    if (mkdirat(s->tmp, name, 0700) < 0)
        return err_errno(e, "make a folder for the snapshot");
    return 0;
}

/* Path of a file below `at`; *at is borrowed. */
static void store_path(const struct store *s, enum priv_kind kind, const char *name, enum priv_file file, bool unfinished, int *at,
                       char path[STORE_NAME_SIZE + 16])
{
    char object[STORE_NAME_SIZE];

    *at = unfinished ? s->tmp : s->kinds[kind];
    if (unfinished)
        store_tmp_name(kind, name, object);
    else
        snprintf(object, sizeof(object), "%s", name);
    if (kind == PRIV_BLOB)
        snprintf(path, STORE_NAME_SIZE + 16, "%s", object);
    else
        snprintf(path, STORE_NAME_SIZE + 16, "%s/%s", object, store_files[file]);
}

int store_create(struct store *s, enum priv_kind kind, const char *name, enum priv_file file, uint64_t size, int *fd, struct err *e)
{
    char path[STORE_NAME_SIZE + 16];
    cleanup(fd_closep) int made = -1;
    int at;

    store_path(s, kind, name, file, true, &at, path);
    if (kind == PRIV_BLOB && unlinkat(at, path, 0) < 0 && errno != ENOENT)
        return err_errno(e, "remove an unfinished '%s'", path);
    /* QEMU writes the device state through /dev/fdset, which wants exactly the access mode it asks for */
    made = openat(at, path, (file == PRIV_FILE_STATE ? O_WRONLY : O_RDWR) | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0)
        return err_errno(e, "make '%s' in the store", path);
    if (size && ftruncate(made, (off_t) size) < 0)
        return err_errno(e, "set the size of '%s' in the store", path);
    *fd = take_fd(&made);
    return 0;
}

/*
 * A read lease is granted only while nobody has the file open for writing; a writable shared mapping counts as that too.
 * Nobody but us can open it anew: the folder is root's.
 */
static int store_seal(int at, const char *path, mode_t mode, struct err *e)
{
    cleanup(fd_closep) int fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_errno(e, "open '%s' of the store", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return err_set(e, -EINVAL, "'%s' of the store is empty or no file", path);
    if (fsync(fd) < 0)
        return err_errno(e, "fsync '%s'", path);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN ? err_set(e, -EBUSY, "'%s' of the store is still open for writing", path) : err_errno(e, "lease '%s'", path);
    (void) fcntl(fd, F_SETLEASE, F_UNLCK); /* closing drops it as well */
    return fchmod(fd, mode) < 0 ? err_errno(e, "set the mode of '%s'", path) : 0;
}

static int store_fsync_at(int at, const char *path, struct err *e)
{
    cleanup(fd_closep) int fd = openat(at, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? err_errno(e, "fsync folder '%s' of the store", path) : 0;
}

/* Kernel and initramfs are opened by QEMU itself through /proc/self/fd, hence the 0444; the folders above let nobody else near. */
int store_commit(struct store *s, enum priv_kind kind, const char *name, struct err *e)
{
    char path[STORE_NAME_SIZE + 16], object[STORE_NAME_SIZE];
    int at, r = 0;

    if (kind == PRIV_BLOB) {
        store_path(s, kind, name, PRIV_FILE_BLOB, true, &at, path);
        r = store_seal(at, path, 0444, e);
    }
    for (int f = PRIV_FILE_META; kind == PRIV_SNAP && f < PRIV_FILE_COUNT && r == 0; f++) {
        store_path(s, kind, name, (enum priv_file) f, true, &at, path);
        r = store_seal(at, path, 0400, e);
    }
    store_tmp_name(kind, name, object);
    if (r == 0 && kind == PRIV_SNAP)
        r = store_fsync_at(s->tmp, object, e);
    if (r < 0)
        return r;
    r = store_remove_at(s->kinds[kind], name);
    if (r < 0)
        return err_set(e, r, "replace '%s' in the store: %s", name, strerror(-r));
    if (renameat(s->tmp, object, s->kinds[kind], name) < 0)
        return err_errno(e, "rename '%s' into the store", name);
    return store_fsync_at(s->kinds[kind], ".", e);
}

int store_remove(struct store *s, enum priv_kind kind, const char *name, bool unfinished, struct err *e)
{
    char object[STORE_NAME_SIZE];
    int r;

    if (unfinished)
        store_tmp_name(kind, name, object);
    else
        snprintf(object, sizeof(object), "%s", name);
    r = store_remove_at(unfinished ? s->tmp : s->kinds[kind], object);
    return r < 0 ? err_set(e, r, "remove '%s' from the store: %s", object, strerror(-r)) : 0;
}

int store_file(struct store *s, enum priv_kind kind, const char *name, enum priv_file file, bool unfinished, int flags, int *fd, struct err *e)
{
    char path[STORE_NAME_SIZE + 16];
    struct stat st;
    int at;

    if (!unfinished)
        flags = O_RDONLY; /* whatever was asked: finished files are never written */
    store_path(s, kind, name, file, unfinished, &at, path);
    cleanup(fd_closep) int opened = openat(at, path, flags | O_NOFOLLOW | O_CLOEXEC);

    if (opened < 0)
        return err_errno(e, "open '%s' of the store", path);
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "'%s' of the store is no file", path);
    *fd = take_fd(&opened);
    return 0;
}

int store_list(struct store *s, enum priv_kind kind, uint32_t skip, char names[PRIV_LIST_MAX][PRIV_HASH_SIZE], struct err *e)
{
    struct dirent **found;
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->kinds[kind]);
    int n = scandir(path, &found, NULL, alphasort);

    if (n < 0)
        return err_errno(e, "read the store");
    for (int i = 0; i < n; i++) {
        const char *name = found[i]->d_name;

        if (strlen(name) == PRIV_HASH_SIZE - 1 && privop_hash_valid(name)) {
            if (skip > 0)
                skip--;
            else if (count < PRIV_LIST_MAX)
                memcpy(names[count++], name, PRIV_HASH_SIZE);
        }
        free(found[i]);
    }
    free(found);
    return count;
}
