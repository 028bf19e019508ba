/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_list - the entries below a directory, to a depth, at most ENTRIES_MAX of them: the first ones in the order of a walk that takes each
 * directory's names sorted. Memory is bounded whatever the directories hold.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/path.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"

enum { ENTRIES_MAX = 10000, LIST_BYTES_MAX = 256 * MIB };

struct entry {
    char *path;   /* owned; as shown */
    char *target; /* owned; of a link, else NULL */
    struct stat st;
};

struct listing {
    struct fop *f;
    struct entry *entries; /* owned */
    size_t count, cap;
    uint64_t depth;
    bool truncated;
};

struct names {
    char **items;
    size_t count, cap;
    bool cut;
};

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void names_deinit(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

/* Keeps the smallest `max`. */
static void names_cut(struct names *n, size_t max)
{
    qsort(n->items, n->count, sizeof(*n->items), name_compare);
    while (n->count > max) {
        free(n->items[--n->count]);
        n->cut = true;
    }
}

static void names_add(struct names *n, const char *name, size_t max)
{
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 64;
        n->items = xrealloc(n->items, n->cap * sizeof(*n->items));
    }
    n->items[n->count++] = xstrdup(name);
    if (n->count >= 2 * max + 64)
        names_cut(n, max);
}

static int names_read(struct listing *l, struct names *n, int fd, size_t max)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int r;

    if (!d) {
        r = -errno;
        close(fd);
        return r;
    }
    errno = 0;
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            names_add(n, e->d_name, max);
        fop_tick(l->f);
        errno = 0;
    }
    r = -errno;
    closedir(d);
    names_cut(n, max);
    return r;
}

static struct entry *listing_add(struct listing *l)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->entries = xrealloc(l->entries, l->cap * sizeof(*l->entries));
    }
    struct entry *e = &l->entries[l->count++];

    memset(e, 0, sizeof(*e));
    return e;
}

static void entry_link(struct entry *e, int dir_fd, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

    if (n >= 0)
        e->target = xstrndup(target, (size_t) n);
}

static int listing_walk(struct listing *l, int fd /* taken */, const char *path, uint64_t depth);

static void listing_entry(struct listing *l, int dir_fd, const char *dir, const char *name, uint64_t depth)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return; /* gone since */
    struct entry *e = listing_add(l);
    char *path = path_join(dir, name);

    e->path = path;
    e->st = st;
    if (S_ISLNK(st.st_mode))
        entry_link(e, dir_fd, name);
    if (!S_ISDIR(st.st_mode) || depth >= l->depth)
        return;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) /* one that may not be read is listed, its contents are not */
        (void) listing_walk(l, fd, path, depth + 1);
}

static int listing_walk(struct listing *l, int fd, const char *path, uint64_t depth)
{
    cleanup(names_deinit) struct names names = {0};
    cleanup(fd_closep) int dir_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int r = names_read(l, &names, fd, ENTRIES_MAX - l->count + 1);

    if (r < 0 || dir_fd < 0)
        return r < 0 ? r : -EMFILE;
    for (size_t i = 0; i < names.count; i++) {
        if (l->count >= ENTRIES_MAX) {
            l->truncated = true;
            break;
        }
        listing_entry(l, dir_fd, path, names.items[i], depth);
        fop_tick(l->f);
    }
    l->truncated |= names.cut;
    return 0;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct entry *) a)->path, ((const struct entry *) b)->path);
}

static void listing_deinit(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->entries[i].path);
        free(l->entries[i].target);
    }
    free(l->entries);
}

static void listing_reply(struct listing *l, const char *shown)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(LIST_BYTES_MAX);
    struct json_writer w;

    qsort(l->entries, l->count, sizeof(*l->entries), entry_compare);
    json_writer_init(&w, &json);
    jw_object(&w);
    jw_kstr(&w, "path", shown);
    jw_karray(&w, "entries");
    for (size_t i = 0; i < l->count; i++)
        object_write(l->f, &w, l->entries[i].path, &l->entries[i].st, l->entries[i].target);
    jw_array_end(&w);
    jw_kbool(&w, "truncated", l->truncated);
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        fop_error(l->f, 507, "too_large", "the listing is too large");
    else
        fop_json(l->f, &json);
}

void op_list(struct fop *f)
{
    cleanup(listing_deinit) struct listing l = {.f = f, .depth = 1};
    cleanup(freep) char *path = fop_path(f, "path");
    cleanup(freep) char *shown = NULL;
    const char *depth = fop_arg(f, "depth");
    int fd, r;

    if (!path)
        return;
    if (depth && str_to_u64(depth, &l.depth) < 0)
        l.depth = 1; /* the agent has checked it */
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fop_errno(f, errno, path);
        return;
    }
    shown = fop_shown_path(path);
    r = listing_walk(&l, fd, shown, 1);
    if (r < 0)
        fop_errno(f, -r, path);
    else
        listing_reply(&l, shown);
}
