/* SPDX-License-Identifier: Apache-2.0 */
/* users - a line is name:password:id:... ; fields are taken by position, ids are plain decimal numbers below 2^32 - 1. */
#include "agent/users/users.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { LINE_FIELDS_MAX = 7, NAME_BYTES_MAX = 256 };

struct line {
    const char *field[LINE_FIELDS_MAX];
    size_t len[LINE_FIELDS_MAX];
    unsigned count;
};

struct cursor {
    const char *p, *end;
};

static struct cursor cursor_of(const struct buf *b)
{
    const char *p = b->len ? (const char *) buf_data(b) : "";

    return (struct cursor){p, p + b->len};
}

/* The next line, split at its colons; the last field keeps what is left. */
static bool line_next(struct cursor *c, struct line *out)
{
    if (c->p >= c->end)
        return false;
    const char *nl = memchr(c->p, '\n', (size_t) (c->end - c->p));
    const char *end = nl ? nl : c->end, *p = c->p;

    memset(out, 0, sizeof(*out));
    while (out->count < LINE_FIELDS_MAX) {
        const char *colon = memchr(p, ':', (size_t) (end - p));
        const char *stop = colon ? colon : end;

        out->field[out->count] = p;
        out->len[out->count++] = (size_t) (stop - p);
        if (!colon)
            break;
        p = colon + 1;
    }
    c->p = nl ? nl + 1 : c->end;
    return true;
}

static bool line_is(const struct line *l, unsigned field, const char *s)
{
    return l->count > field && l->len[field] == strlen(s) && memcmp(l->field[field], s, l->len[field]) == 0;
}

static bool line_id(const struct line *l, unsigned field, unsigned *out)
{
    uint64_t v;

    if (l->count <= field || !l->len[field] || str_to_u64_n(l->field[field], l->len[field], 10, &v) < 0 || v >= UINT32_MAX)
        return false;
    *out = (unsigned) v;
    return true;
}

/* A line that names a user: name, password, uid, gid, comment, home, shell */
static bool passwd_entry(const struct line *l, unsigned *uid, unsigned *gid)
{
    return l->count >= 6 && l->len[0] && l->len[0] < NAME_BYTES_MAX && !memchr(l->field[0], '\0', l->len[0]) &&
           line_id(l, 2, uid) && line_id(l, 3, gid);
}

static char *line_dup(const struct line *l, unsigned field, const char *fallback)
{
    if (l->count <= field || !l->len[field] || memchr(l->field[field], '\0', l->len[field]))
        return xstrdup(fallback);
    return xstrndup(l->field[field], l->len[field]);
}

static bool member_listed(const char *list, size_t len, const char *name)
{
    size_t n = strlen(name);

    while (len) {
        const char *comma = memchr(list, ',', len);
        size_t one = comma ? (size_t) (comma - list) : len;

        if (one == n && memcmp(list, name, n) == 0)
            return true;
        if (!comma)
            return false;
        list += one + 1;
        len -= one + 1;
    }
    return false;
}

static void user_add_group(struct user *u, gid_t gid)
{
    for (size_t i = 0; i < u->group_count; i++) {
        if (u->groups[i] == gid)
            return;
    }
    if (u->group_count < USERS_GROUPS_MAX)
        u->groups[u->group_count++] = gid;
}

static void user_read_groups(struct user *u, const struct buf *group)
{
    struct cursor c = cursor_of(group);
    struct line l;
    unsigned gid;

    while (line_next(&c, &l)) {
        if (l.count >= 4 && line_id(&l, 2, &gid) && member_listed(l.field[3], l.len[3], u->name))
            user_add_group(u, gid);
    }
}

int user_find_in(struct user *out, const char *name, const struct buf *passwd, const struct buf *group)
{
    struct cursor c = cursor_of(passwd);
    struct line l, found = {0};
    unsigned uid, gid, by_id = 0;
    uint64_t wanted;
    bool numeric = str_to_u64(name, &wanted) == 0 && wanted < UINT32_MAX;

    while (line_next(&c, &l)) {
        if (!passwd_entry(&l, &uid, &gid))
            continue;
        if (line_is(&l, 0, name)) {
            found = l;
            break;
        }
        if (numeric && !by_id && uid == wanted) {
            found = l;
            by_id = 1;
        }
    }
    if (!found.count || !passwd_entry(&found, &uid, &gid))
        return USER_E_UNKNOWN;
    memset(out, 0, sizeof(*out));
    out->name = xstrndup(found.field[0], found.len[0]);
    out->home = line_dup(&found, 5, "/");
    out->shell = line_dup(&found, 6, "/bin/sh");
    out->uid = uid;
    out->gid = gid;
    user_add_group(out, gid);
    user_read_groups(out, group);
    return USER_E_OK;
}

/* Never blocks: a pipe in the place of the file is refused. */
static int users_read(const char *path, struct buf *out, struct stat *st, struct err *e)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, st) < 0)
        return err_errno(e, "open '%s'", path);
    if (!S_ISREG(st->st_mode) || st->st_size > USERS_FILE_BYTES_MAX)
        return err_set(e, -EINVAL, "'%s' is not a file of at most 4 MiB", path);
    for (;;) {
        uint8_t *p = buf_reserve(out, 16384);
        ssize_t n = p ? read(fd, p, 16384) : -1;

        if (!p)
            return err_set(e, -E2BIG, "'%s' is too big", path);
        if (n < 0)
            return err_errno(e, "read '%s'", path);
        if (n == 0)
            return 0;
        buf_commit(out, (size_t) n);
    }
}

int user_find(struct user *out, const char *name, struct err *e)
{
    cleanup(buf_deinit) struct buf passwd = BUF_INIT(USERS_FILE_BYTES_MAX + 16384);
    cleanup(buf_deinit) struct buf group = BUF_INIT(USERS_FILE_BYTES_MAX + 16384);
    struct stat st;
    int r = users_read("/etc/passwd", &passwd, &st, e);

    if (r < 0)
        return r;
    (void) users_read("/etc/group", &group, &st, NULL); /* without it: the primary group only */
    return user_find_in(out, name, &passwd, &group);
}

void user_deinit(struct user *u)
{
    free(u->name);
    free(u->home);
    free(u->shell);
    memset(u, 0, sizeof(*u));
}

/* ---- names of ids ---- */

void id_names_init(struct id_names *n, bool by_group)
{
    memset(n, 0, sizeof(*n));
    buf_init(&n->text, USERS_FILE_BYTES_MAX + 16384);
    n->by_group = by_group;
}

void id_names_deinit(struct id_names *n)
{
    buf_deinit(&n->text);
}

void id_names_refresh(struct id_names *n)
{
    const char *path = n->by_group ? "/etc/group" : "/etc/passwd";
    struct stat st;

    if (stat(path, &st) < 0)
        memset(&st, 0, sizeof(st));
    long long stamp[4] = {(long long) st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};

    if (memcmp(stamp, n->stamp, sizeof(stamp)) == 0)
        return;
    memcpy(n->stamp, stamp, sizeof(stamp));
    n->cached = false;
    buf_clear(&n->text);
    if (users_read(path, &n->text, &st, NULL) < 0)
        buf_clear(&n->text);
}

const char *id_names_get(struct id_names *n, unsigned id)
{
    struct cursor c = cursor_of(&n->text);
    struct line l;
    unsigned found;

    if (n->cached && n->cached_id == id)
        return n->cached_name;
    n->cached = true;
    n->cached_id = id;
    while (line_next(&c, &l)) {
        if (line_id(&l, 2, &found) && found == id && l.len[0] && l.len[0] < sizeof(n->cached_name) &&
            utf8_valid(l.field[0], l.len[0])) {
            memcpy(n->cached_name, l.field[0], l.len[0]);
            n->cached_name[l.len[0]] = '\0';
            return n->cached_name;
        }
    }
    snprintf(n->cached_name, sizeof(n->cached_name), "%u", id);
    return n->cached_name;
}
